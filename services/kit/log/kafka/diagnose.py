"""Why a Kafka broker does not let us in, in words.

kafka-python says the same of a wrong password, a wrong CA, a missing certificate and a broker that is not there: that it
could not begin within its time. So after that the broker is knocked at once more, by hand: TCP, then TLS, then the one
request that every broker answers before it asks who is there.
"""

import socket
import ssl
import struct
from contextlib import closing

from concord.kit.log.kafka.settings import KafkaSettings

KNOCK_S = 2.0
API_VERSIONS, CORRELATION = 18, 1
# Length, key and version of the request, its number, no client id.
HELLO = struct.pack(">ihhih", 10, API_VERSIONS, 0, CORRELATION, -1)


def why(settings: KafkaSettings, said: str) -> str:
    """What is wrong with the first contact and what to look at; `said` is the client's own message."""
    found = [f"{address}: {_knock(settings, address)}" for address in settings.bootstrap]
    return f"{'; '.join(found)}. In use: {settings.shown()}. (kafka-python said: {said})"


def _knock(settings: KafkaSettings, address: str) -> str:
    host, _, port = address.rpartition(":")
    try:
        wire = socket.create_connection((host.strip("[]"), int(port)), KNOCK_S)
    except OSError as error:
        return f"nothing answers there ({error.strerror or error}); check the address, and whether the broker is up"
    with closing(wire):
        try:
            if not settings.uses_tls:
                return _after_hello(settings, wire)
            with settings.tls().wrap_socket(wire, server_hostname=host.strip("[]")) as safe:
                return _after_hello(settings, safe)
        except ssl.SSLCertVerificationError as error:
            return f"its certificate is not to be trusted ({error.verify_message}); ca_file must hold the CA that signed it"
        except ssl.SSLError as error:
            return _tls_trouble(settings, error)
        except OSError:
            return _silent(settings)


def _after_hello(settings: KafkaSettings, wire: socket.socket) -> str:
    """In TLS 1.3 a certificate that is refused shows only now."""
    wire.sendall(HELLO)
    answer = wire.recv(8)
    if len(answer) < 8 or struct.unpack(">i", answer[4:])[0] != CORRELATION:
        return _silent(settings)
    if settings.uses_sasl:
        return (
            f"it answers, but does not let user {settings.user!r} in: a wrong password, or a user that the broker does not know by "
            f"{settings.mechanism}"
        )
    return "it answers by now; it was away or is slow, or other brokers that it names cannot be reached from here"


def _tls_trouble(settings: KafkaSettings, error: ssl.SSLError) -> str:
    what = (error.reason or str(error)).lower().replace("_", " ")
    if "certificate" in what or "unknown ca" in what:
        shown = "shows none" if not settings.cert_file else "shows one that it does not trust"
        return (
            f"it asks for a certificate and the client {shown} ({what}); cert_file and key_file must hold the client's"
        )
    return f"TLS fails ({what}); perhaps that port speaks no TLS: security=PLAINTEXT or SASL_PLAINTEXT"


def _silent(settings: KafkaSettings) -> str:
    other = "it may not speak TLS" if settings.uses_tls else "it may want TLS: security=SSL or SASL_SSL"
    return f"it takes the connection and says nothing a broker says; {other}"
