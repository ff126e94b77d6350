"""One contract for every blob store: bytes under their hash, markers made once."""

import random
import resource
import threading
import time
import tracemalloc
from collections.abc import Iterator
from uuid import uuid4

import pytest

from concord.kit.blobs import FileBlobs, MemoryBlobs, s3_parts
from concord.kit.blobs.gcs import gcs_blobs
from concord.kit.blobs.objects import PART, SENT, unchanged
from concord.kit.blobs.pieces import write
from concord.kit.blobs.s3 import s3_blobs
from concord.kit.errors import Corrupt, InvalidInput, NotFound, Unavailable
from concord.kit.ids import uri_of
from deploy.local.s3 import BUCKET
from tests.fake_gcs import fake_gcs
from tests.faulty_s3 import BUSY, CONFLICT, CUT_BODY, LOSE_ANSWER, OLD, REFUSES, faulty_s3


@pytest.fixture(params=["memory", "file", "moto", "versity", "gcs"])
def open_blobs(request, tmp_path):
    """A function that opens the same blobs each time it is called within a test, as another process would."""
    if request.param == "memory":
        shared = MemoryBlobs()
        return lambda: shared
    if request.param == "file":
        return lambda: FileBlobs(tmp_path)
    if request.param == "gcs":
        url = request.getfixturevalue("gcs").url
        return lambda: gcs_blobs(url)
    request.getfixturevalue("s3_keys")
    server = request.getfixturevalue(request.param)
    url = server.url(f"test-{uuid4().hex[:8]}")
    return lambda: s3_blobs(url)


@pytest.fixture
def gcs():
    with fake_gcs() as server:
        yield server


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


LARGE = random.Random(5).randbytes(PART + 100_000)


@pytest.mark.parametrize("content", [b"", b"text", LARGE], ids=["nothing", "a word", "more than one part"])
def test_a_file_lies_under_the_hash_of_its_bytes_as_bytes_do_and_comes_back_as_a_file(blobs, tmp_path, content):
    (tmp_path / "given").write_bytes(content)
    uri = blobs.put_file(tmp_path / "given")
    assert uri == uri_of(content) == blobs.put_file(tmp_path / "given") == blobs.put(content)
    assert blobs.get(uri) == content
    write(blobs.pieces(uri), tmp_path / "deep" / "got")
    assert (tmp_path / "deep" / "got").read_bytes() == content


def test_pieces_of_any_length_are_the_content_that_they_make_together(blobs):
    pieces = [b"", b"a", LARGE, b"", b"z" * 3]
    uri = blobs.put_pieces(iter(pieces))
    assert uri == uri_of(b"".join(pieces)) == blobs.put_pieces([b"".join(pieces)])
    assert b"".join(blobs.pieces(uri)) == b"".join(pieces)
    assert max(len(piece) for piece in blobs.pieces(uri)) <= PART


def test_pieces_of_what_was_never_stored_are_not_found_and_make_no_file(blobs, tmp_path):
    with pytest.raises(NotFound, match=uri_of(b"x")):
        write(blobs.pieces(uri_of(b"x")), tmp_path / "got")
    with pytest.raises(InvalidInput, match="not a blob URI"):
        write(blobs.pieces("sha256:x"), tmp_path / "got")
    assert not (tmp_path / "got").exists()


def test_a_stream_that_breaks_off_stores_nothing(blobs, tmp_path):
    def broken() -> Iterator[bytes]:
        yield b"half of it"
        raise Unavailable("the line is dead")

    with pytest.raises(Unavailable, match="the line is dead"):
        blobs.put_pieces(broken())
    with pytest.raises(NotFound):
        blobs.get(uri_of(b"half of it"))
    assert [path for path in tmp_path.rglob("partial/*") if path.is_file()] == []


def test_a_file_that_cannot_be_read_is_named(blobs, tmp_path):
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(InvalidInput, match=f"the file {path} cannot be read"):
            blobs.put_file(path)


def test_what_is_stored_is_listed_with_its_size_and_its_time_and_goes_when_it_is_dropped(blobs):
    """More than a page of a listing; what is dropped twice is gone all the same."""
    began = time.time()
    contents = [b"x" * count for count in range(20)]
    uris = [blobs.put(content) for content in contents]
    blobs.put_if_absent("done/a b", b"1")
    listed = {one.uri: one for one in blobs.stored()}
    assert {uri: len(content) for uri, content in zip(uris, contents, strict=True)} == {
        one.uri: one.size for one in listed.values()
    }
    # Memory keeps no time: 0.
    times = [one.written_at for one in listed.values() if one.written_at]
    assert all(began - 5 <= at <= time.time() + 5 for at in times)
    assert "done/a b" in set(blobs.markers())
    blobs.drop(uris[3])
    blobs.drop(uris[3])
    blobs.drop_marker("done/a b")
    assert uris[3] not in {one.uri for one in blobs.stored()} and "done/a b" not in set(blobs.markers())
    with pytest.raises(NotFound):
        blobs.get(uris[3])


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


def test_a_file_of_bytes_that_changed_on_disk_is_never_made(tmp_path):
    blobs = FileBlobs(tmp_path / "blobs")
    uri = blobs.put(LARGE)
    (path,) = [path for path in (tmp_path / "blobs" / "blobs").rglob("*") if path.is_file()]
    path.write_bytes(LARGE[:-1])
    with pytest.raises(Corrupt, match=f"{uri}.*their hash is {uri_of(LARGE[:-1])}"):
        write(blobs.pieces(uri), tmp_path / "got")
    assert [path.name for path in tmp_path.iterdir()] == ["blobs"]


def megabytes(count: int) -> Iterator[bytes]:
    """So many, none of them like another."""
    numbers = random.Random(7)
    yield from (numbers.randbytes(2**20) for _ in range(count))


def peak_megabytes(do) -> float:
    """What Python's objects took at most while this was done."""
    tracemalloc.start()
    try:
        do()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def test_what_passes_through_stands_in_memory_a_piece_at_a_time(tmp_path):
    """Sixty-four megabytes go in, come out as a file, and go in as one."""
    blobs = FileBlobs(tmp_path / "blobs")

    def there_and_back() -> None:
        uri = blobs.put_pieces(megabytes(64))
        write(blobs.pieces(uri), tmp_path / "file")
        assert blobs.put_file(tmp_path / "file") == uri

    assert peak_megabytes(there_and_back) < 8


def test_of_a_file_that_goes_to_a_bucket_and_back_a_few_parts_stand_in_memory(some_s3, tmp_path):
    blobs = s3_blobs(some_s3.url("large"))

    def there_and_back() -> None:
        uri = blobs.put_pieces(megabytes(48))
        write(blobs.pieces(uri), tmp_path / "file")

    assert peak_megabytes(there_and_back) < 32


def test_a_full_disk_is_unavailable_says_so_and_leaves_nothing_behind(tmp_path):
    blobs = FileBlobs(tmp_path / "blobs")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 * 2**20, hard))
    try:
        with pytest.raises(Unavailable, match=r"partial cannot be read or written: File too large"):
            blobs.put_pieces(megabytes(5))
        with pytest.raises(Unavailable, match=r"got cannot be written: File too large; is there room"):
            write(megabytes(5), tmp_path / "got")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


NO_URIS = [
    "",
    "sha256:",
    "sha256:../../../etc/passwd",
    "s3://bucket/x",
    "sha256:" + "/" * 64,
    "sha256:" + "x" * 64,
    "sha256:" + "A" * 64,
    "sha256:" + "é" * 64,
    "a" * 64,
    f"sha256:{'a' * 64}\n",
]


@pytest.mark.parametrize("uri", NO_URIS)
def test_what_is_no_uri_is_refused_before_the_disk_is_touched(tmp_path, uri):
    for blobs in (FileBlobs(tmp_path), MemoryBlobs()):
        with pytest.raises(InvalidInput, match="not a blob URI"):
            blobs.get(uri)


def test_what_is_no_uri_is_refused_before_the_bucket_is_asked(s3_keys):
    with faulty_s3() as server:
        blobs = s3_blobs(server.url)
        server.requests.clear()
        for uri in NO_URIS:
            with pytest.raises(InvalidInput, match="not a blob URI"):
                blobs.get(uri)
        assert server.requests == []


def test_another_process_sees_the_same_and_the_first_writer_wins_there_too(open_blobs):
    one, two = open_blobs(), open_blobs()
    uri = one.put(b"x")
    assert two.get(uri) == b"x"
    assert two.put_if_absent("done/a", b"two") == b"two"
    assert one.put_if_absent("done/a", b"one") == b"two"
    two.note("begun/work/1", b"two")
    one.note("begun/work/1", b"one")
    assert one.marker("begun/work/1") == b"two"


def test_no_partial_file_is_left_behind_and_another_process_sees_the_same(tmp_path):
    one, two = FileBlobs(tmp_path), FileBlobs(tmp_path)
    uri = one.put(b"x")
    assert two.get(uri) == b"x"
    two.note("begun/work/1", b"")
    assert one.marker("begun/work/1") == b""
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


def test_bytes_that_changed_in_the_bucket_are_corrupt_never_an_answer(s3, s3_url):
    blobs = s3_blobs(s3_url)
    uri = blobs.put(b"what was stored")
    key = f"{s3_url.split('?')[0].removeprefix(f's3://{BUCKET}/')}/blobs/{uri[7:9]}/{uri[7:]}"
    s3.client().put_object(Bucket=BUCKET, Key=key, Body=b"what was st0red")
    with pytest.raises(Corrupt, match=uri):
        blobs.get(uri)


def test_a_blob_of_many_parts_is_stored_once_as_well(some_s3):
    """Above a hundred megabytes it goes up in parts, and the condition holds at their end."""
    blobs = s3_blobs(some_s3.url("parts"))
    content = b"0123456789abcdef" * (105 * 2**16)
    uri = blobs.put(content)
    assert blobs.put(content) == uri
    assert blobs.get(uri) == content


def test_what_is_in_the_bucket_already_is_not_sent_again(s3_keys, tmp_path):
    (tmp_path / "file").write_bytes(LARGE)
    with faulty_s3() as server:
        blobs = s3_blobs(server.url)
        uri = blobs.put_file(tmp_path / "file")
        server.requests.clear()
        assert blobs.put_file(tmp_path / "file") == uri
        assert server.requests == [f"HEAD {uri.removeprefix('sha256:')}"]


def test_a_part_that_breaks_off_is_fetched_again_and_not_the_whole(s3_keys, tmp_path):
    with faulty_s3() as server:
        blobs = s3_blobs(server.url)
        uri = blobs.put_pieces([LARGE])
        server.requests.clear()
        # The size, the first part, and the second one for the first time.
        server.faults += ["", "", CUT_BODY]
        assert b"".join(blobs.pieces(uri)) == LARGE
        assert len(server.requests) == 4


def test_of_two_that_send_one_file_the_later_one_finds_it_there(s3_keys, tmp_path):
    (tmp_path / "file").write_bytes(LARGE)
    with faulty_s3() as server:
        blobs = s3_blobs(server.url)
        # Not there yet when it is asked for; then another one's is.
        server.faults += ["", "", "", "", CONFLICT]
        uri = blobs.put_file(tmp_path / "file")
        assert blobs.get(uri) == LARGE
        assert server.uploads == {}, "parts that belong to nothing are taken back"


def test_a_file_that_changes_while_it_is_sent_is_not_stored(tmp_path):
    source = tmp_path / "file"
    source.write_bytes(LARGE)
    called: list[str] = []

    def call(method: str, **more: object) -> dict[str, str]:
        called.append(method)
        source.write_bytes(bytes(len(LARGE)))
        return {"UploadId": "1", "ETag": "x"}

    with pytest.raises(Unavailable, match="changed while it was stored"):
        s3_parts.send(len(LARGE), lambda each: unchanged(source, uri_of(LARGE), each), call)
    assert called == ["create_multipart_upload", "upload_part", "abort_multipart_upload"]
    with pytest.raises(Unavailable, match="changed while it was stored"):
        b"".join(unchanged(source, uri_of(b"x"), PART))


def test_a_bucket_that_is_not_there_is_refused_at_the_start_with_what_to_do(s3):
    with pytest.raises(InvalidInput, match="no such bucket; make it, or name another in CONCORD_BLOB_URL"):
        s3_blobs(s3.url("x", "another-bucket"))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "refuses the key"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong-and-not-to-be-shown"}, "refuses the key of AWS_ACCESS_KEY_ID"),
    ],
)
def test_a_wrong_key_is_refused_at_the_start_and_never_shown(versity, s3_keys, monkeypatch, changed, says):
    """moto lets every key in; only the real server can show this."""
    for name, value in changed.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInput, match=says) as refused:
        s3_blobs(versity.url("x"))
    assert s3_keys["AWS_SECRET_ACCESS_KEY"] not in str(refused.value) and "not-to-be-shown" not in str(refused.value)


def test_a_key_that_is_refused_while_we_run_is_waited_for(s3_keys):
    """Unavailable itself, not a kind of it: a child process says it to its parent by name."""
    with faulty_s3() as server:
        blobs = s3_blobs(server.url)
        server.always = REFUSES
        for ask in (lambda: blobs.put(b"x"), lambda: blobs.get(uri_of(b"x")), lambda: blobs.marker("done/a")):
            with pytest.raises(Unavailable, match="refuses the key") as refused:
                ask()
            assert type(refused.value) is Unavailable


def test_without_credentials_the_variables_are_named(s3_keys, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with faulty_s3() as server, pytest.raises(InvalidInput, match="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        s3_blobs(server.url)


def test_an_endpoint_that_goes_away_is_unavailable_and_serves_again_when_it_is_back(s3, s3_url):
    blobs = s3_blobs(s3_url)
    uri = blobs.put(b"x")
    s3.stop()
    for ask in (lambda: blobs.put(b"y"), lambda: blobs.get(uri), lambda: blobs.put_if_absent("done/a", b"1")):
        with pytest.raises(Unavailable, match=rf"{BUCKET}/test-.* does not answer.*{s3.port}"):
            ask()
    with pytest.raises(Unavailable):
        s3_blobs(s3_url)
    s3.restart()
    assert blobs.put_if_absent("done/a", b"2") == b"2"
    assert blobs.get(blobs.put(b"y")) == b"y"


def test_a_store_that_overwrites_in_spite_of_the_condition_is_refused_before_a_marker_counts(s3_keys):
    with faulty_s3() as server:
        server.always = OLD
        for _ in range(2):
            with pytest.raises(InvalidInput, match="does not honour `If-None-Match"):
                s3_blobs(server.url).put_if_absent("done/a", b"1")
        assert not any(key.endswith("done/a") for key in server.objects)


def test_what_a_store_promises_is_tried_once_in_its_life(s3_keys):
    with faulty_s3() as server:
        for name in ("a", "b"):
            blobs = s3_blobs(server.url)
            server.requests.clear()
            assert blobs.put_if_absent(f"done/{name}", b"1") == b"1"
        assert server.requests == ["PUT b"]


def test_a_busy_store_is_asked_again_a_few_times_and_no_more(s3_keys):
    with faulty_s3() as server:
        blobs = s3_blobs(server.url)
        server.faults += [BUSY] * (SENT - 1)
        uri = blobs.put(b"x")
        server.requests.clear()
        server.always = BUSY
        with pytest.raises(Unavailable, match="SlowDown"):
            blobs.get(uri)
        assert len(server.requests) == SENT


def test_content_that_breaks_off_is_an_outage_and_not_the_end_of_the_process(s3_keys):
    with faulty_s3() as server:
        blobs = s3_blobs(server.url)
        uri = blobs.put(b"x" * 1000)
        server.faults += [CUT_BODY] * SENT
        with pytest.raises(Unavailable, match="does not answer"):
            for _ in range(SENT):
                blobs.get(uri)
        server.faults.clear()
        assert blobs.get(uri) == b"x" * 1000


def test_a_write_whose_answer_was_lost_is_our_own_when_it_is_sent_again(s3_keys):
    with faulty_s3() as server:
        blobs = s3_blobs(server.url)
        blobs.put_if_absent("done/first", b"")
        server.faults.append(LOSE_ANSWER)
        assert blobs.put_if_absent("done/a", b"ours") == b"ours"
        assert [key.rpartition("/")[2] for key in server.objects].count("a") == 1


def test_two_writers_at_the_same_moment_are_told_to_look_again(s3_keys):
    with faulty_s3() as server:
        blobs = s3_blobs(server.url)
        server.faults.append(CONFLICT)
        assert blobs.get(blobs.put(b"x")) == b"x"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("s3://", "s3://BUCKET"),
        ("s3:///prefix", "s3://BUCKET"),
        ("s3://key:hunter2@bucket/x", "AWS_ACCESS_KEY_ID"),
        ("s3://bucket/x?secret=hunter2", "no option 'secret'"),
        ("s3://bucket?endpoint_url=minio:9000", "http://"),
    ],
)
def test_an_s3_address_that_is_none_is_refused_without_its_secrets(url, says):
    with pytest.raises(InvalidInput, match=says) as refused:
        s3_blobs(url)
    assert "hunter2" not in str(refused.value)
