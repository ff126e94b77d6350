"""A name server for tests: real DNS over UDP on the loopback, for names that mean several replicas.

gRPC asks it where the target names it: `dns://127.0.0.1:PORT/front.test:7070`.
"""

import socket
import struct
import threading
from collections.abc import Sequence

HEADER = struct.Struct("!2s5H")
ANSWERED, ADDRESS, INTERNET = 0x8580, 1, 1
# The name of an answer: the one that was asked, which stands right after the header.
ASKED = b"\xc0\x0c"


class Names:
    """`with Names(hosts) as names`: every name means these IPv4 addresses, which may change meanwhile."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self.hosts = tuple(hosts)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def target(self, port: int) -> str:
        """What a channel is given."""
        return f"dns://127.0.0.1:{self.port}/front.test:{port}"

    def __enter__(self) -> "Names":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            query, caller = self._socket.recvfrom(2048)
            if not query:
                return
            end = query.index(b"\0", HEADER.size) + 5
            kind = struct.unpack("!H", query[end - 4 : end - 2])[0]
            hosts = self.hosts if kind == ADDRESS else ()
            header = HEADER.pack(query[:2], ANSWERED, 1, len(hosts), 0, 0)
            self._socket.sendto(header + query[HEADER.size : end] + b"".join(map(_record, hosts)), caller)


def _record(host: str) -> bytes:
    return ASKED + struct.pack("!HHIH", ADDRESS, INTERNET, 0, 4) + socket.inet_aton(host)
