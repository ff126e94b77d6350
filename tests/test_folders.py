"""Folders as blobs: back as they were, or not at all."""

import threading

import pytest

from concord.kit.blobs import FileBlobs, folders
from concord.kit.blobs.folders import Filed
from concord.kit.errors import Corrupt, InvalidInput, NotFound
from concord.kit.ids import uri_of

CONTENTS = {"config.json": b"{}", "a/model.safetensors": bytes(range(256)) * 9, "empty": b""}


@pytest.fixture
def blobs(tmp_path):
    return FileBlobs(tmp_path / "blobs")


@pytest.fixture
def given(tmp_path):
    for name, content in CONTENTS.items():
        path = tmp_path / "given" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "given"


def contents(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_comes_back_as_it_was(blobs, given, tmp_path):
    files = folders.put(blobs, given)
    assert files == tuple(Filed(name, uri_of(CONTENTS[name]), len(CONTENTS[name])) for name in sorted(CONTENTS))
    folders.get(blobs, files, tmp_path / "deep" / "got")
    assert contents(tmp_path / "deep" / "got") == CONTENTS


def test_only_what_is_wanted_is_stored(blobs, given):
    assert [file.name for file in folders.put(blobs, given, lambda name: name.endswith(".json"))] == ["config.json"]


def test_a_folder_that_is_not_there_is_named(blobs, tmp_path):
    with pytest.raises(InvalidInput, match=f"there is no folder {tmp_path}/nowhere"):
        folders.put(blobs, tmp_path / "nowhere")


@pytest.mark.parametrize("broken", [NotFound, Corrupt])
def test_of_a_folder_with_a_blob_that_is_gone_or_broken_nothing_is_made(blobs, given, tmp_path, broken):
    files = folders.put(blobs, given)
    (path,) = (tmp_path / "blobs" / "blobs").rglob(uri_of(b"{}").removeprefix("sha256:"))
    path.unlink() if broken is NotFound else path.write_bytes(b"[]")
    with pytest.raises(broken, match=uri_of(b"{}")):
        folders.get(blobs, files, tmp_path / "models" / "got")
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/../../outside", ""])
def test_a_name_that_leads_out_of_the_folder_is_refused(blobs, tmp_path, name):
    uri = blobs.put(b"x")
    with pytest.raises(Corrupt, match="leads out of it"):
        folders.get(blobs, [Filed(name, uri, 1)], tmp_path / "models" / "got")
    assert list((tmp_path / "models").iterdir()) == []


def test_of_many_that_make_the_same_folder_at_once_all_find_it_whole(blobs, given, tmp_path):
    files, seen = folders.put(blobs, given), []

    def make() -> None:
        folders.get(blobs, files, tmp_path / "models" / "got")
        seen.append(contents(tmp_path / "models" / "got"))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [CONTENTS] * 8
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["got"]
