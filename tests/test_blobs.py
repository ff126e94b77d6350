"""One contract for every blob store: bytes under their hash, markers made once."""

import threading
from uuid import uuid4

import pytest

from services.kit.blobs import FileBlobs, MemoryBlobs
from services.kit.errors import Corrupt, InvalidInput, NotFound, Unavailable
from services.kit.ids import uri_of
from services.kit.s3_blobs import S3Blobs


@pytest.fixture(params=["memory", "file", "moto", "versity"])
def open_blobs(request, tmp_path):
    """A function that opens the same blobs each time it is called within a test, as another process would."""
    if request.param == "memory":
        shared = MemoryBlobs()
        return lambda: shared
    if request.param == "file":
        return lambda: FileBlobs(tmp_path)
    request.getfixturevalue("s3_keys")
    server = request.getfixturevalue(request.param)
    url = server.url(f"test-{uuid4().hex[:8]}")
    return lambda: S3Blobs(url)


@pytest.fixture
def blobs(open_blobs):
    return open_blobs()


@pytest.mark.parametrize("content", [b"", b"text", bytes(range(256)) * 5000])
def test_bytes_lie_under_their_hash_and_read_back(blobs, content):
    uri = blobs.put(content)
    assert uri == uri_of(content)
    assert uri.startswith("sha256:")
    assert blobs.put(content) == uri
    assert blobs.get(uri) == content


def test_what_was_never_stored_is_not_found(blobs):
    with pytest.raises(NotFound, match=uri_of(b"x")):
        blobs.get(uri_of(b"x"))


def test_the_first_writer_of_a_marker_wins(blobs):
    assert blobs.marker("done/a") is None
    assert blobs.put_if_absent("done/a", b"first") == b"first"
    assert blobs.put_if_absent("done/a", b"second") == b"first"
    assert blobs.marker("done/a") == b"first"
    assert blobs.marker("done/b") is None
    assert blobs.put_if_absent("done/empty", b"") == b""
    assert blobs.marker("done/empty") == b""


def test_of_many_threads_that_make_a_marker_all_see_the_same_content(blobs):
    seen: list[bytes] = []
    threads = [
        threading.Thread(target=lambda n=n: seen.append(blobs.put_if_absent("done/race", b"%d" % n * 50_000)))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert set(seen) == {blobs.marker("done/race")}


def test_bytes_that_changed_on_disk_are_corrupt_never_an_answer(tmp_path):
    blobs = FileBlobs(tmp_path)
    uri = blobs.put(b"what was stored")
    (path,) = [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
    path.write_bytes(b"what was st0red")
    with pytest.raises(Corrupt, match=uri):
        blobs.get(uri)


@pytest.mark.parametrize("uri", ["", "sha256:", "sha256:../../../etc/passwd", "s3://bucket/x", "sha256:" + "/" * 64])
def test_what_is_no_uri_is_refused_before_the_disk_is_touched(tmp_path, uri):
    with pytest.raises(InvalidInput, match="not a blob URI"):
        FileBlobs(tmp_path).get(uri)


def test_no_partial_file_is_left_behind_and_another_process_sees_the_same(tmp_path):
    one, two = FileBlobs(tmp_path), FileBlobs(tmp_path)
    uri = one.put(b"x")
    assert two.get(uri) == b"x"
    assert two.put_if_absent("begun/work/1", b"") == b""
    assert list((tmp_path / "partial").iterdir()) == []


def test_a_disk_that_does_not_do_what_it_should_is_unavailable_and_names_the_file(tmp_path):
    blobs, uri = FileBlobs(tmp_path), uri_of(b"x")
    digest = uri.removeprefix("sha256:")
    (tmp_path / "blobs" / digest[:2]).write_bytes(b"a file where a folder should be")
    for touch in (lambda: blobs.put(b"x"), lambda: blobs.get(uri)):
        with pytest.raises(Unavailable, match=digest):
            touch()
    with pytest.raises(Unavailable, match="done/here"):
        (tmp_path / "markers" / "done" / "here").mkdir(parents=True)
        blobs.marker("done/here")


def test_a_folder_that_cannot_be_made_names_its_setting(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidInput, match=r"file/home/blobs.*CONCORD_BLOB_URL"):
        FileBlobs(tmp_path / "file" / "home")
