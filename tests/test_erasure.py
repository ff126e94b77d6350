"""`concord erase`: the words are gone wherever they were, what was decided stays, and the rest verifies as before."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from concord.commands import keeping
from concord.embedded import embedded
from concord.kit.blobs import FileBlobs, MemoryBlobs
from concord.kit.blobs import replace as replace_blob
from concord.kit.errors import InvalidInput, NotFound, Refused
from concord.kit.ids import event_id
from concord.kit.log import topics
from concord.kit.loop.facts import entry_of
from concord.kit.settings import Settings, open_blobs, open_log
from concord.operate import backup, run_log, verify
from concord.operate.local_records import here
from concord.preference import erasing
from concord.preference.erasing import Words, texts_of
from concord.v1.events_pb2 import Event
from tests.test_doctor import PAIRS, run_in, settings_in, truth


def whole(settings: Settings, run_id: str) -> verify.Verified:
    with here(settings) as place:
        return verify.verified(place, run_id)


def holding(settings: Settings, text: str) -> list[str]:
    """The files of the home in which the text stands."""
    found = [path for path in Path(settings.home).rglob("*") if path.is_file() and text.encode() in path.read_bytes()]
    return [str(path.relative_to(settings.home)) for path in found]


def state(settings: Settings, run_id: str):
    with here(settings) as place:
        return run_log.fold_of(run_id, place.of(run_id)).state.view


def answers(settings: Settings, run_id: str) -> list:
    with here(settings) as place:
        events = [event for event, _ in place.events(run_id)]
    return [event.annotation_submitted for event in events if event.HasField("annotation_submitted")]


@pytest.fixture
def kept(tmp_path, monkeypatch) -> tuple[Settings, str]:
    settings = settings_in(tmp_path / "home")
    view = run_in(settings, truth, budget="10")
    monkeypatch.setenv("CONCORD_HOME", settings.home)
    return settings, view.run_id


def test_a_prompt_is_gone_from_every_file_and_the_run_verifies(kept, tmp_path, capsys):
    settings, run_id = kept
    pair, other = PAIRS[5], PAIRS[6]
    backup.made(settings, tmp_path / "copy")
    before = state(settings, run_id)
    assert holding(settings, pair.prompt[0].content) and pair.prompt[0].content != other.prompt[0].content
    keeping.erase_prompt(run_id, pair.pair_id, reason="somebody asked", yes=True)
    said = capsys.readouterr().out
    assert "words are gone from" in said and "still in blob" not in said
    assert holding(settings, pair.prompt[0].content) == []
    assert holding(settings, other.prompt[0].content)
    found = whole(settings, run_id)
    assert not found.flaws and any("that an erasure left" in note for note in found.notes), found
    after = state(settings, run_id)
    assert (after.status, after.votes, after.dataset_sha256) == (before.status, before.votes, before.dataset_sha256)
    with embedded(settings), here(settings) as place:
        assert [view.run_id for view in place.views()] == [run_id]
    assert not whole(settings, run_id).flaws
    with pytest.raises(Refused, match="erased already"):
        keeping.erase_prompt(run_id, pair.pair_id, yes=True)
    # A backup that is made again into the same folder loses it as well.
    backup.made(settings, tmp_path / "copy")
    assert not any(backup.flaws(tmp_path / "copy").values())


def test_a_persons_name_and_comments_go_and_the_answers_stay(kept, capsys):
    settings, run_id = kept
    votes = state(settings, run_id).votes
    name = answers(settings, run_id)[0].annotator
    assert holding(settings, name)
    keeping.erase_person(name, reason="left", yes=True)
    assert "words are gone from" in capsys.readouterr().out and holding(settings, name) == []
    assert not whole(settings, run_id).flaws and state(settings, run_id).votes == votes
    given = answers(settings, run_id)
    assert any(answer.annotator.startswith("erased-") for answer in given) and len(given) == votes
    with embedded(settings):
        pass
    assert not whole(settings, run_id).flaws


def test_the_story_says_what_was_erased_and_by_whom(kept, capsys):
    from concord.operate import replay_commands

    settings, run_id = kept
    keeping.erase_prompt(run_id, PAIRS[5].pair_id, reason="a customer asked", yes=True)
    capsys.readouterr()
    with here(settings) as place:
        replay_commands.tell(place, run_id, "", False)
    said = capsys.readouterr().out
    assert "a prompt was erased by operator/" in said and "a customer asked" in said


def test_an_erased_run_is_gone_and_whoever_asks_hears_by_whom(kept, capsys):
    settings, run_id = kept
    keeping.erase_run(run_id, reason="no longer wanted", yes=True)
    assert holding(settings, PAIRS[5].prompt[0].content) == []
    with here(settings) as place, pytest.raises(NotFound, match=r"was erased by operator/.*no longer wanted"):
        place.view(run_id)
    with embedded(settings), here(settings) as place:
        assert list(place.views()) == []


def test_a_run_that_goes_on_is_left_alone(tmp_path, monkeypatch):
    settings = settings_in(tmp_path / "home")
    view = run_in(settings, until=lambda view: view.stages and view.stages[0].closed)
    monkeypatch.setenv("CONCORD_HOME", settings.home)
    with pytest.raises(Refused, match="has not ended"):
        keeping.erase_prompt(view.run_id, PAIRS[5].pair_id, yes=True)


def test_a_fact_or_blob_that_changed_without_a_fact_that_says_so_is_a_flaw(kept):
    settings, run_id = kept
    keeping.erase_prompt(run_id, PAIRS[5].pair_id, yes=True)
    blobs = FileBlobs(Path(settings.blob_url.removeprefix("file://")))
    with here(settings) as place:
        named = next(iter(place.events(run_id)[1][0].pairs_added.shards)).uri
    replace_blob(blobs, uri := blobs.put(blobs.get(named) + b"\n"), b"other words")
    assert blobs.get(uri) == b"other words"
    last = sorted(stored.uri for stored in blobs.stored())
    replace_blob(blobs, next(one for one in last if one.startswith("sha256:")), b"something else")
    assert any("no fact says that it was erased" in flaw.says for flaw in whole(settings, run_id).flaws)


def test_what_is_read_in_the_place_of_a_blob_may_be_erased_again():
    blobs = MemoryBlobs()
    first = blobs.put(b"dear ann, dear bob")
    second = replace_blob(blobs, first, b"dear [erased], dear bob")
    replace_blob(blobs, second, b"dear [erased], dear [erased]")
    assert blobs.get(first) == blobs.get(second) == b"dear [erased], dear [erased]"
    assert b"".join(blobs.pieces(first)) == b"dear [erased], dear [erased]"
    assert [len(blob.uri) for blob in blobs.stored()] == [71]


def test_what_was_quoted_of_a_policys_answers_goes_with_any_prompt_of_its_run():
    said = Event(
        policy_judged={"labels": {"kept_answers": [{"pair_index": 3, "text": "I prefer the poem"}]}, "wins": 2}
    )
    left = erasing.event(said, Words(prompt=(("user", "Write a poem"),), pairs=frozenset({7})))
    assert b"poem" not in left.SerializeToString() and left.policy_judged.wins == 2


@pytest.mark.slow
def test_on_kafka_and_s3_no_topic_ever_holds_a_pairs_text_and_what_a_person_wrote_is_said_to_stay(
    tmp_path, monkeypatch, capsys, kafka_url, some_s3
):
    """The bytes of every topic and object are read: a record of Kafka cannot be changed, so no text of a pair may be in one."""
    s3_url = some_s3.url(f"test-{uuid4().hex[:8]}")
    settings = replace(settings_in(tmp_path / "home"), log_url=kafka_url, blob_url=s3_url)
    run_id = run_in(settings, truth, budget="10").run_id
    comment = "the second one knows the town"
    with closing(open_log(settings)) as log:
        said = Event(event_id=event_id(run_id, "late"), run_id=run_id, annotation_submitted={"comment": comment})
        said.annotation_submitted.annotator, said.annotation_submitted.pair_index = "person-0", 5
        log.append([entry_of(said)])
    for name in ("home", "log_url", "blob_url"):
        monkeypatch.setenv(f"CONCORD_{name.upper()}", getattr(settings, name))
    prompt = PAIRS[5].prompt[0].content
    objects = held_by_s3(settings)
    assert any(prompt.encode() in content for content in objects)
    keeping.erase_prompt(run_id, PAIRS[5].pair_id, reason="somebody asked", yes=True)
    assert "1 fact with such words stay" in (told := capsys.readouterr().out) and "still in blob" not in told
    assert not any(prompt.encode() in content for content in held_by_s3(settings))
    with closing(open_log(settings)) as log:
        records = [
            record.value
            for topic in topics.ALL
            for at in range(log.partitions(topic))
            for record in log.read(topic, at, 0, 100_000)
        ]
    texts = {text for pair in PAIRS for text in texts_of(pair) if len(text) > 20}
    assert len(records) > 50 and not [text for text in texts if any(text.encode() in one for one in records)]
    # What stays, as docs/recovery.md says.
    assert sum(comment.encode() in one for one in records) == 1
    keeping.erase_person("person-0", reason="left", yes=True)
    assert "with such words stay, for on Kafka a record cannot be changed" in capsys.readouterr().out
    assert not whole(settings, run_id).flaws
    with pytest.raises(InvalidInput):
        keeping.erase_run(run_id, yes=True)


def held_by_s3(settings: Settings) -> list[bytes]:
    """The bytes of every object below the prefix."""
    blobs = open_blobs(settings)
    return [blobs.get(one.uri) for one in blobs.stored()]
