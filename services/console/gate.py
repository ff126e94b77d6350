"""Who a request comes from: a signed pass in a cookie, or the identity header of a proxy that is named."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from concord.console import credentials, roles
from concord.console.credentials import Pass
from concord.kit.errors import Denied, InvalidInput
from concord.v1.runs_service_pb2 import RunView

# Each area has its cookie, so that an operator may look at the annotators' page in the same browser.
AREAS = ("annotate", "runs")
COOKIE = {area: f"concord-{area}" for area in AREAS}
ANYONE = "*"


@dataclass(frozen=True)
class Holder:
    """Somebody who was let in, and what the forms of this one's pages are signed for."""

    held: Pass
    key: str


@dataclass(frozen=True)
class Gate:
    """What decides who is let in."""

    secret: bytes
    # Proxies whose word counts on who somebody is; none: nobody's.
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    header: str = ""
    # Name as the proxy says it → role; `*`: anybody whom it names.
    people: Mapping[str, str] | None = None

    def holder(
        self, area: str, cookies: Mapping[str, str], headers: Mapping[str, str], peer: str, now: float
    ) -> Holder:
        """Who asks. Raises Denied."""
        if token := cookies.get(COOKIE[area]):
            return Holder(credentials.read(token, self.secret, now), token)
        name = headers.get(self.header.lower(), "") if self.header and self._is_proxy(peer) else ""
        people = self.people or {}
        if name and (role := people.get(name, people.get(ANYONE, ""))):
            return Holder(
                Pass(role, name, "", now, now + 1, alias=credentials.alias(name, self.secret)), f"proxy/{name}"
            )
        raise Denied("no link was opened in this browser")

    def _is_proxy(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self.proxies)


def check(held: Pass, action: str, run_id: str, view: RunView | None) -> None:
    """Raises Denied where this pass is not for that: another role's, another run's, or revoked."""
    if not roles.may(held.role, action):
        raise Denied(f"this is not for the role {held.role}")
    if held.run_id and held.run_id != run_id:
        raise Denied("your link is for another run")
    for one in view.revocations if view is not None else ():
        if one.name in (held.name, held.alias) and held.issued <= one.before:
            raise Denied("your link was revoked")


def networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Addresses and networks with commas between. Raises InvalidInput."""
    try:
        return tuple(ip_network(one.strip()) for one in text.split(",") if one.strip())
    except ValueError as error:
        raise InvalidInput(
            f"CONCORD_CONSOLE_PROXIES={text!r}: addresses or networks with commas between are expected: {error}"
        ) from None


def people(text: str) -> Mapping[str, str]:
    """`NAME=ROLE,…` as a table. Raises InvalidInput."""
    said: Sequence[tuple[str, str, str]] = [one.strip().partition("=") for one in text.split(",") if one.strip()]
    for name, _, role in said:
        if not name or role not in roles.MAY or role == "annotator":
            known = ", ".join(sorted(set(roles.MAY) - {"annotator"}))
            raise InvalidInput(f"CONCORD_CONSOLE_PEOPLE={text!r}: NAME=ROLE,… is expected, with a role of {known}")
    return {name: role for name, _, role in said}
