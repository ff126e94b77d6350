"""Blobs in an S3 bucket: `s3://BUCKET/PREFIX?endpoint_url=…&region=…`.

Everything is written with `If-None-Match: *`. Credentials come from where every AWS client looks (AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY, a profile, a pod's role: AWS_ROLE_ARN with AWS_WEB_IDENTITY_TOKEN_FILE), never from the URL.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import s3fs
from aiohttp import ClientError as BrokenOff
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from concord.kit import telemetry
from concord.kit.blobs import s3_parts
from concord.kit.blobs.objects import SENT, Conflict, ObjectBlobs, Refused
from concord.kit.blobs.places import Place, parse
from concord.kit.errors import Unavailable

# Of one request: to connect, and to be answered. Who says nothing counts as away after 45 s.
CONNECT_S, ANSWER_S = 4, 15
# More at once would only wait for each other in one process.
CONNECTIONS = 32
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
# A pod's role: its token is shown to STS, which gives keys for an hour.
ROLE = "AssumeRoleWithWebIdentity"
TRUST = "it must trust the cluster's issuer and this service account (k8s/components/role-eks, role-token)"
BUSY = (
    "Throttling",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "InternalFailure",
    "IDPCommunicationError",
    "503",
    "500",
)
# Two that write one object at the same time: the server asks the later one to look again.
CONFLICT = ("ConditionalRequestConflict", "OperationAborted")


def s3_blobs(url: str) -> ObjectBlobs:
    """Raises InvalidInput where bucket or key are refused, Unavailable where nobody answers."""
    return ObjectBlobs(S3Bucket(parse(url, "s3")))


class S3Bucket:
    """S3 as `objects.Bucket` wants it."""

    condition = "If-None-Match: *"

    def __init__(self, place: Place) -> None:
        self.place, self._files = place, _connected(place)

    def look(self) -> None:
        """Nothing: S3 tells a missing bucket from a missing object, whichever is asked for."""

    def create(self, path: str, content: bytes) -> None:
        with self._translated(path):
            self._files.pipe_file(path, content, mode="create")

    def send(self, path: str, size: int, pieces: Callable[[int], Iterable[bytes]]) -> None:
        s3_parts.send(size, pieces, self._caller(path))

    def read(self, path: str) -> bytes:
        with self._translated(path):
            # One request for the whole object: more at once would ask for its size first.
            return self._files.cat_file(path, max_concurrency=1)

    def part(self, path: str, start: int, end: int) -> bytes:
        with self._translated(path):
            return self._files.cat_file(path, start=start, end=end)

    def size(self, path: str) -> int:
        return int(self._caller(path)("head_object")["ContentLength"])

    def below(self, path: str) -> Iterator[tuple[str, int, float]]:
        with self._translated(path):
            found = self._files.find(path, withdirs=False, detail=True)
        for each, about in found.items():
            yield each, int(about["size"]), about["LastModified"].timestamp()

    def delete(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self._caller(path)("delete_object")

    def _caller(self, path: str) -> s3_parts.Call:
        """S3's own calls about this object, with our words for what goes wrong."""
        bucket, _, key = path.partition("/")

        def call(method: str, **more: object) -> Mapping[str, Any]:
            with self._translated(path):
                return self._files.call_s3(method, Bucket=bucket, Key=key, **more)

        return call

    @contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        """What S3 and its client raise, in our words; FileNotFoundError and FileExistsError speak of the object alone."""
        try:
            yield
        except (OSError, BotoCoreError, ClientError, BrokenOff) as error:
            raise _in_words(self.place, path, error) from error


def _in_words(place: Place, path: str, error: Exception) -> Exception:
    code, said = _code(error), _client_error(error)
    if said is not None and said.operation_name == ROLE and code not in BUSY:
        return Refused(
            f"{place.shown}: the role of AWS_ROLE_ARN is not given to this process ({code}: {said}); {TRUST}"
        )
    if isinstance(error, FileNotFoundError) and error.filename:
        # Not the object: botocore opens AWS_WEB_IDENTITY_TOKEN_FILE by itself.
        return Refused(
            f"{place.shown}: {NO_KEY}; the file {error.filename}, which AWS_WEB_IDENTITY_TOKEN_FILE names, is not there"
        )
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return Refused(f"{place.shown}: {NO_KEY}")
    if code == "NoSuchBucket":
        return Refused(f"{place.shown}: there is no such bucket; make it, or name another in CONCORD_BLOB_URL")
    if code in REFUSED:
        return Refused(f"{place.shown} refuses the key of AWS_ACCESS_KEY_ID ({code}: {error}); {RIGHTS}")
    if code in ("PreconditionFailed", "412") or isinstance(error, FileExistsError):
        return FileExistsError(path)
    if isinstance(error, FileNotFoundError):
        return error
    if code in CONFLICT:
        return Conflict()
    telemetry.BACKEND_ERRORS.labels("blobs").inc()
    return Unavailable(f"{place.shown} does not answer: {error}")


def _client_error(error: BaseException) -> ClientError | None:
    """What the server said; s3fs keeps it behind the Python error that it makes of it."""
    return next((one for one in (error, error.__cause__) if isinstance(one, ClientError)), None)


def _code(error: BaseException) -> str:
    """S3's own word for it."""
    said = _client_error(error)
    return "" if said is None else str(said.response.get("Error", {}).get("Code", ""))


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
