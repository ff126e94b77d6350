"""The folder that a command works in, and the settings that go with it."""

import os
from pathlib import Path

from concord.kit.errors import InvalidInput
from concord.kit.settings import Settings, from_environment
from concord.kit.telemetry import log_json


def opened() -> Settings:
    """The settings; services' logs go to a file beside the data, so that the terminal stays readable."""
    try:
        settings = from_environment()
        home = Path(settings.home)
        home.mkdir(parents=True, exist_ok=True)
        log_json(settings.log_level, (home / "concord.log").open("a"))
    except OSError as error:
        where = os.environ.get("CONCORD_HOME", Settings.home)
        raise InvalidInput(
            f"CONCORD_HOME={where}: cannot be written: {error.strerror or error}; name a folder of yours in CONCORD_HOME, or "
            "change to one"
        ) from None
    return settings
