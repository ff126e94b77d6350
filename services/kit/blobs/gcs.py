"""Blobs in a bucket of Google Cloud Storage: `gs://BUCKET/PREFIX`, and `?endpoint_url=…&keys=no` for a stand-in.

Everything is written with `ifGenerationMatch=0`. Credentials are Google's Application Default Credentials (a pod's role by workload
identity, GOOGLE_APPLICATION_CREDENTIALS), never the URL's. gcsfs brings them and the connection; its own uploads are not used,
since they frame a content by a fixed word that a content may hold.
"""

import asyncio
import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any
from urllib.parse import quote

# Its own way for buckets of another kind, which is tried first else: one more request, by gRPC, to another address.
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")

from aiohttp import ClientError as BrokenOff
from aiohttp import ClientTimeout
from gcsfs.core import GCSFileSystem
from gcsfs.retry import HttpError, is_retriable
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from requests.exceptions import RequestException

from concord.kit import telemetry
from concord.kit.blobs.objects import PART, SENT, Conflict, ObjectBlobs, Refused
from concord.kit.blobs.places import Place, parse
from concord.kit.errors import ConcordError, InvalidInput, Unavailable

# Of one request: to connect, to be answered; between two tries, doubled each time.
CONNECT_S, ANSWER_S, PAUSE_S = 4, 15, 0.2
ONLY_NEW = "0"
TYPE = {"Content-Type": "application/octet-stream"}
TYPE_OF_ALL = {"X-Upload-Content-Type": "application/octet-stream"}
RIGHTS = (
    "it needs storage.objects.get, storage.objects.create and storage.objects.list there (roles/storage.objectUser)"
)
NO_KEY = (
    "no credentials: set GOOGLE_APPLICATION_CREDENTIALS, or give the machine or pod a role (k8s/components/role-gke)"
)
BROKEN = (OSError, HttpError, GoogleAuthError, RequestException, BrokenOff, TimeoutError, ValueError)


def gcs_blobs(url: str) -> ObjectBlobs:
    """Raises InvalidInput where bucket or key are refused, Unavailable where nobody answers."""
    return ObjectBlobs(GcsBucket(parse(url, "gs")))


class GcsBucket:
    """Google Cloud Storage as `objects.Bucket` wants it."""

    condition = "ifGenerationMatch=0"

    def __init__(self, place: Place) -> None:
        self.place = place
        try:
            self._files = _connected(place)
        except DefaultCredentialsError as error:
            raise InvalidInput(f"{place.shown}: {NO_KEY}") from error

    def look(self) -> None:
        """A missing bucket and a missing object are the same answer, so the bucket is asked for by itself."""
        try:
            self._call("", "GET", "b/{}/o", self.place.bucket, prefix=f"{self.place.prefix}markers/", maxResults="1")
        except FileNotFoundError:
            raise self._no_bucket() from None

    def create(self, path: str, content: bytes) -> None:
        try:
            self._call(
                path, "POST", self._upload(path), uploadType="media", data=content, headers=TYPE, **self._new(path)
            )
        except FileNotFoundError:
            raise self._no_bucket() from None

    def send(self, path: str, size: int, pieces: Callable[[int], Iterable[bytes]]) -> None:
        """By an upload of many parts (whole multiples of 256 KiB but the last), which is an object once its last part is there."""
        headers, _ = self._call(
            path, "POST", self._upload(path), uploadType="resumable", json={}, headers=TYPE_OF_ALL, **self._new(path)
        )
        at = 0
        try:
            for piece in pieces(PART):
                of = f"bytes {at}-{at + len(piece) - 1}/{size}"
                self._call(path, "PUT", headers["Location"], data=piece, headers={**TYPE, "Content-Range": of})
                at += len(piece)
        except BaseException:
            # What belongs to nothing goes by itself after a week; whether it can be told now or not, the cause is the same.
            with suppress(ConcordError, Refused, OSError):
                self._call(path, "DELETE", headers["Location"])
            raise

    def read(self, path: str) -> bytes:
        with self._translated(path):
            return self._files.cat_file(path)

    def part(self, path: str, start: int, end: int) -> bytes:
        with self._translated(path):
            return self._files.cat_file(path, start=start, end=end)

    def size(self, path: str) -> int:
        bucket, _, key = path.partition("/")
        with self._translated(path):
            return int(self._files.call("GET", "b/{}/o/{}", bucket, key, json_out=True, fields="size")["size"])

    def below(self, path: str) -> Iterator[tuple[str, int, float]]:
        with self._translated(path):
            found = self._files.find(path, withdirs=False, detail=True)
        for each, about in found.items():
            yield each, int(about["size"]), datetime.fromisoformat(str(about["updated"])).timestamp()

    def delete(self, path: str) -> None:
        bucket, _, key = path.partition("/")
        with suppress(FileNotFoundError):
            self._call(path, "DELETE", "b/{}/o/{}", bucket, key)

    def _upload(self, path: str) -> str:
        return f"{self._files._location}/upload/storage/v1/b/{quote(self.place.bucket)}/o"

    def _new(self, path: str) -> Mapping[str, str]:
        return {"name": path.partition("/")[2], "ifGenerationMatch": ONLY_NEW}

    def _call(self, path: str, *words: Any, **more: Any) -> Any:
        with self._translated(path):
            return self._files.call(*words, **more)

    def _no_bucket(self) -> Refused:
        return Refused(f"{self.place.shown}: there is no such bucket; make it, or name another in CONCORD_BLOB_URL")

    @contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        """What Google and its client raise, in our words; FileNotFoundError and FileExistsError speak of the object alone."""
        try:
            yield
        except (FileNotFoundError, FileExistsError):
            raise
        except BROKEN as error:
            raise _in_words(self.place, error) from error


def _in_words(place: Place, error: BaseException) -> Exception:
    code = str(getattr(error, "code", ""))
    if code in ("401", "403") or str(error).startswith("Forbidden"):
        return Refused(f"{place.shown} refuses the key ({str(error)[:300]!r}); {RIGHTS}")
    if code == "409":
        return Conflict()
    telemetry.BACKEND_ERRORS.labels("blobs").inc()
    return Unavailable(f"{place.shown} does not answer: {error or type(error).__name__}")


def _connected(place: Place) -> GCSFileSystem:
    files = GCSFileSystem(
        token="anon" if place.is_open else "google_default",
        endpoint_url=place.endpoint_url,
        # No listings: another process may write at any moment.
        use_listings_cache=False,
        skip_instance_cache=True,
        requests_timeout=ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=ANSWER_S),
    )
    # Its own tries go on for minutes, and log a trace for each object that is not there.
    once = type(files)._request.__wrapped__

    async def request(*words: Any, **more: Any) -> Any:
        for left in reversed(range(SENT)):
            try:
                return await once(files, *words, **more)
            except (HttpError, RequestException, GoogleAuthError, BrokenOff, TimeoutError) as error:
                if not left or not (is_retriable(error) or isinstance(error, TimeoutError)):
                    raise
            await asyncio.sleep(PAUSE_S * 2 ** (SENT - left) * (1 + random.random()) / 2)
        raise AssertionError("the last try returns or raises")

    files._request = request
    return files
