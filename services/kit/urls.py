"""URLs as they may be shown: in logs, in messages, in what `doctor` prints. Pure."""

import re

# From the first colon to the last @: a password that was not quoted as it must be is hidden as well.
_USER_INFO = re.compile(r"://([^:/?#@]*):.*@")
_OPTION = re.compile(r"([?&](?:password|sslpassword|secret|token|key|aws_[a-z_]+)=)[^&]*", re.IGNORECASE)


def without_secrets(url: str) -> str:
    """The URL, its password and secret options replaced by `***`."""
    return _OPTION.sub(r"\1***", _USER_INFO.sub(r"://\1:***@", url))
