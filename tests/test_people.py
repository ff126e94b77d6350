"""People on the caller's side: an answer depends on seed, pair and vote, and on nothing else."""

import json
from collections.abc import Callable

import pytest

from concord.client.run import people
from concord.kit.blobs import MemoryBlobs
from concord.kit.errors import InvalidInput
from concord.preference.pairs import Row, make_pair
from concord.v1 import events_pb2 as ev
from concord.v1 import pairs_pb2 as pb

FIRST, SECOND, TIE = pb.CHOICE_FIRST, pb.CHOICE_SECOND, pb.CHOICE_TIE


def row(number: int, truth=FIRST) -> Row:
    prompt = [pb.Message(role="user", content=f"Question {number}")]
    return Row(make_pair(f"p{number}", prompt, pb.Response(text="a"), pb.Response(text="b")), truth)


def refusal(spec: str, rows=(), **more) -> str:
    with pytest.raises(InvalidInput) as caught:
        people.answerer(spec, rows, 0, **more)
    return str(caught.value)


def test_recorded_people_say_what_the_majority_said_and_skip_where_nobody_said():
    answer = people.answerer("recorded", [row(0, SECOND), row(1, None), row(2, TIE)], seed=0)
    assert [answer(pair, vote) for pair in range(3) for vote in (0, 1)] == [SECOND, SECOND, None, None, TIE, TIE]


def test_people_without_any_truth_are_refused():
    for spec in ("recorded", "simulated:0.1"):
        assert "nobody to answer" in refusal(spec, [row(0, None)])


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "record",
        "recorded:x",
        "simulated",
        "simulated:",
        "simulated:x",
        "simulated:1.5",
        "simulated:nan",
        "simulated:-0.1",
        "file:",
        "file",
        "people:x",
    ],
)
def test_a_spec_that_is_none_is_refused_with_an_example(spec):
    assert "simulated:" in refusal(spec, [row(0)])


def test_simulated_people_err_at_their_rate():
    rows = [row(number) for number in range(3000)]
    answer = people.answerer("simulated:0.2", rows, seed=1)
    wrong = sum(answer(pair, 0) == SECOND for pair in range(3000))
    assert 520 < wrong < 680
    assert all(people.answerer("simulated:0", rows, 1)(pair, 0) == FIRST for pair in range(100))
    assert all(people.answerer("simulated:1", rows, 1)(pair, 0) == SECOND for pair in range(100))


def test_votes_on_one_pair_err_independently():
    rows = [row(number) for number in range(3000)]
    answer = people.answerer("simulated:0.3", rows, seed=1)
    both = sum(answer(pair, 0) == SECOND and answer(pair, 1) == SECOND for pair in range(3000))
    assert 210 < both < 330


def test_an_error_about_a_tie_is_either_response():
    rows = [row(number, TIE) for number in range(400)]
    answer = people.answerer("simulated:1", rows, seed=1)
    said = [answer(pair, 0) for pair in range(400)]
    assert set(said) == {FIRST, SECOND} and 150 < said.count(FIRST) < 250


def test_an_answer_follows_the_pair_and_not_its_place():
    rows = [row(number) for number in range(50)]
    one, other = people.answerer("simulated:0.5", rows, 7), people.answerer("simulated:0.5", rows[::-1], 7)
    assert [one(pair, 2) for pair in range(50)] == [other(49 - pair, 2) for pair in range(50)]
    again = people.answerer("simulated:0.5", rows, 8)
    assert [one(pair, 2) for pair in range(50)] != [again(pair, 2) for pair in range(50)]


def test_rows_set_aside_are_known_by_their_ids_or_their_lines(tmp_path):
    path = tmp_path / "set-aside.jsonl"
    kept = [{"line": 3, "row": '{"id": "bad", "prompt": 1}'}, {"line": 9, "row": '{"half'}]
    path.write_text("".join(json.dumps(row) + "\n" for row in kept))
    assert people.ids_set_aside(path) >= {"bad", "row-3", "row-9"}


def earlier_run(rows, *said: tuple[int, int, int, bool]) -> tuple[list[ev.Event], Callable[[str], bytes]]:
    """A run's facts with these annotations: (pair, vote, choice, counted)."""
    blobs = MemoryBlobs()
    shard = blobs.put(pb.PairShard(pairs=[row.pair for row in rows]).SerializeToString())
    manifest = blobs.put(
        pb.PairsManifest(shards=[pb.ShardRef(uri=shard, pairs=len(rows))], pairs=len(rows)).SerializeToString()
    )
    events = [ev.Event(run_started=ev.RunStarted(pairs_uri=manifest, pairs=len(rows)))]
    for number, (pair, vote, choice, counted) in enumerate(said):
        annotation = ev.AnnotationSubmitted(pair_index=pair, vote=vote, choice=choice)
        events.append(ev.Event(event_id=f"j{number}", annotation_submitted=annotation))
        resolved = ev.TaskResolved(pair_index=pair, choice=choice, annotation_ids=[f"j{number}"] if counted else [])
        events.append(ev.Event(event_id=f"t{number}", task_resolved=resolved))
    return events, blobs.get


def test_answers_of_an_earlier_run_are_taken_over_by_the_pairs_content():
    before = [row(0), row(1), row(2)]
    events, get = earlier_run(before, (0, 0, SECOND, True), (1, 1, TIE, True), (2, 0, SECOND, False))
    reused = people.reused_answers(events, get)
    now = [row(2), row(1), row(0), row(3)]
    answer = people.with_reused(reused, now, people.recorded(now))
    assert [answer(pair, 0) for pair in range(4)] == [FIRST, FIRST, SECOND, FIRST]
    assert answer(1, 1) == TIE


def test_a_run_that_never_started_has_nothing_to_take_over():
    reused = people.reused_answers([ev.Event(run_created=ev.RunCreated())], MemoryBlobs().get)
    assert not reused and people.with_reused(reused, [row(0)], people.recorded([row(0)]))(0, 0) == FIRST
