"""`python -m services [NAME…]`: the named services in this process; without names, all of them."""
import signal
import sys

import structlog

from services.app import SERVICES, Running
from services.kit.errors import ConcordError
from services.kit.settings import from_environment
from services.kit.telemetry import log_json


def main(names: list[str]) -> int:
    """Runs until SIGTERM or SIGINT; 0 after a clean end, 2 for a mistake in names or settings, 4 where it cannot run."""
    try:
        settings = from_environment()
        log_json(settings.log_level)
        running = Running(names or list(SERVICES), settings)
    except ConcordError as error:
        print(f"concord: {error}", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: running.request_stop())
    structlog.get_logger().info("serving", services=names or list(SERVICES), address=running.address, **vars(settings))
    try:
        running.wait()
        return 0
    except ConcordError as error:
        print(f"concord: {error}", file=sys.stderr)
        return 4
    finally:
        running.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
