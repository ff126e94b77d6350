"""Secrets in texts from outside: struck out before a text is cut, logged, shown or kept, in whatever dress they come. Pure.

Whoever holds a secret and is told something by whoever it was sent to passes the words through `redacted` first.
"""

import re
from base64 import b64encode
from collections.abc import Iterable
from functools import lru_cache

STRUCK = "***"
# An endpoint that repeats a key often cuts it: so many characters of its beginning give it away, and so do those behind.
_BEGINNING = 8
# A shorter secret is a word that texts hold by chance; it is struck out where it stands alone.
_SHORT = 6
# What a key looks like, whoever's it is: behind a scheme's name, or with one of the usual beginnings.
_LIKE_A_KEY = re.compile(
    r"(?i:\bbearer\s+|\b(?:api[-_]?key|authorization)[\"']?\s*[:=]\s*[\"']?)[\w.~+/=-]{8,}"
    r"|\b(?:sk|pk|rk|hf|gsk|xai|nvapi|ghp|glpat)[-_][A-Za-z0-9_-]{16,}"
)


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without the secrets: as they are, escaped for JSON, HTML or a URL, in base64, or their beginnings.

    What merely looks like a key (`Bearer …`, `sk-…`) is struck out too. Linear in the text.
    """
    for secret in secrets:
        if secret:
            text = _pattern(secret).sub(STRUCK, text)
    return _LIKE_A_KEY.sub(STRUCK, text)


@lru_cache(maxsize=256)
def _pattern(secret: str) -> re.Pattern[str]:
    whole = "".join(map(_any_dress, secret))
    if len(secret) < _SHORT:
        return re.compile(rf"(?<!\w){whole}(?!\w)")
    encoded = re.escape(b64encode(secret.encode()).decode().rstrip("="))
    beginning = "".join(map(_any_dress, secret[:_BEGINNING])) + r"[^\s\"'<>,;]*"
    # A common beginning such as "sk-proj-" says little, but then what stands behind it is a key as well.
    return re.compile("|".join((whole, *([beginning] if len(secret) > _BEGINNING else []), encoded)))


def _any_dress(character: str) -> str:
    code = ord(character)
    spelled = [re.escape(character), rf"\\+{re.escape(character)}", rf"(?i:\\+u{code:04x})", rf"(?i:%{code:02x})"]
    spelled += [rf"&#0*{code};", rf"(?i:&#x0*{code:x};)"]
    spelled += [name for sign, name in _HTML.items() if sign == character]
    return f"(?:{'|'.join(spelled)})"


_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
