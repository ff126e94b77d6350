"""A small S3 server that can be told to misbehave, over real HTTP; keeps objects in memory, checks no keys."""

import threading
from collections import deque
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qsl

from tests.threaded import served

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
        # Path and id of an upload → its parts by their numbers.
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.faults: deque[str] = deque()
        self.always = ""
        self.requests: list[str] = []
        # By whose key each request was signed, and the session that the key is of.
        self.signed_by: list[tuple[str, str]] = []
        self.url = ""

    def put(self, key: str, content: bytes, only_new: bool) -> int:
        if only_new and key in self.objects and self.always != OLD:
            return 412
        self.objects[key] = content
        return 200

    def complete(self, key: str, upload: str, only_new: bool) -> int:
        parts = self.uploads.pop(upload)
        return self.put(key, b"".join(parts[number] for number in sorted(parts)), only_new)


@contextmanager
def faulty_s3():
    """A running server; its `url` is a CONCORD_BLOB_URL."""
    store, lock = FaultyS3(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            key, query = self._asked()

            def put() -> tuple[int, bytes]:
                if "uploadId" in query:
                    store.uploads[query["uploadId"]][int(query["partNumber"])] = content
                    return 200, b""
                return store.put(key, content, self.headers["If-None-Match"] == "*"), b""

            self._serve(put)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            key, query = self._asked()

            def post() -> tuple[int, bytes]:
                if "uploadId" in query:
                    done = store.complete(key, query["uploadId"], self.headers["If-None-Match"] == "*")
                    return done, b"<CompleteMultipartUploadResult/>"
                name = f"upload-{len(store.requests)}"
                store.uploads[name] = {}
                return 200, f"<R><UploadId>{name}</UploadId></R>".encode()

            self._serve(post)

        def do_DELETE(self) -> None:
            _, query = self._asked()
            self._serve(lambda: (200 if store.uploads.pop(query["uploadId"], None) is not None else 404, b""))

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            key, _ = self._asked()

            def get() -> tuple[int, bytes]:
                if key not in store.objects:
                    return 404, b""
                first, _, last = (self.headers["Range"] or "bytes=0-").removeprefix("bytes=").partition("-")
                return 200, store.objects[key][int(first) : int(last) + 1 if last else None]

            self._serve(get)

        def _asked(self) -> tuple[str, dict[str, str]]:
            key, _, query = self.path.partition("?")
            return key, dict(parse_qsl(query, keep_blank_values=True))

        def _serve(self, do) -> None:
            with lock:
                fault = store.always or (store.faults.popleft() if store.faults else "")
                key = self.headers["Authorization"].partition("Credential=")[2].partition("/")[0]
                store.signed_by.append((key, self.headers["X-Amz-Security-Token"] or ""))
                store.requests.append(f"{self.command} {self.path.partition('?')[0].rpartition('/')[2]}")
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
            if self.command != "HEAD":
                self.wfile.write(body[: len(body) // 2] if fault == CUT_BODY else body)

        def log_message(self, *_: object) -> None: ...

    with served(Handler) as server:
        store.url = f"s3://bucket/at?endpoint_url=http://127.0.0.1:{server.server_port}&region=us-east-1"
        yield store
