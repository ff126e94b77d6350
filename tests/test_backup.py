"""`concord backup` and `restore`: what comes back is what was there, whatever it was kept on; what is no copy is refused."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from concord.embedded import embedded
from concord.kit.blobs import FileBlobs
from concord.kit.errors import Corrupt, InvalidInput, Refused, Unavailable
from concord.kit.log.topics import FACTS, fact_partition
from concord.kit.settings import Settings, open_log
from concord.operate import backup, verify
from concord.operate.local_records import here
from tests.test_cli import concord
from tests.test_doctor import run_in, settings_in, truth


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> tuple[Settings, str]:
    """A home with a run that came to its end."""
    settings = settings_in(tmp_path_factory.mktemp("home") / "kept")
    return settings, run_in(settings, truth, budget="10").run_id


def facts(settings: Settings, run_id: str) -> list[tuple]:
    with closing(open_log(settings)) as log:
        return [(r.offset, r.key, r.value, r.at) for r in log.read(FACTS, fact_partition(run_id), 0, 10_000)]


def wrong(settings: Settings, run_id: str) -> tuple:
    with here(settings) as place:
        return verify.verified(place, run_id).flaws


def test_a_restored_home_holds_the_same_facts_at_the_same_times_and_verifies(kept, tmp_path):
    settings, run_id = kept
    made = backup.made(settings, tmp_path / "copy")
    assert made.runs == 1 and made.records > 20 and made.blobs > 5 and made.rows["slots"] > 0
    assert backup.flaws(tmp_path / "copy") == {run_id: []}
    new = settings_in(tmp_path / "new")
    backup.restored(tmp_path / "copy", new)
    assert facts(new, run_id) == facts(settings, run_id)
    with embedded(new), here(new) as place:
        assert [view.run_id for view in place.views()] == [run_id]
        assert not verify.verified(place, run_id).flaws


def test_the_same_folder_again_takes_only_what_is_new(kept, tmp_path):
    settings, _ = kept
    backup.made(settings, tmp_path / "copy")
    run_in(settings, truth, budget="10", seed=5)
    again = backup.made(settings, tmp_path / "copy")
    assert again.runs == 2 and 0 < again.new_records < again.records and 0 < again.new_blobs < again.blobs
    assert not any(backup.flaws(tmp_path / "copy").values())
    assert backup.made(settings, tmp_path / "copy").new_records == 0


def test_a_run_that_waited_for_people_goes_on_where_it_was_and_nobody_answers_twice(tmp_path):
    settings = settings_in(tmp_path / "old")
    run_in(settings, truth, until=lambda view: view.votes >= 3, budget="10")
    backup.made(settings, tmp_path / "copy")
    # Questions that were lent out after the copy are nobody's until one lease is over.
    new = replace(settings_in(tmp_path / "new"), lease_s=0.5)
    backup.restored(tmp_path / "copy", new)
    then = run_in(new, truth, budget="10")
    whole = run_in(settings_in(tmp_path / "other"), truth, budget="10")
    assert (then.votes, then.dataset_sha256) == (whole.votes, whole.dataset_sha256)
    assert not wrong(new, then.run_id)


def test_a_restoration_that_was_cut_short_goes_on(kept, tmp_path):
    settings, run_id = kept
    backup.made(settings, tmp_path / "copy")
    new = settings_in(tmp_path / "new")
    with closing(open_log(new)) as log, closing(open_log(settings)) as old:
        log.put_back(old.read(FACTS, fact_partition(run_id), 0, 7))  # type: ignore[attr-defined]
    backup.restored(tmp_path / "copy", new)
    assert facts(new, run_id) == facts(settings, run_id) and not wrong(new, run_id)


def test_a_backup_goes_into_an_empty_place_alone(kept, tmp_path):
    settings, _ = kept
    backup.made(settings, tmp_path / "copy")
    other = settings_in(tmp_path / "other")
    run_in(other, truth, budget="10", seed=3)
    run_in(other, truth, budget="10", seed=9)
    with pytest.raises(Refused, match="restored to an empty place"):
        backup.restored(tmp_path / "copy", other)
    with pytest.raises(Corrupt, match="name another folder"):
        backup.made(other, tmp_path / "copy")


def test_a_folder_of_something_else_and_a_copy_that_never_ended_are_refused(kept, tmp_path):
    settings, _ = kept
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/mine.txt").write_text("dear")
    with pytest.raises(InvalidInput, match="holds something, and no backup"):
        backup.made(settings, tmp_path / "letters")
    backup.made(settings, tmp_path / "copy")
    (tmp_path / "copy/backup.json").unlink()
    with pytest.raises(InvalidInput, match="never came to its end"):
        backup.restored(tmp_path / "copy", settings_in(tmp_path / "new"))


def test_a_copy_in_which_something_changed_is_named(kept, tmp_path):
    settings, run_id = kept
    backup.made(settings, tmp_path / "copy")
    blob = next(iter(FileBlobs(tmp_path / "copy/blobs").stored()))
    FileBlobs(tmp_path / "copy/blobs").drop(blob.uri)
    with sqlite3.connect(tmp_path / "copy/log.sqlite") as log:
        log.execute("DELETE FROM records WHERE offset = 4 AND partition = ?", (fact_partition(run_id),))
    log.close()
    with pytest.raises(Corrupt, match="no record 4"):
        backup.flaws(tmp_path / "copy")
    with pytest.raises(Corrupt, match="no record 4"):
        backup.restored(tmp_path / "copy", settings_in(tmp_path / "new"))


def test_a_blob_that_is_gone_from_the_copy_is_named_with_its_run(kept, tmp_path):
    settings, run_id = kept
    backup.made(settings, tmp_path / "copy")
    for blob in list(FileBlobs(tmp_path / "copy/blobs").stored()):
        FileBlobs(tmp_path / "copy/blobs").drop(blob.uri)
    assert any("is not at" in flaw for flaw in backup.flaws(tmp_path / "copy")[run_id])


def test_the_commands_say_what_they_did_and_refuse_while_services_run(kept, tmp_path):
    settings, _ = kept
    said = concord(Path(settings.home).parent, "backup", str(tmp_path / "copy"), CONCORD_HOME=settings.home)
    assert said.returncode == 0 and " facts (" in said.stdout and "--check` reads all of it" in said.stderr, said.stderr
    back = concord(tmp_path, "restore", "copy")
    assert back.returncode == 0 and "restored: " in back.stdout, back.stderr
    with embedded(settings_in(tmp_path / "concord-data")):
        busy = concord(tmp_path, "restore", "copy")
    assert busy.returncode == 2 and "a process runs `runs`" in busy.stderr


def test_a_home_moves_to_a_cluster_and_back_by_way_of_a_backup(kept, tmp_path, kafka_url, postgres_url, some_s3):
    settings, run_id = kept
    home = backup.made(settings, tmp_path / "copy")
    urls = {"log_url": kafka_url, "state_url": postgres_url, "blob_url": some_s3.url("backup")}
    cluster = replace(settings_in(tmp_path / "new"), **urls)
    backup.restored(tmp_path / "copy", cluster)
    assert facts(cluster, run_id) == [
        (*fact[:3], pytest.approx(fact[3], abs=0.001)) for fact in facts(settings, run_id)
    ]
    assert not wrong(cluster, run_id)
    back = backup.made(cluster, tmp_path / "back")
    assert (back.records, back.blobs, back.markers, back.rows) == (home.records, home.blobs, home.markers, home.rows)
    assert backup.flaws(tmp_path / "back")[run_id] == []


def test_a_store_that_does_not_answer_leaves_no_backup_that_says_it_is_one(kept, tmp_path):
    settings, _ = kept
    (tmp_path / "state.sqlite").write_bytes(b"no database at all, but some words" * 100)
    with pytest.raises((Unavailable, Corrupt)):
        backup.made(replace(settings, state_url=f"sqlite:///{tmp_path / 'state.sqlite'}"), tmp_path / "copy")
    assert not (tmp_path / "copy/backup.json").exists() and not Path(tmp_path / "copy/blobs/blobs").exists()
