"""An HTTP server for tests whose queue holds a burst: the standard library's five are reset where a busy machine accepts late."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Threaded(ThreadingHTTPServer):
    """As its parent, for clients that open many connections at once."""

    request_queue_size = 128


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[Threaded]:
    """Serves on 127.0.0.1, at a port of its own, until the block ends."""
    server = Threaded(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
