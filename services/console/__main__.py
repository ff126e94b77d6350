"""`python -m concord.console`: the pages as a process of a cluster, in front of the door that CONCORD_CONSOLE_DOOR names."""

import sys
from contextlib import ExitStack

import structlog

from concord.console.serving import serving
from concord.kit import telemetry
from concord.kit.ending import told_to_end
from concord.kit.errors import ConcordError
from concord.kit.settings import from_environment, host_of
from concord.kit.telemetry import log_json


def main() -> int:
    """Runs until SIGTERM or SIGINT; 0 after a clean end, 2 for a mistake in settings."""
    over = told_to_end()
    try:
        settings = from_environment()
        log_json(settings.log_level)
        with ExitStack() as opened:
            if settings.metrics_port:
                opened.callback(telemetry.serve_metrics(settings.metrics_port, host_of(settings.console_listen)))
            made = opened.enter_context(serving(settings, settings.console_door))
            structlog.get_logger().info("serving", services=["console"], address=made.url, **settings.shown())
            over.wait()
    except ConcordError as error:
        print(f"concord: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
