"""A content sent to S3 in parts, one or two of them in memory at a time."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from concord.kit.blobs.objects import PART, Refused
from concord.kit.errors import ConcordError

# A store takes so many parts at most, so those of a content beyond 80 GB are larger.
MOST_PARTS = 10_000
# call(method, …) is S3's own method of that name on one object.
Call = Callable[..., Mapping[str, Any]]


def send(size: int, pieces: Callable[[int], Iterable[bytes]], call: Call) -> None:
    """Creates the object; raises what `call` and `pieces` raise, FileExistsError where there is one.

    The object is there once its last part is, or not at all.
    """
    upload = call("create_multipart_upload")["UploadId"]
    try:
        sent = []
        for number, piece in enumerate(pieces(max(PART, -(-size // MOST_PARTS))), 1):
            said = call("upload_part", UploadId=upload, PartNumber=number, Body=piece)
            sent.append({"PartNumber": number, "ETag": said["ETag"]})
        call("complete_multipart_upload", UploadId=upload, MultipartUpload={"Parts": sent}, IfNoneMatch="*")
    except BaseException:
        # Parts that belong to nothing would be paid for; whether that can be told now or not, the cause is the same.
        with suppress(ConcordError, Refused, OSError):
            call("abort_multipart_upload", UploadId=upload)
        raise
