"""Which addresses a judge's URL may lead to. Pure: names are resolved elsewhere, and each address is asked about here.

Who may create a run names a URL, and this process asks it from where it stands: beside databases, other services and the cloud's
metadata. Addresses are judged once a name is resolved, at each connection, because a name may lead elsewhere the next time.
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Where clouds keep credentials: link-local ones, and those that lie elsewhere (Amazon, Azure, Alibaba, Oracle).
METADATA: tuple[Network, ...] = tuple(
    map(
        ipaddress.ip_network,
        (
            "169.254.0.0/16",
            "fe80::/10",
            "fd00:ec2::254/128",
            "168.63.129.16/32",
            "100.100.100.200/32",
            "192.0.0.192/32",
        ),
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
SETTING = "CONCORD_JUDGE_NETWORKS"


@dataclass(frozen=True)
class Egress:
    """What is open beside public addresses."""

    inner: bool = False  # loopback and private addresses, but no metadata
    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()  # names that may lead anywhere

    def refusal(self, host: str, address: str) -> str:
        """Why a connection to this address, which the host's name led to, is refused; empty where it is not."""
        if host.lower().rstrip(".") in self.hosts:
            return ""
        ip = ipaddress.ip_address(address.partition("%")[0])
        for one in _within(ip):
            if any(one in network for network in self.networks):
                continue
            if any(one in network for network in METADATA):
                return _words(host, ip, "a link-local or metadata address, where machines keep their credentials")
            if not self.inner and (not one.is_global or one.is_multicast):
                return _words(host, ip, "an address inside")
            if one.is_multicast or (one.is_unspecified and not self.inner):
                return _words(host, ip, "no address of one machine")
        return ""


# Of whoever asks on his own machine, for himself.
OWN = Egress(inner=True)


def _words(host: str, ip: Address, what: str) -> str:
    to = "" if host == str(ip) else f" leads to {ip},"
    return f"{host[:200]}{to} is refused: {what}. If the judge is there, whoever runs the labeling service names it in {SETTING}"


def _within(ip: Address) -> Iterator[Address]:
    """The address, and the IPv4 address that an IPv6 one stands for."""
    if isinstance(ip, ipaddress.IPv4Address):
        yield ip
        return
    inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
    if inner is None and ip in _NAT64:
        inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    # A mapped one is no address of its own.
    if not ip.ipv4_mapped and ip not in _NAT64:
        yield ip
    if inner is not None:
        yield inner


def parse(text: str) -> Egress:
    """`10.1.0.0/16,vllm.models.svc`: networks, addresses, host names; `private`: loopback and private ones; `public`: nothing more.

    Raises ValueError for what is none of these.
    """
    networks, hosts, inner = list[Network](), set[str](), False
    for said in filter(None, (one.strip().lower().rstrip(".") for one in text.split(","))):
        if said in ("public", "private"):
            inner = inner or said == "private"
        elif said[0].isdigit() or ":" in said or "/" in said:
            networks.append(ipaddress.ip_network(said, strict=False))
        elif all(part and part.replace("-", "").replace("_", "").isalnum() for part in said.split(".")):
            hosts.add(said)
        else:
            raise ValueError(f"{said!r} is no network, address or host name")
    return Egress(inner, tuple(networks), frozenset(hosts))
