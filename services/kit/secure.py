"""gRPC over TLS: an address says which files a server or a client shows and trusts.

`tls://HOST:PORT?cert_file=…&key_file=…&ca_file=…`, as Kafka's URL says it too; without `tls://` an address is plain, which is for
the loopback. A server shows `cert_file` and, where `ca_file` is named, lets nobody in whose certificate that has not signed. A
client trusts `ca_file`, or the system's authorities without it, and shows its own certificate where it has one. Files that are
renewed are read again, by a server at the next connection.
"""

import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

import grpc

from concord.kit.errors import InvalidInput

SCHEME = "tls://"
FILES = ("ca_file", "cert_file", "key_file")
FORM = "tls://HOST:PORT?cert_file=FILE&key_file=FILE&ca_file=FILE is expected"
# HOST:PORT, or a name in one of gRPC's own schemes: `ipv4:10.0.0.1:7070,10.0.0.2:7070`.
PLAIN = re.compile(r"[^?&\s]+")


@dataclass(frozen=True)
class Files:
    """What is shown and whom is trusted; empty: nothing, and the system's authorities."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


def parsed(address: str) -> tuple[str, Files | None]:
    """(the address without its scheme and files, the files); None: plain. Raises InvalidInput."""
    if not address.startswith(SCHEME):
        return address, None
    place, _, query = address.removeprefix(SCHEME).partition("?")
    said = parse_qsl(query, keep_blank_values=True)
    if unknown := [name for name, _ in said if name not in FILES]:
        raise InvalidInput(f"{address!r}: {unknown[0]!r} is none of {', '.join(FILES)}; {FORM}")
    if not PLAIN.fullmatch(place):
        raise InvalidInput(f"{address!r}: no HOST:PORT; {FORM}")
    files = Files(**dict(said))
    if bool(files.cert_file) != bool(files.key_file):
        raise InvalidInput(f"{address!r}: cert_file and key_file go together; {FORM}")
    return place, files


def shown(address: str) -> str:
    """The address without its files, as it may stand in a message."""
    return address.partition("?")[0]


def client(files: Files) -> grpc.ChannelCredentials:
    """What a caller shows and whom it trusts. Raises InvalidInput for a file that cannot be used."""
    _check(files)
    ca, key, cert = _contents(files)
    return grpc.ssl_channel_credentials(ca, key, cert)


def server(address: str, files: Files) -> grpc.ServerCredentials:
    """What a server shows and whom it lets in. Raises InvalidInput for a file that cannot be used."""
    if not files.cert_file:
        raise InvalidInput(f"{address!r}: a server shows a certificate; {FORM}")
    _check(files)
    stamps = [_stamp(files)]

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        """None: as before. While the files are being replaced the old ones hold."""
        stamp = _stamp(files)
        if stamp == stamps[0]:
            return None
        try:
            _check(files)
            made = _configuration(files)
        except InvalidInput:
            return None
        stamps[0] = stamp
        return made

    return grpc.dynamic_ssl_server_credentials(_configuration(files), renewed, bool(files.ca_file))


def _configuration(files: Files) -> grpc.ServerCertificateConfiguration:
    ca, key, cert = _contents(files)
    return grpc.ssl_server_certificate_configuration([(key, cert)], ca)


def _contents(files: Files) -> list[bytes | None]:
    """The CA's certificate, the key and the certificate; None for what is not named."""
    return [_read(name, path) if path else None for name, path in _order(files)]


def _order(files: Files) -> list[tuple[str, str]]:
    return [(name, getattr(files, name)) for name in ("ca_file", "key_file", "cert_file")]


def _read(name: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidInput(f"{name}={path}: cannot be read: {error.strerror}") from None


def _check(files: Files) -> None:
    """gRPC says nothing of a file that is no certificate until somebody calls: Python's own TLS reads them first."""
    _contents(files)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if files.ca_file:
        try:
            context.load_verify_locations(files.ca_file)
        except ssl.SSLError as error:
            raise InvalidInput(
                f"ca_file={files.ca_file}: holds no certificate of an authority ({error.reason})"
            ) from None
    if files.cert_file:
        try:
            context.load_cert_chain(files.cert_file, files.key_file)
        except ssl.SSLError as error:
            why = error.reason or "no certificate, or no key without a password"
            raise InvalidInput(
                f"cert_file={files.cert_file} and key_file={files.key_file}: no certificate with its key ({why})"
            ) from None


def _stamp(files: Files) -> tuple[object, ...]:
    """Changes when a file does; secrets that are mounted are links, whose target changes."""
    out: list[object] = []
    for _, path in _order(files):
        try:
            found = os.stat(path) if path else None
        except OSError:
            found = None
        out.append(found and (found.st_ino, found.st_mtime_ns, found.st_size))
    return tuple(out)
