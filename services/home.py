"""The folder that a command or a notebook works in, the settings that go with it, and where it reads."""

import os
from contextlib import AbstractContextManager
from pathlib import Path

from concord.client.results.records import Records, there
from concord.kit.errors import InvalidInput
from concord.kit.settings import Settings, from_environment
from concord.kit.telemetry import log_json
from concord.operate.local_records import here


def opened(folder: str = "") -> Settings:
    """The settings; services' logs go to a file beside the data, so that the terminal stays readable.

    `folder` is the home; empty: the one that CONCORD_HOME names.
    """
    try:
        settings = from_environment(home=folder) if folder else from_environment()
        home = Path(settings.home)
        home.mkdir(parents=True, exist_ok=True)
        log_json(settings.log_level, (home / "concord.log").open("a"))
    except OSError as error:
        where = folder or os.environ.get("CONCORD_HOME", Settings.home)
        raise InvalidInput(
            f"CONCORD_HOME={where}: cannot be written: {error.strerror or error}; name a folder of yours in CONCORD_HOME, or "
            "change to one"
        ) from None
    return settings


def reading(settings: Settings, server: str = "") -> AbstractContextManager[Records]:
    """Where commands read: through the front door `server`, or what the settings name where that is empty."""
    return there(server) if server else here(settings)
