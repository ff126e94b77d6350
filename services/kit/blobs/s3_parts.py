"""A file sent to S3 in parts, one of them in memory at a time."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from concord.kit.blobs.pieces import Hashed, of_file
from concord.kit.errors import ConcordError, Unavailable
from concord.kit.ids import uri_of

# Bytes of a part; a store takes 10,000 parts at most, so those of a file beyond 80 GB are larger.
PART, MOST_PARTS = 8 * 2**20, 10_000
# call(method, …) is S3's own method of that name on one object.
Call = Callable[..., Mapping[str, Any]]


def send(source: Path, uri: str, call: Call) -> None:
    """Creates the object of the file that the URI names; raises what `call` raises, FileExistsError where there is one.

    The object is there once its last part is, or not at all. Raises Unavailable for a file that is another one by now.
    """
    upload = call("create_multipart_upload")["UploadId"]
    try:
        hashed, sent = Hashed(of_file(source, max(PART, -(-source.stat().st_size // MOST_PARTS)))), []
        for number, piece in enumerate(hashed, 1):
            said = call("upload_part", UploadId=upload, PartNumber=number, Body=piece)
            sent.append({"PartNumber": number, "ETag": said["ETag"]})
        if hashed.uri != uri:
            raise _changed(source)
        call("complete_multipart_upload", UploadId=upload, MultipartUpload={"Parts": sent}, IfNoneMatch="*")
    except BaseException:
        # Parts that belong to nothing would be paid for; whether that can be told now or not, the cause is the same.
        with suppress(ConcordError, OSError):
            call("abort_multipart_upload", UploadId=upload)
        raise


def same(source: Path, uri: str, content: bytes) -> bytes:
    """The content of a small file, if it is still what the URI names."""
    if uri_of(content) != uri:
        raise _changed(source)
    return content


def _changed(source: Path) -> Unavailable:
    return Unavailable(f"the file {source} changed while it was stored; it is stored once it stays as it is")
