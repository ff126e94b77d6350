"""A file is there whole, or as it was."""

import pytest

from concord.kit.files import whole


def test_a_file_appears_when_it_is_whole(tmp_path):
    target = tmp_path / "rows.jsonl"
    with whole(target) as unfinished:
        unfinished.write_text("one\n")
        assert not target.exists()
    assert target.read_text() == "one\n"
    assert list(tmp_path.iterdir()) == [target]


def test_what_breaks_off_leaves_the_file_as_it_was_and_nothing_beside_it(tmp_path):
    target = tmp_path / "rows.jsonl"
    target.write_text("old\n")
    with pytest.raises(OSError, match="the disk is full"), whole(target) as unfinished:
        unfinished.write_text("half of")
        raise OSError("the disk is full")
    assert target.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [target]


def test_what_was_never_begun_is_told_in_its_own_words(tmp_path):
    with pytest.raises(RuntimeError, match="nothing to write"), whole(tmp_path / "rows.jsonl"):
        raise RuntimeError("nothing to write")
