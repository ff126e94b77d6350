"""URLs as they may be shown: in logs, in messages, in what `doctor` prints. Pure."""

import re
from urllib.parse import urlsplit

# From the first colon to the last @: a password that was not quoted as it must be is hidden as well.
_USER_INFO = re.compile(r"://([^:/?#@]*):.*@")
_BEFORE_HOST = re.compile(r"://.*@")
# Whatever a name of an option ends with here; `password_file` and `password_env` only say where the secret is.
_SECRET = r"[^=&]*(?:pass[a-z]*|pwd|secret|token|key|signature|credentials?)|aws_[a-z_]+"
_OPTION = re.compile(rf"([?&](?:{_SECRET})=)[^&#]*", re.IGNORECASE)


def without_secrets(url: str) -> str:
    """The URL, its password and secret options replaced by `***`."""
    return _OPTION.sub(r"\1***", _USER_INFO.sub(r"://\1:***@", url))


def address(url: str) -> str:
    """Scheme, hosts and ports alone: of a URL that is still to be checked, where a secret may stand in any other part."""
    split = urlsplit(_BEFORE_HOST.sub("://", url.partition("?")[0]))
    return f"{split.scheme}://{split.netloc}"
