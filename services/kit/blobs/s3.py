"""Blobs in an S3 bucket: `s3://BUCKET/PREFIX?endpoint_url=…&region=…`, laid out as the files are.

Everything is written with `If-None-Match: *`, so nothing is ever overwritten and of two writers of a marker the first
wins. Credentials come from where every AWS client looks (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, a
pod's role), never from the URL.
"""

import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import s3fs
from aiohttp import ClientError as BrokenOff
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from concord.kit import telemetry
from concord.kit.blobs import digest_of, disk, s3_parts, verified
from concord.kit.blobs.pieces import checked, uri_of_file
from concord.kit.blobs.s3_parts import PART
from concord.kit.blobs.s3_url import Place, parse
from concord.kit.errors import ConcordError, InvalidInput, NotFound, Unavailable
from concord.kit.ids import uri_of

# Of one request: to connect, to be answered, and how often it is sent. Who says nothing counts as away after 45 s.
CONNECT_S, ANSWER_S, SENT = 4, 15, 3
# More at once would only wait for each other in one process.
CONNECTIONS = 32
# That this store keeps the first of two writers is tried once in a bucket's life.
TRIAL, PROOF = "writes-once/trial", "writes-once/proven"
RIGHTS = "it needs s3:GetObject, s3:PutObject and s3:ListBucket there"
NO_KEY = "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine or pod a role"
REFUSED = frozenset(
    {
        "AccessDenied",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "InvalidToken",
        "XAdminUserNotFound",
        "AllAccessDisabled",
        "AccountProblem",
        "403",
        "401",
    }
)
# Two that write one object at the same time: the server asks the later one to look again.
CONFLICT = ("ConditionalRequestConflict", "OperationAborted")


class S3Blobs:
    """Blobs as objects `PREFIX/blobs/ab/abcd…` and `PREFIX/markers/…`. Thread-safe; not to be carried over a fork."""

    def __init__(self, url: str) -> None:
        """Asks the bucket once. Raises InvalidInput where it or the key is refused, Unavailable where nobody answers."""
        self._place = parse(url)
        self._root = f"{self._place.bucket}/{self._place.prefix}"
        self._files = _connected(self._place)
        self._proving = threading.Lock()
        # A refused key or a missing bucket is the user's mistake at the start; later it may be mended while we wait.
        self._refused: type[ConcordError] = InvalidInput
        self._is_proven = self.marker(PROOF) is not None
        self._refused = Unavailable

    def put(self, content: bytes) -> str:
        uri = uri_of(content)
        self._create(self._path(uri), content)
        return uri

    def put_file(self, path: Path) -> str:
        """Reads the file twice: its name follows from its hash, and what is there already is not sent."""
        uri = uri_of_file(path)
        if self._size(self._path(uri)) is None:
            self._send(path, uri)
        return uri

    def put_pieces(self, pieces: Iterable[bytes]) -> str:
        """By way of a file on this machine's disk (TMPDIR)."""
        place = Path(tempfile.gettempdir())
        with disk.nameless(place) as (file, partial):
            for piece in pieces:
                with disk.translated(place):
                    disk.write(file, piece)
            return self.put_file(Path(partial))

    def pieces(self, uri: str) -> Iterator[bytes]:
        path = self._path(uri)
        size = self._size(path)
        if size is None:
            raise NotFound(f"blob {uri} is not at s3://{path}")
        yield from checked(uri, (self._part(path, at, min(at + PART, size)) for at in range(0, size, PART)))

    def get(self, uri: str) -> bytes:
        path = self._path(uri)
        content = self._read(path)
        if content is None:
            raise NotFound(f"blob {uri} is not at s3://{path}")
        return verified(uri, content)

    def put_if_absent(self, name: str, content: bytes) -> bytes:
        self._prove()
        return self._first(f"{self._root}markers/{name}", content)

    def note(self, name: str, content: bytes) -> None:
        self.put_if_absent(name, content)

    def marker(self, name: str) -> bytes | None:
        return self._read(f"{self._root}markers/{name}")

    def _path(self, uri: str) -> str:
        digest = digest_of(uri)
        return f"{self._root}blobs/{digest[:2]}/{digest}"

    def _first(self, path: str, content: bytes) -> bytes:
        """Creates the object, or returns what stands there: also our own, where only the answer to us was lost."""
        if self._create(path, content):
            return content
        stands = self._read(path)
        if stands is None:
            raise Unavailable(f"s3://{path} was there and is gone; does somebody delete from {self._place.shown}?")
        return stands

    def _create(self, path: str, content: bytes) -> bool:
        """True if this call created the object; False if it was there."""

        def send() -> None:
            with self._translated(path):
                self._files.pipe_file(path, content, mode="create")

        return self._first_of(path, send)

    def _first_of(self, path: str, send: Callable[[], None]) -> bool:
        """Whether what `send` sends became the object; it is sent again where another one sends at the same moment."""
        for _ in range(SENT):
            try:
                send()
                return True
            except FileExistsError:
                return False
            except _Conflict:
                continue
        raise Unavailable(f"s3://{path} is being written by others all the time; trying again later")

    def _send(self, source: Path, uri: str) -> None:
        """Creates the object of a file that may be large, unless it is there; of a file that changes meanwhile, nothing."""
        path = self._path(uri)
        if source.stat().st_size <= PART:
            self._create(path, s3_parts.same(source, uri, source.read_bytes()))
        else:
            self._first_of(path, lambda: s3_parts.send(source, uri, self._caller(path)))

    def _caller(self, path: str) -> s3_parts.Call:
        """S3's own calls about this object, with our words for what goes wrong."""
        bucket, _, key = path.partition("/")

        def call(method: str, **more: object) -> Mapping[str, Any]:
            with self._translated(path):
                return self._files.call_s3(method, Bucket=bucket, Key=key, **more)

        return call

    def _size(self, path: str) -> int | None:
        """How many bytes the object has; None where there is none."""
        try:
            return int(self._caller(path)("head_object")["ContentLength"])
        except FileNotFoundError:
            return None

    def _part(self, path: str, start: int, end: int) -> bytes:
        """One request's worth; where it breaks off it is asked for again, or one in a thousand would cost all of them."""
        for left in reversed(range(SENT)):
            try:
                with self._translated(path):
                    return self._files.cat_file(path, start=start, end=end)
            except Unavailable:
                if not left:
                    raise
            except FileNotFoundError:
                raise NotFound(f"s3://{path} was there and is gone") from None
        raise AssertionError("the last try returns or raises")

    def _read(self, path: str) -> bytes | None:
        try:
            with self._translated(path):
                # One request for the whole object: more at once would ask for its size first.
                return self._files.cat_file(path, max_concurrency=1)
        except FileNotFoundError:
            return None

    def _prove(self) -> None:
        """A store that ignores If-None-Match would let two workers' results stand for one; it is refused."""
        if self._is_proven:
            return
        with self._proving:
            for content in (b"one", b"other"):
                made = self._create(f"{self._root}markers/{TRIAL}", content)
            if made:
                raise InvalidInput(
                    f"{self._place.shown} does not honour `If-None-Match: *`, so it cannot keep the first of two writers; "
                    "name an S3 store that does in CONCORD_BLOB_URL"
                )
            self._create(f"{self._root}markers/{PROOF}", b"")
            self._is_proven = True

    @contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        """What S3 and its client raise, in our words; FileNotFoundError and FileExistsError speak of the object alone."""
        try:
            yield
        except (OSError, BotoCoreError, ClientError, BrokenOff) as error:
            raise _in_words(self._place, path, error, self._refused) from error


class _Conflict(Exception):
    """Another one writes the same object at this moment."""


def _in_words(place: Place, path: str, error: Exception, refused: type[ConcordError]) -> Exception:
    code = _code(error)
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return refused(f"{place.shown}: {NO_KEY}")
    if code == "NoSuchBucket":
        return refused(f"{place.shown}: there is no such bucket; make it, or name another in CONCORD_BLOB_URL")
    if code in REFUSED:
        return refused(f"{place.shown} refuses the key of AWS_ACCESS_KEY_ID ({code}: {error}); {RIGHTS}")
    if code in ("PreconditionFailed", "412") or isinstance(error, FileExistsError):
        return FileExistsError(path)
    if isinstance(error, FileNotFoundError):
        return error
    if code in CONFLICT:
        return _Conflict()
    telemetry.BACKEND_ERRORS.labels("blobs").inc()
    return Unavailable(f"{place.shown} does not answer: {error}")


def _code(error: BaseException) -> str:
    """S3's own word for it; s3fs keeps it behind the Python error that it makes of it."""
    for one in (error, error.__cause__):
        if isinstance(one, ClientError):
            return str(one.response.get("Error", {}).get("Code", ""))
    return ""


def _connected(place: Place) -> s3fs.S3FileSystem:
    client = {"endpoint_url": place.endpoint_url, "region_name": place.region}
    files = s3fs.S3FileSystem(
        # No listings: another process may write at any moment.
        use_listings_cache=False,
        skip_instance_cache=True,
        client_kwargs={name: value for name, value in client.items() if value},
        config_kwargs={
            "connect_timeout": CONNECT_S,
            "read_timeout": ANSWER_S,
            "max_pool_connections": CONNECTIONS,
            "retries": {"mode": "standard", "total_max_attempts": SENT},
            # The blob's own hash is checked; stores other than Amazon's know no other sums.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        },
    )
    # Its own tries would multiply with those of botocore.
    files.retries = 1
    return files
