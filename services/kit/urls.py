"""Secrets in URLs: which options hold one, and how a URL may be shown, in logs, messages and what `doctor` prints. Pure."""

import re
from urllib.parse import parse_qsl, urlsplit

# From the first colon to the last @: a password that was not quoted as it must be is hidden as well.
_USER_INFO = re.compile(r"://([^:/?#@]*):.*@")
_BEFORE_HOST = re.compile(r"://.*@")
_WORDS = r"(?:pass[a-z]*|pwd|secret|token|key|sig(?:nature)?|credentials?)"
# Whatever a name of an option ends with here; `password_file` and `password_env` only say where the secret is.
_OPTION = re.compile(rf"([?&](?:[^=&]*{_WORDS}|aws_[a-z_]+)=)[^&#]*", re.IGNORECASE)
_SECRET = re.compile(_WORDS, re.IGNORECASE)


def without_secrets(url: str) -> str:
    """The URL, its password and secret options replaced by `***`."""
    return _OPTION.sub(r"\1***", _USER_INFO.sub(r"://\1:***@", url))


def secret_option(query: str) -> str:
    """The first option of the query whose name has a secret's word in it; empty where none has."""
    return next((name for name, _ in parse_qsl(query, keep_blank_values=True) if _SECRET.search(name)), "")


def is_under(url: str, home: str) -> bool:
    """Whether the URL is `home` or leads below it: the same scheme, host and port, and a path that goes on where its ends."""
    asked, given = urlsplit(url), urlsplit(home)
    if (asked.scheme, asked.netloc) != (given.scheme, given.netloc) or not given.netloc:
        return False
    path, root = asked.path.rstrip("/") + "/", given.path.rstrip("/") + "/"
    climbs = ".." in path.lower().replace("%2e", ".").replace("%2f", "/").split("/")
    return path.startswith(root) and not climbs


def address(url: str) -> str:
    """Scheme, hosts and ports alone: of a URL that is still to be checked, where a secret may stand in any other part."""
    split = urlsplit(_BEFORE_HOST.sub("://", url.partition("?")[0]))
    return f"{split.scheme}://{split.netloc}"
