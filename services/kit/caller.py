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
# The pages say here for whom they call, as `ROLE/NAME`: what they may do is theirs, but the facts are that person's.
FOR = "x-concord-for"
# For whom the calls of this thread are made; empty: for nobody but this process.
_ACTING: ContextVar[str] = ContextVar("acting for", default="")
# (role, name, full method name, request, role of who passes the call on) → why not, in words; empty: nothing stands against it.
Rights = Callable[[str, str, str, object, str], str]
# Roles that are believed for whom they call.
ACT_FOR_OTHERS = frozenset({"console"})


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
    said = {key: str(value) for key, value in context.invocation_metadata() if key in (HEADER, FOR)}
    passed_on = _named(said.get(HEADER, ""))
    caller = passed_on or shown
    if why := rights(caller.role, caller.name, method, request, shown.role if passed_on else ""):
        raise Denied(why)
    if not said.get(FOR):
        return caller
    if caller.role not in ACT_FOR_OTHERS:
        raise Denied(f"your certificate says {str(caller)[:100]!r}: you cannot call for others")
    return _named(said[FOR]) or caller


@contextmanager
def acting_for(who: str) -> Iterator[None]:
    """Within the block the calls of this thread are made for this person, `ROLE/NAME`."""
    token = _ACTING.set(who)
    try:
        yield
    finally:
        _ACTING.reset(token)


def metadata() -> tuple[tuple[str, str], ...]:
    """What this thread's calls say of whom they are made for."""
    return ((FOR, _ACTING.get()),) if _ACTING.get() else ()


@contextmanager
def answering(caller: Caller | None) -> Iterator[None]:
    """Within the block this thread answers the caller's call."""
    token = _NOW.set(caller)
    try:
        yield
    finally:
        _NOW.reset(token)
