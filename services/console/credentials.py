"""Signed passes: who somebody is, what for, of which run, from when until when. Nothing is kept: the signature is all. Pure."""

import base64
import binascii
import hashlib
import hmac
import json
import re
from dataclasses import dataclass, field

from concord.kit.errors import Denied, InvalidInput

MOST_NAME = 60
LEAST_SECRET = 16
_VERSION = 1
# What a secret is used for; each use has a key of its own, so that one signature never passes for another.
_PASS, _FORM, _NAME = b"pass", b"form", b"name"
ALIAS = re.compile(r"p-[0-9a-f]{12}")


@dataclass(frozen=True)
class Pass:
    """What its holder may be let in for."""

    role: str
    name: str
    # The run that it is for; empty: any run.
    run_id: str
    # Unix seconds.
    issued: float
    expires: float
    # What an annotator brings: asked are only questions that need nothing else. Empty: any.
    skills: tuple[str, ...] = ()
    # What the log says instead of the name.
    alias: str = field(default="", compare=False)


def check_secret(secret: bytes, where: str) -> bytes:
    """The secret; raises InvalidInput that names where it is kept if it is too short to keep anybody out."""
    if len(secret) < LEAST_SECRET:
        raise InvalidInput(
            f"{where}: a secret of at least {LEAST_SECRET} bytes is expected, such as `openssl rand -hex 32` writes"
        )
    return secret


def check_name(name: str) -> str:
    """The name; raises InvalidInput for one that is no short, plain word or words."""
    if not name.strip() or len(name) > MOST_NAME or not all(c.isprintable() for c in name) or "," in name:
        raise InvalidInput(
            f"annotator {name!r:.100}: a name of 1 to {MOST_NAME} printable characters without commas is expected"
        )
    return name


def sign(said: Pass, secret: bytes) -> str:
    """The pass as a token of letters, digits, `-`, `_` and one `.`."""
    words = [_VERSION, said.role, said.name, said.run_id, said.issued, said.expires, *said.skills]
    body = _encoded(json.dumps(words).encode())
    return f"{body}.{_signature(_PASS, body, secret)}"


def read(token: str, secret: bytes, now: float) -> Pass:
    """The pass that was signed; raises Denied for a forged one, one that was cut, and one whose time is over."""
    body, _, signature = token.partition(".")
    if not hmac.compare_digest(_signature(_PASS, body, secret).encode(), signature.encode()):
        raise Denied("this link was not issued here, or was not copied whole; ask for another one")
    try:
        version, role, name, run_id, issued, expires, *skills = json.loads(
            base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        )
    except (ValueError, binascii.Error):
        raise Denied("this link is of another version; ask for another one") from None
    if version != _VERSION:
        raise Denied("this link is of another version; ask for another one")
    if now >= expires:
        raise Denied("this link's time is over; ask for another one")
    return Pass(role, name, run_id, issued, expires, tuple(skills), alias(name, secret))


def alias(name: str, secret: bytes) -> str:
    """The pseudonym of a name: the same wherever the secret is the same. A pseudonym is its own."""
    if ALIAS.fullmatch(name):
        return name
    key = hmac.digest(secret, _NAME, hashlib.sha256)
    return f"p-{hmac.digest(key, name.encode(), hashlib.sha256).hex()[:12]}"


def form_token(holder: str, secret: bytes) -> str:
    """What a page sends back with everything that changes something: another site cannot know it."""
    return _signature(_FORM, holder, secret)


def is_form_token(given: str, holder: str, secret: bytes) -> bool:
    """Whether a page of this holder's sent it."""
    return hmac.compare_digest(given.encode(), form_token(holder, secret).encode())


def _signature(use: bytes, body: str, secret: bytes) -> str:
    key = hmac.digest(secret, use, hashlib.sha256)
    return _encoded(hmac.digest(key, body.encode(), hashlib.sha256))


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
