"""A Kafka log's address and options, as one URL, and what every client of it here shares.

`kafka://host:port[,host:port…]?option=value&…`; the options are the fields of `KafkaSettings`.
"""
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from kafka.errors import AuthorizationError, KafkaError

from services.kit.errors import InvalidInput, Unavailable

# How long a question (where is the end, a commit, a first contact) may take before Kafka counts as away.
ASK_S = 5


@dataclass(frozen=True)
class KafkaSettings:
    """Where the brokers are and how they are spoken to; every field but the first is an option of the URL."""

    bootstrap: tuple[str, ...]
    # Stands before the name of every topic and group: several worlds on one cluster.
    prefix: str = ""
    # Copies of each topic that is made; 3 or more also demand that two hold a record before it counts.
    replication: int = 1
    # A member that is silent for so long is given up. Heartbeats come from a thread of their own, one a second, so a
    # busy member is not taken for a dead one; Kafka's own 45 s would let a dead worker's units lie for so long.
    session_ms: int = 10_000
    # A member that does not poll for so long gives its partitions up itself.
    poll_interval_ms: int = 300_000
    # How long an append tries before it is Unavailable: longer than a broker's restart.
    timeout_s: int = 30
    # PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL; the files are PEM.
    security: str = "PLAINTEXT"
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    mechanism: str = "SCRAM-SHA-512"
    user: str = ""
    # The password lies in a file, so that the URL can be printed and recorded.
    password_file: str = ""

    @property
    def where(self) -> str:
        return ",".join(self.bootstrap)

    @property
    def ask_ms(self) -> int:
        return min(ASK_S, self.timeout_s) * 1000

    def connection(self) -> dict[str, Any]:
        """What each kafka-python client is given. Raises InvalidInput where the password file cannot be read."""
        given: dict[str, Any] = {
            "bootstrap_servers": list(self.bootstrap),
            "bootstrap_timeout_ms": self.ask_ms,
            # The default backs off up to 30 s, by which every outage would be the longer.
            "reconnect_backoff_max_ms": 500,
            "security_protocol": self.security,
            "ssl_cafile": self.ca_file or None,
            "ssl_certfile": self.cert_file or None,
            "ssl_keyfile": self.key_file or None,
        }
        if self.security.startswith("SASL"):
            given |= {"sasl_mechanism": self.mechanism, "sasl_plain_username": self.user}
            given["sasl_plain_password"] = self._password()
        return given

    def _password(self) -> str:
        try:
            return Path(self.password_file).read_text().strip()
        except OSError as error:
            raise InvalidInput(f"Kafka's password_file {self.password_file!r} cannot be read: {error}") from None


def parse(url: str) -> KafkaSettings:
    """The settings in a `kafka://` URL. Raises InvalidInput that names the part which is wrong."""
    split = urlsplit(url)
    bootstrap = tuple(split.netloc.split(","))
    if split.scheme != "kafka" or not all(_is_address(address) for address in bootstrap):
        raise InvalidInput(f"{url!r} is no Kafka address; write kafka://host:port[,host:port][?option=value&…]")
    kinds = {field.name: field.type for field in fields(KafkaSettings) if field.name != "bootstrap"}
    given: dict[str, Any] = {}
    for name, value in parse_qsl(split.query, keep_blank_values=True):
        if name not in kinds:
            raise InvalidInput(f"{url!r}: there is no option {name!r}; there are {', '.join(kinds)}")
        if kinds[name] is int and not (value.isdigit() and int(value) > 0):
            raise InvalidInput(f"{url!r}: {name} must be a whole number above 0, not {value!r}")
        given[name] = int(value) if kinds[name] is int else value
    return KafkaSettings(bootstrap, **given)


def _is_address(address: str) -> bool:
    host, colon, port = address.rpartition(":")
    return bool(host and colon and port.isdigit() and "@" not in host)


def unavailable(settings: KafkaSettings, error: KafkaError) -> Unavailable:
    """kafka-python's error in words."""
    what = str(error) or type(error).__name__
    if isinstance(error, AuthorizationError):
        return Unavailable(
            f"Kafka at {settings.where} does not let user {settings.user or 'anonymous'} do this "
            f"({type(error).__name__}: {what}); its access rules must allow it"
        )
    # A wrong password or certificate shows only as a broker that cannot be reached, so the settings are named.
    return Unavailable(f"Kafka at {settings.where} (security={settings.security}) does not answer: {what}")


class translated:
    """Turns kafka-python's errors into Unavailable."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, KafkaError):
            raise unavailable(self._settings, error) from error
