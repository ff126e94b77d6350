"""Where the secret comes from that passes are signed with and pseudonyms are made of: a file that is named, or the home's own."""

import os
import secrets
from pathlib import Path

from concord.console import credentials
from concord.kit.errors import InvalidInput
from concord.kit.settings import Settings


def secret_of(settings: Settings) -> bytes:
    """The secret that passes are signed with: a file that is named, or one of our own in the home, made once."""
    if settings.console_secret_file:
        path = Path(settings.console_secret_file)
        try:
            return credentials.check_secret(path.read_bytes().strip(), f"CONCORD_CONSOLE_SECRET_FILE={path}")
        except OSError as error:
            raise InvalidInput(f"CONCORD_CONSOLE_SECRET_FILE={path}: cannot be read: {error.strerror}") from None
    path = Path(settings.home) / "console-secret"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    except FileExistsError:
        pass
    except OSError as error:
        raise InvalidInput(
            f"{path}: cannot be written: {error.strerror}; name another folder in CONCORD_HOME"
        ) from None
    return credentials.check_secret(path.read_bytes().strip(), str(path))
