"""An S3 server of thirty lines that can be told to misbehave, over real HTTP; keeps objects in memory, checks no keys."""

import threading
from collections import deque
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

OLD, BUSY, LOSE_ANSWER, CONFLICT, REFUSES = "ignores If-None-Match", "503", "does it and hangs up", "409", "403"
CUT_BODY = "hangs up in the middle of the content"

CODES = {
    404: "NoSuchKey",
    412: "PreconditionFailed",
    503: "SlowDown",
    409: "ConditionalRequestConflict",
    403: "AccessDenied",
}


class FaultyS3:
    """`faults` are taken by the next requests, one each; what is in `always` holds for every request."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.faults: deque[str] = deque()
        self.always = ""
        self.requests: list[str] = []
        self.url = ""

    def put(self, key: str, content: bytes, only_new: bool) -> int:
        if only_new and key in self.objects and self.always != OLD:
            return 412
        self.objects[key] = content
        return 200


@contextmanager
def faulty_s3():
    """A running server; its `url` is a CONCORD_BLOB_URL."""
    store, lock = FaultyS3(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            self._serve(lambda: (store.put(self.path, content, self.headers["If-None-Match"] == "*"), b""))

        def do_GET(self) -> None:
            self._serve(lambda: (200, store.objects[self.path]) if self.path in store.objects else (404, b""))

        def _serve(self, do) -> None:
            with lock:
                fault = store.always or (store.faults.popleft() if store.faults else "")
                store.requests.append(f"{self.command} {self.path.rpartition('/')[2]}")
                status, body = (int(fault), b"") if fault in (BUSY, CONFLICT, REFUSES) else do()
            if fault == LOSE_ANSWER:
                self.close_connection = True
                return
            code = CODES.get(status)
            self.send_response(status)
            body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode() if code else body
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", '"x"')
            self.end_headers()
            self.close_connection = fault == CUT_BODY
            self.wfile.write(body[: len(body) // 2] if fault == CUT_BODY else body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    store.url = f"s3://bucket/at?endpoint_url=http://127.0.0.1:{server.server_port}&region=us-east-1"
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
