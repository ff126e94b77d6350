"""People on the caller's side: an answer depends on seed, pair and vote, and on nothing else."""

import json
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


def answers(path, *lines) -> str:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text(text + "\n")
    return f"file:{path}"


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


def test_a_file_answers_by_id_for_every_vote_or_for_one(tmp_path):
    spec = answers(
        tmp_path / "a.jsonl",
        {"pair_id": "p0", "choice": "second"},
        "",
        {"pair_id": "p1", "choice": 0, "vote": 1},
        {"pair_id": "p1", "choice": "tie"},
        {"pair_id": "p2", "choice": 1, "vote": 0},
    )
    answer = people.answerer(spec, [row(0), row(1), row(2), row(3)], seed=0)
    said = [[answer(pair, vote) for vote in (0, 1)] for pair in range(4)]
    assert said == [[SECOND, SECOND], [TIE, FIRST], [SECOND, None], [None, None]]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"pair_id": "p0"', "broken JSON"),
        ("[1]", "must be an object"),
        ({"choice": 0}, "no `pair_id`"),
        ({"pair_id": "p0"}, "`choice` must be"),
        ({"pair_id": "p0", "choice": 2}, "`choice` must be"),
        ({"pair_id": "p0", "choice": True}, "`choice` must be"),
        ({"pair_id": "p0", "choice": 1.0}, "`choice` must be"),
        ({"pair_id": "p0", "choice": ["tie"]}, "`choice` must be"),
        ({"pair_id": "p0", "choice": 0, "vote": -1}, "`vote` must be"),
        ({"pair_id": "p0", "choice": 0, "vote": None}, "`vote` must be"),
        ({"pair_id": "p0", "choice": 0, "vote": False}, "`vote` must be"),
        ({"pair_id": "elsewhere", "choice": 0}, "no pair of the input has the id 'elsewhere'"),
        ({"pair_id": "p1", "choice": 0}, "a second answer for the pair 'p1'"),
    ],
)
def test_a_broken_answer_is_refused_with_file_and_line(tmp_path, line, words):
    path = tmp_path / "a.jsonl"
    spec = answers(path, {"pair_id": "p1", "choice": 1}, line)
    said = refusal(spec, [row(0), row(1)])
    assert said.startswith(f"{path}:2: ") and words in said


def test_pairs_that_were_set_aside_may_still_stand_in_the_file(tmp_path):
    spec = answers(tmp_path / "a.jsonl", {"pair_id": "gone", "choice": 0}, {"pair_id": "p0", "choice": 0})
    assert people.answerer(spec, [row(0)], 0, other_ids=["gone"])(0, 0) == FIRST


def test_a_file_is_named_with_what_it_says(tmp_path):
    path = tmp_path / "a.jsonl"
    before = people.named(answers(path, {"pair_id": "p0", "choice": 0}))
    after = people.named(answers(path, {"pair_id": "p0", "choice": 1}))
    assert before != after and before.startswith(f"file:{path}@") and len(before) == len(f"file:{path}@") + 12
    assert people.named("recorded") == "recorded"


def test_rows_set_aside_are_known_by_their_ids_or_their_lines(tmp_path):
    path = tmp_path / "set-aside.jsonl"
    kept = [{"line": 3, "row": '{"id": "bad", "prompt": 1}'}, {"line": 9, "row": '{"half'}]
    path.write_text("".join(json.dumps(row) + "\n" for row in kept))
    assert people.ids_set_aside(path) >= {"bad", "row-3", "row-9"}
    spec = answers(tmp_path / "a.jsonl", {"pair_id": "bad", "choice": 0}, {"pair_id": "p0", "choice": 0})
    assert people.answered(spec, people.ids_set_aside(path)) == 1 and people.answered("recorded", ["p0"]) == 0


def test_an_absent_or_empty_file_is_refused(tmp_path):
    assert "there is no such file" in refusal(f"file:{tmp_path / 'absent'}", [row(0)])
    assert "has no answers" in refusal(answers(tmp_path / "a.jsonl", ""), [row(0)])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=50),
            st.builds(
                lambda choice, vote: json.dumps({"pair_id": "p0", "choice": choice, "vote": vote}).encode(),
                st.one_of(st.none(), st.integers(-1, 2), st.text(max_size=3), st.lists(st.none(), max_size=1)),
                st.one_of(st.none(), st.integers(-1, 3), st.floats()),
            ),
        ),
        max_size=4,
    )
)
def test_no_file_of_answers_ends_in_anything_but_answers_or_a_refusal(tmp_path, lines):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(lines))
    try:
        answer = people.answerer(f"file:{path}", [row(0)], 0)
    except InvalidInput as error:
        assert str(path) in str(error)
        return
    assert answer(0, 0) in (FIRST, SECOND, TIE, None)


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
