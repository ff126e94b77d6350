"""`python -m concord [NAME…]`: the named services in this process; without names, all of them."""

import sys
import threading

import structlog

from concord.kit.ending import told_to_end
from concord.kit.errors import ConcordError, Unavailable
from concord.kit.settings import Settings, from_environment
from concord.kit.telemetry import log_json
from concord.process import Running
from concord.wiring import SERVICES

WAIT_S = 1.0


def main(names: list[str]) -> int:
    """Runs until SIGTERM or SIGINT; 0 after a clean end, 2 for a mistake in names or settings, 4 where it cannot go on."""
    over = told_to_end()
    try:
        settings = from_environment()
        log_json(settings.log_level)
        running = _started(names or list(SERVICES), settings, over)
    except ConcordError as error:
        print(f"concord: {error}", file=sys.stderr)
        return 2
    if running is None:
        return 0
    structlog.get_logger().info(
        "serving", services=names or list(SERVICES), address=running.address, **settings.shown()
    )
    try:
        while not over.wait(WAIT_S) and not running.wait(0):
            pass
        return 0
    except ConcordError as error:
        print(f"concord: {error}", file=sys.stderr)
        return 4
    finally:
        running.stop()


def _started(names: list[str], settings: Settings, over: threading.Event) -> Running | None:
    """Services may start in any order: one whose log or store is away waits for it. None: told to stop meanwhile."""
    said = ""
    while not over.is_set():
        try:
            return Running(names, settings)
        except Unavailable as error:
            if str(error) != said:
                structlog.get_logger().warning("waiting for a dependency", why=str(error))
            said = str(error)
            over.wait(WAIT_S)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
