"""A Kafka log's address and options, as one URL: `kafka://host:port[,host:port…]?option=value&…`.

The options are the fields of `KafkaSettings`. No secret stands in the URL, which is printed and recorded: the password and
the key lie in files (a mounted Kubernetes secret), or the password in a variable, and the URL names them.
"""

from dataclasses import fields
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from concord.kit.errors import InvalidInput
from concord.kit.log.kafka.settings import OAUTH, KafkaSettings
from concord.kit.urls import address

SECURITY = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN", OAUTH)
NO_SECRET = (
    "The URL is printed and recorded, so it holds no secret: name the user by ?user=NAME, and a file or variable by "
    "&password_file=PATH or &password_env=NAME"
)


def parse(url: str) -> KafkaSettings:
    """The settings in a `kafka://` URL. Raises InvalidInput that names the part which is wrong, and never repeats a secret."""
    split = urlsplit(url)
    shown = address(url)
    if "@" in url.partition("?")[0]:
        raise InvalidInput(f"{shown}: a user or password stands before the address. {NO_SECRET}")
    bootstrap = tuple(split.netloc.split(","))
    if split.scheme != "kafka" or not all(map(_is_address, bootstrap)):
        raise InvalidInput(f"{shown!r} is no Kafka address; write kafka://host:port[,host:port][?option=value&…]")
    kinds = {field.name: field.type for field in fields(KafkaSettings) if field.name != "bootstrap"}
    given: dict[str, Any] = {}
    for name, value in parse_qsl(split.query, keep_blank_values=True):
        if name not in kinds:
            more = f" {NO_SECRET}" if "password" in name or "secret" in name else ""
            raise InvalidInput(f"{shown}: there is no option {name!r}; there are {', '.join(kinds)}.{more}")
        if kinds[name] is int and not (value.isdigit() and int(value) > 0):
            raise InvalidInput(f"{shown}: {name} must be a whole number above 0, not {value!r}")
        given[name] = int(value) if kinds[name] is int else value
    return _checked(shown, KafkaSettings(bootstrap, **given))


def _checked(shown: str, settings: KafkaSettings) -> KafkaSettings:
    """Refuses what contradicts itself before anybody waits for a broker."""
    if settings.security not in SECURITY:
        raise InvalidInput(f"{shown}: security={settings.security!r} is not one of {', '.join(SECURITY)}")
    if settings.uses_sasl and settings.mechanism not in MECHANISMS:
        raise InvalidInput(f"{shown}: mechanism={settings.mechanism!r} is not one of {', '.join(MECHANISMS)}")
    sources = [name for name in ("password_file", "password_env") if getattr(settings, name)]
    if settings.uses_sasl and not (settings.user and len(sources) == 1):
        raise InvalidInput(
            f"{shown}: security={settings.security} needs user, and one of password_file and password_env"
        )
    if not settings.uses_sasl and (settings.user or sources):
        raise InvalidInput(
            f"{shown}: {', '.join(filter(None, ('user' if settings.user else '', *sources)))} would not be used with "
            f"security={settings.security}; did you mean security=SASL_SSL"
        )
    if (settings.mechanism == OAUTH) != bool(settings.token_url):
        raise InvalidInput(
            f"{shown}: mechanism={OAUTH} and token_url=https://… belong together: where the client `user` gets its tokens"
        )
    files = [name for name in ("ca_file", "cert_file", "key_file") if getattr(settings, name)]
    if files and not settings.uses_tls:
        raise InvalidInput(
            f"{shown}: {', '.join(files)} would not be used with security={settings.security}; SSL or SASL_SSL?"
        )
    if settings.key_file and not settings.cert_file:
        raise InvalidInput(f"{shown}: key_file is given without the certificate it belongs to: cert_file")
    return settings


def _is_address(text: str) -> bool:
    host, colon, port = text.rpartition(":")
    return bool(host and colon and port.isdigit() and "@" not in host)
