"""Who calls: the common name of the certificate that a caller shows, `ROLE` or `ROLE/NAME`, such as `scoring` or `operator/ann`.

Without TLS nobody shows one, and everybody may do everything: that is for the loopback.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import grpc

from concord.kit.errors import Denied


@dataclass(frozen=True)
class Caller:
    """Somebody with a certificate. `name`: empty for a service."""

    role: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.role}/{self.name}" if self.name else self.role


# Whose call is being answered in this thread.
_NOW: ContextVar[Caller | None] = ContextVar("caller", default=None)
# Whoever stands in front of the servers says here whose call it passes on.
HEADER = "x-concord-caller"
# (role, name, full method name, request, role of who passes the call on) → why not, in words; empty: nothing stands against it.
Rights = Callable[[str, str, str, object, str], str]


def everybody(role: str, name: str, method: str, request: object, through: str) -> str:
    """The rights of a server that asks nobody who it is."""
    return ""


def of(context: grpc.ServicerContext) -> Caller | None:
    """Who the certificate says; None: the connection is plain. Raises Denied for a certificate without a name."""
    said = context.auth_context()
    if said.get("transport_security_type") != [b"ssl"] or "x509_pem_cert" not in said:
        return None
    names = said.get("x509_common_name", [])
    caller = _named(names[0].decode(errors="replace") if names else "")
    if caller is None:
        raise Denied("your certificate has no common name: ROLE or ROLE/NAME is expected there")
    return caller


def _named(said: str) -> Caller | None:
    role, _, name = said.partition("/")
    return Caller(role, name) if role else None


def actor() -> str:
    """Whose call this thread answers, as facts keep it; empty: nobody's, or one without a name."""
    caller = _NOW.get()
    return str(caller) if caller else ""


def let_in(context: grpc.ServicerContext, method: str, request: object, rights: Rights) -> Caller | None:
    """Who calls, or whose call is passed on. Raises Denied where he may not call that."""
    shown = of(context)
    if shown is None:
        return None
    passed_on = _named(next((str(value) for key, value in context.invocation_metadata() if key == HEADER), ""))
    caller = passed_on or shown
    if why := rights(caller.role, caller.name, method, request, shown.role if passed_on else ""):
        raise Denied(why)
    return caller


@contextmanager
def answering(caller: Caller | None) -> Iterator[None]:
    """Within the block this thread answers the caller's call."""
    token = _NOW.set(caller)
    try:
        yield
    finally:
        _NOW.reset(token)
