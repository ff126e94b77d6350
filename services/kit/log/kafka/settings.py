"""What every Kafka client here shares: addresses, options (`kafka_url` reads them), security, and errors in words."""

import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from kafka.errors import AuthorizationError, KafkaError

from concord.kit import telemetry
from concord.kit.errors import InvalidInput, Unavailable
from concord.kit.log.kafka.oauth import Tokens
from concord.kit.log.kafka.workarounds.net import PatientClient

# How long a question (where is the end, a commit, a first contact) may take before Kafka counts as away.
ASK_S = 5
OAUTH = "OAUTHBEARER"
Client = TypeVar("Client")


class BadSecret(InvalidInput):
    """A file or variable with a secret cannot be used: the user's mistake at the start; later it is being exchanged."""


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
    # Where the password is: a file, or an environment variable. Both are read anew for each connection's client.
    password_file: str = ""
    password_env: str = ""
    # With mechanism=OAUTHBEARER: the endpoint that gives tokens to the client `user`, whose secret the password is.
    token_url: str = ""
    token_scope: str = ""

    @property
    def where(self) -> str:
        return ",".join(self.bootstrap)

    @property
    def ask_ms(self) -> int:
        return min(ASK_S, self.timeout_s) * 1000

    @property
    def uses_tls(self) -> bool:
        return self.security.endswith("SSL")

    @property
    def uses_sasl(self) -> bool:
        return self.security.startswith("SASL")

    @property
    def who(self) -> str:
        """Whom the broker takes us for."""
        if self.uses_sasl:
            return f"user {self.user}"
        return f"the owner of certificate {self.cert_file}" if self.cert_file else "whoever shows no name"

    def shown(self) -> str:
        """The security settings without the secret, for messages."""
        parts = [f"security={self.security}"]
        if self.uses_sasl:
            source = (
                f"password_file={self.password_file}" if self.password_file else f"password_env={self.password_env}"
            )
            parts += [f"mechanism={self.mechanism}", f"user={self.user}", source]
            parts += [f"token_url={self.token_url}"] if self.token_url else []
        if self.uses_tls:
            parts += [f"{name}={getattr(self, name) or 'none'}" for name in ("ca_file", "cert_file", "key_file")]
        return ", ".join(parts)

    def connection(self, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
        """What each kafka-python client is given. Raises BadSecret where a file or variable cannot be used."""
        given: dict[str, Any] = {
            "bootstrap_servers": list(self.bootstrap),
            "bootstrap_timeout_ms": self.ask_ms,
            # The default backs off up to 30 s, by which every outage would be the longer.
            "reconnect_backoff_max_ms": 500,
            "security_protocol": self.security,
        }
        if self.uses_tls:
            given["ssl_context"] = self.tls()
        if self.uses_sasl:
            password = self._password(environ)
            given["sasl_mechanism"] = self.mechanism
            if self.mechanism == OAUTH:
                secret = partial(self._password, environ)
                given["sasl_oauth_token_provider"] = Tokens(self.token_url, self.user, secret, self.token_scope)
            else:
                given |= {"sasl_plain_username": self.user, "sasl_plain_password": password}
        return given

    def tls(self) -> ssl.SSLContext:
        """Trusts `ca_file`, or the system's authorities without it; shows the client's certificate where there is one."""
        for name in ("ca_file", "cert_file", "key_file"):
            _readable(name, getattr(self, name))
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
        # Also an OSError that is none of TLS: the file went away in between.
        except OSError:
            raise BadSecret(f"Kafka's ca_file {self.ca_file!r} holds no certificates in PEM form") from None
        if self.cert_file:
            try:
                # A key with a passphrase would ask for it at the terminal, and hang where there is none.
                context.load_cert_chain(self.cert_file, self.key_file or None, password=lambda: b"")
            except (OSError, ValueError) as error:
                pair = f"cert_file {self.cert_file!r} and key_file {self.key_file or self.cert_file!r}"
                raise BadSecret(f"Kafka's {pair} are no PEM pair without a passphrase: {error}") from None
        return context

    def _password(self, environ: Mapping[str, str]) -> str:
        if self.password_env:
            if not environ.get(self.password_env):
                raise BadSecret(f"Kafka's password_env: no environment variable {self.password_env} holds a password")
            return environ[self.password_env]
        return _readable("password_file", self.password_file).decode(errors="replace").strip()


def _readable(name: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes() if path else b""
    except OSError as error:
        raise BadSecret(f"Kafka's {name} {path!r} cannot be read: {error.strerror or error}") from None


def opened(kind: Callable[..., Client], net: type[PatientClient] = PatientClient, **given: Any) -> Client:
    """A client of kafka-python's class `kind`; where it raises instead, nothing of it is left behind.

    Its constructor starts a thread and connects; where no broker answers it raises and leaves both running (3.0.12), and
    whoever waits for a broker tries again every few seconds.
    """
    nets: list[Any] = []

    def remembered(**config: Any) -> Any:
        nets.append(net(**config))
        return nets[-1]

    try:
        return kind(kafka_client=remembered, **given)
    except BaseException:
        for made in nets:
            made.close()
        raise


def unavailable(settings: KafkaSettings, error: KafkaError) -> Unavailable:
    """kafka-python's error in words, and counted."""
    telemetry.BACKEND_ERRORS.labels("log").inc()
    what = str(error) or type(error).__name__
    if isinstance(error, AuthorizationError):
        return Unavailable(
            f"Kafka at {settings.where} does not let {settings.who} do this "
            f"({type(error).__name__}: {what}); its access rules must allow it"
        )
    # A wrong password or certificate shows only as a broker that cannot be reached, so the settings are named.
    return Unavailable(f"Kafka at {settings.where} ({settings.shown()}) does not answer: {what}")


class translated:
    """Turns kafka-python's errors into Unavailable, for whoever was let in once; and a secret that cannot be used now."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, KafkaError):
            raise unavailable(self._settings, error) from error
        if isinstance(error, BadSecret):
            raise Unavailable(f"no new connection to Kafka at {self._settings.where}: {error}") from error
