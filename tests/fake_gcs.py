"""A small server of Google Cloud Storage's JSON API, over real HTTP, beside it a machine's metadata; keeps objects in memory.

Where it is given a token it lets in whoever brings that one, which its metadata server hands out.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qsl, unquote

from tests.threaded import served

BUCKET = "bucket"
OLD, LOSE_ANSWER, CUT_BODY = (
    "ignores ifGenerationMatch",
    "does it and hangs up",
    "hangs up in the middle of the content",
)
BUSY, REFUSES = "503", "403"
# Of a listing; Google's own has up to 1,000, so a client must ask on.
PAGE = 7


class FakeGcs:
    """`faults` are taken by the next requests, one each; what is in `always` holds for every request."""

    def __init__(self, token: str = "") -> None:
        self.objects: dict[str, bytes] = {}
        # When each was, Unix seconds.
        self.written: dict[str, float] = {}
        # Of an upload that goes on: its object, whether it must be new, and what is there of it.
        self.uploads: dict[str, tuple[str, bool, bytearray]] = {}
        self.faults: deque[str] = deque()
        self.always = ""
        self.requests: list[str] = []
        self.token = token
        self.tokens_given = 0
        self.port = 0

    @property
    def url(self) -> str:
        keys = "" if self.token else "&keys=no"
        return f"gs://{BUCKET}/at?endpoint_url=http://127.0.0.1:{self.port}{keys}"

    def page(self, asked: Mapping[str, str]) -> Mapping[str, object]:
        """Objects whose name begins so, in order, and where the next page begins."""
        names = sorted(name for name in self.objects if name.startswith(asked.get("prefix", "")))
        begin, most = int(asked.get("pageToken") or 0), min(PAGE, int(asked.get("maxResults") or PAGE))
        shown = names[begin : begin + most]
        more = {"nextPageToken": str(begin + most)} if begin + most < len(names) else {}
        return {"kind": "storage#objects", "items": [self.about(name) for name in shown], **more}

    def about(self, name: str) -> Mapping[str, object]:
        at = datetime.fromtimestamp(self.written[name], UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {
            "kind": "storage#object",
            "bucket": BUCKET,
            "name": name,
            "size": str(len(self.objects[name])),
            "timeCreated": at,
            "updated": at,
        }

    def create(self, name: str, content: bytes, only_new: bool) -> int:
        if only_new and name in self.objects and self.always != OLD:
            return 412
        self.objects[name], self.written[name] = content, time.time()
        return 200


@contextmanager
def fake_gcs(token: str = ""):
    """A running server; its `url` is a CONCORD_BLOB_URL."""
    store, lock = FakeGcs(token), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            if self.headers["Transfer-Encoding"] == "chunked":
                body = b"".join(self.chunks())
            path, _, query = self.path.partition("?")
            asked = dict(parse_qsl(query, keep_blank_values=True))
            with lock:
                if path == "/" or path.startswith("/computeMetadata"):
                    return self.metadata(path)
                fault = store.always or (store.faults.popleft() if store.faults else "")
                store.requests.append(f"{self.command} {unquote(path).rpartition('/')[2]}")
                if fault in (BUSY, REFUSES):
                    found: tuple[int, bytes, dict[str, str]] = (int(fault), b"", {})
                elif store.token and self.headers["Authorization"] != f"Bearer {store.token}":
                    found = (401, b"", {})
                else:
                    found = self.served(path, asked, body)
            self.say(*found, fault)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def chunks(self):
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

        def metadata(self, path: str) -> None:
            """What google-auth asks a machine for: whether it is one of Google's, its account, a token."""
            assert path == "/" or self.headers["Metadata-Flavor"] == "Google"
            store.tokens_given += path.endswith("/token")
            token = {"access_token": store.token, "expires_in": 3600, "token_type": "Bearer"}
            account = {"email": "concord@project.example", "scopes": [], "aliases": ["default"]}
            text = (
                json.dumps(token if path.endswith("/token") else account) if "/service-accounts/" in path else "project"
            )
            kind = "application/json" if text.startswith("{") else "text/plain"
            self.say(200, text.encode(), {"Metadata-Flavor": "Google", "Content-Type": kind}, "")

        def served(self, path: str, asked: dict[str, str], body: bytes) -> tuple[int, bytes, dict[str, str]]:
            only_new = asked.get("ifGenerationMatch") == "0"
            if path.startswith("/resumable/"):
                return self.continued(path, body)
            bucket = path.partition("/b/")[2].partition("/")[0]
            if bucket != BUCKET:
                return 404, b"", {}
            name = unquote(path.partition("/o/")[2])
            if self.command == "POST" and asked["uploadType"] == "resumable":
                if only_new and asked["name"] in store.objects and store.always != OLD:
                    return 412, b"", {}
                place = f"/resumable/{len(store.requests)}"
                store.uploads[place] = (asked["name"], only_new, bytearray())
                return 200, b"", {"Location": f"http://127.0.0.1:{store.port}{place}"}
            if self.command == "POST":
                return store.create(asked["name"], body, only_new), b"{}", {}
            if not name:
                return 200, json.dumps(store.page(asked)).encode(), {}
            if name not in store.objects:
                return 404, b"", {}
            if self.command == "DELETE":
                del store.objects[name]
                return 204, b"", {}
            content = store.objects[name]
            if asked.get("alt") != "media":
                return 200, json.dumps({"name": name, "size": str(len(content))}).encode(), {}
            first, _, last = (self.headers["Range"] or "bytes=0-").removeprefix("bytes=").partition("-")
            return 206 if self.headers["Range"] else 200, content[int(first) : int(last) + 1 if last else None], {}

        def continued(self, path: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
            if self.command == "DELETE":
                return (499 if store.uploads.pop(path, None) is not None else 404), b"", {}
            name, only_new, known = store.uploads[path]
            span, _, total = self.headers["Content-Range"].removeprefix("bytes ").partition("/")
            start, last = map(int, span.split("-"))
            assert last - start + 1 == len(body)
            # Of bytes that are there already nothing is taken.
            known += body[max(0, len(known) - start) :]
            if len(known) < int(total):
                assert len(body) % (256 * 2**10) == 0, "all parts but the last are whole multiples of 256 KiB"
                return 308, b"", {"Range": f"bytes=0-{len(known) - 1}"}
            del store.uploads[path]
            return store.create(name, bytes(known), only_new), b"{}", {}

        def say(self, status: int, body: bytes, headers: dict[str, str], fault: str) -> None:
            if fault == LOSE_ANSWER:
                self.close_connection = True
                return
            if status >= 400:
                body = json.dumps({"error": {"code": status, "message": f"status {status}"}}).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.close_connection = fault == CUT_BODY
            self.wfile.write(body[: len(body) // 2] if fault == CUT_BODY else body)

        def log_message(self, *_: object) -> None: ...

    with served(Handler) as server:
        store.port = server.server_port
        yield store
