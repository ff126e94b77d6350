"""A file of people's answers: it may grow, hold several people's answers and name pairs that nobody knows."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from concord.client.run import answers, people, voters
from concord.client.run.answers import SKIP
from concord.kit.errors import InvalidInput
from concord.preference.pairs import Row, make_pair
from concord.v1 import events_pb2 as ev
from concord.v1 import pairs_pb2 as pb

FIRST, SECOND, TIE = pb.CHOICE_FIRST, pb.CHOICE_SECOND, pb.CHOICE_TIE


def row(number: int, truth=FIRST) -> Row:
    prompt = [pb.Message(role="user", content=f"Question {number}")]
    return Row(make_pair(f"p{number}", prompt, pb.Response(text="a"), pb.Response(text="b")), truth)


def file_of(path: Path, *lines: object) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def said_of(path: Path, name: str, quorum: int = 1) -> list:
    return answers.read(path).votes(name, quorum)


def test_a_file_that_is_not_there_or_empty_holds_no_answers_yet(tmp_path):
    for path in (tmp_path / "absent.jsonl", file_of(tmp_path / "empty.jsonl", ""), tmp_path / "no" / "folder.jsonl"):
        assert said_of(path, "p0") == []
        assert "no answers yet; people are asked round by round" in answers.read(path).notes(["p0"], [], 1)[0]


@pytest.mark.parametrize(
    ("spelled", "meant"),
    [
        ("first", FIRST),
        ("First ", FIRST),
        ("A", FIRST),
        ("a", FIRST),
        (0, FIRST),
        ("second", SECOND),
        ("B", SECOND),
        (1, SECOND),
        ("tie", TIE),
        ("Tie", TIE),
        ("skip", SKIP),
    ],
)
def test_a_choice_may_be_spelled_as_people_spell_it(tmp_path, spelled, meant):
    path = file_of(tmp_path / "a.jsonl", {"pair_id": "p0", "choice": spelled})
    assert said_of(path, "p0") == [("file-0", meant)]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"pair_id": "p0"', "broken JSON"),
        ("[1]", "must be an object"),
        ({"choice": 0}, "no `pair_id`"),
        ({"pair_id": "p0"}, "`choice` must be"),
        ({"pair_id": "p0", "choice": 2}, "`choice` must be"),
        ({"pair_id": "p0", "choice": "1"}, "`choice` must be"),
        ({"pair_id": "p0", "choice": "left"}, "`choice` must be"),
        ({"pair_id": "p0", "choice": None}, "`choice` must be"),
        ({"pair_id": "p0", "choice": True}, "`choice` must be"),
        ({"pair_id": "p0", "choice": 1.0}, "`choice` must be"),
        ({"pair_id": "p0", "choice": ["tie"]}, "`choice` must be"),
        ({"pair_id": "p0", "choice": 0, "vote": -1}, "`vote` must be"),
        ({"pair_id": "p0", "choice": 0, "vote": None}, "`vote` must be"),
        ({"pair_id": "p0", "choice": 0, "vote": False}, "`vote` must be"),
        ({"pair_id": "p0", "choice": 0, "annotator": ["x"]}, "`annotator` must be"),
        ({"pair_id": "p0", "choice": 0, "annotator": "x" * 201}, "`annotator` must be"),
    ],
)
def test_a_broken_answer_is_refused_with_file_and_line(tmp_path, line, words):
    path = file_of(tmp_path / "a.jsonl", {"pair_id": "p1", "choice": 1}, line)
    with pytest.raises(InvalidInput) as caught:
        answers.read(path)
    assert str(caught.value).startswith(f"{path}:2: ") and words in str(caught.value)


def test_a_list_and_a_table_of_answers_are_read_as_well(tmp_path):
    rows = [{"pair_id": "p0", "choice": "A", "annotator": "x"}, {"pair_id": "p1", "choice": "tie", "vote": 1}]
    as_list, table = tmp_path / "a.json", tmp_path / "a.csv"
    as_list.write_text(json.dumps(rows, indent=1))
    table.write_text("pair_id,choice,annotator,vote\np0,A,x,\np1,tie,,1\n")
    on_one_line = tmp_path / "one.json"
    on_one_line.write_text(json.dumps(rows))
    for path in (as_list, on_one_line, table):
        assert said_of(path, "p0") == [("x", FIRST)] and said_of(path, "p1", 2) == [("file-1", TIE)], path
    table.write_text("pair_id,choice\np0,1\n")
    with pytest.raises(InvalidInput, match=r"a\.csv:2: `choice` must be"):
        answers.read(table)


def test_answers_of_several_annotators_are_votes_of_a_pair_the_first_ones_as_far_as_the_quorum_goes(tmp_path):
    lines = [{"pair_id": "p0", "choice": choice, "annotator": who} for who, choice in zip("xyz", "BBA", strict=True)]
    path = file_of(tmp_path / "a.jsonl", *lines)
    assert said_of(path, "p0", 3) == [("x", SECOND), ("y", SECOND), ("z", FIRST)]
    assert said_of(file_of(tmp_path / "b.jsonl", {"pair_id": 7, "choice": 0, "annotator": 0}), "7") == [("0", FIRST)]
    assert "1 answer is beyond the quorum of 2" in answers.read(path).notes(["p0"], [], 2)[0]
    assert answers.read(path).notes(["p0"], [], 3) == ()


def test_an_answer_that_nobody_signed_holds_for_every_vote_that_has_none_of_its_own(tmp_path):
    path = file_of(
        tmp_path / "a.jsonl",
        {"pair_id": "p0", "choice": "second"},
        {"pair_id": "p1", "choice": 0, "vote": 1},
        {"pair_id": "p1", "choice": "tie"},
        {"pair_id": "p2", "choice": 1, "vote": 0},
        {"pair_id": "p3", "choice": 1, "annotator": "x"},
        {"pair_id": "p5", "choice": 1, "annotator": None},
        {"pair_id": "p3", "choice": 0},
    )
    said = {name: sorted(said_of(path, name, 2)) for name in ("p0", "p1", "p2", "p3", "p4")}
    assert said == {
        "p0": [("file-0", SECOND), ("file-1", SECOND)],
        "p1": [("file-0", TIE), ("file-1", FIRST)],
        "p2": [("file-0", SECOND)],
        "p3": [("file-0", FIRST), ("x", SECOND)],
        "p4": [],
    }


def test_of_two_answers_of_the_same_annotator_the_later_one_counts_and_that_is_said(tmp_path):
    path = file_of(
        tmp_path / "a.jsonl",
        {"pair_id": "p0", "choice": "A", "annotator": "x"},
        {"pair_id": "p1", "choice": "A"},
        {"pair_id": "p0", "choice": "B", "annotator": "x"},
        {"pair_id": "p1", "choice": "tie"},
    )
    assert said_of(path, "p0") == [("x", SECOND)] and said_of(path, "p1") == [("file-0", TIE)]
    (note,) = answers.read(path).notes(["p0", "p1"], [], 1)
    assert "2 pairs are answered again" in note and "'p0' (line 3)" in note and "the later answer counts" in note


def test_answers_for_pairs_that_nobody_knows_are_counted_and_stop_nothing(tmp_path):
    path = file_of(tmp_path / "a.jsonl", *({"pair_id": name, "choice": 0} for name in ("p0", "gone", "q7", "q8")))
    notes = answers.read(path).notes(["p0"], ["gone"], 1)
    assert len(notes) == 2 and "2 answered pairs are not in the input, such as 'q7' (line 3)" in notes[0]
    assert "1 answer is for rows set aside" in notes[1]


def test_a_file_that_grows_is_read_again_and_one_half_written_is_told_once(tmp_path):
    path = tmp_path / "a.jsonl"
    written = voters.written(f"file:{path}", [row(0), row(1)])
    assert not written.votes(0, 1) and not written.news()
    file_of(path, {"pair_id": "p0", "choice": "first"})
    assert written.news() and [(vote.annotator, vote.says()) for vote in written.votes(0, 1)] == [("file-0", FIRST)]
    assert not written.news()
    file_of(path, {"pair_id": "p0", "choice": "first"}, '{"pair_id": "p1", "ch')
    with pytest.raises(InvalidInput, match=r"a\.jsonl:2: broken JSON"):
        written.news()
    assert not written.news() and written.votes(0, 1)


def recorded(pair: int, who: str, choice: int) -> ev.Event:
    return ev.Event(annotation_submitted=ev.AnnotationSubmitted(pair_index=pair, annotator=who, choice=choice))


def test_answers_that_contradict_what_is_recorded_are_told_and_others_are_not(tmp_path):
    path = file_of(
        tmp_path / "a.jsonl",
        {"pair_id": "p0", "choice": "second"},
        {"pair_id": "p1", "choice": "second"},
        {"pair_id": "p2", "choice": "tie", "annotator": "x"},
        {"pair_id": "p3", "choice": "first"},
    )
    facts = [
        recorded(0, "file-0", FIRST),
        recorded(1, "file-0", SECOND),
        recorded(2, "ann", FIRST),
        ev.Event(task_resolved=ev.TaskResolved(pair_index=2, choice=FIRST)),
    ]
    told = answers.contradicted(answers.read(path), ["p0", "p1", "p2", "p3"], 1, facts)
    assert "2 answers differ" in told and "'p0' (first is recorded, second is in the file)" in told
    assert not answers.contradicted(answers.read(path), ["p0", "p1", "p2", "p3"], 1, facts[1:2])


def test_what_was_reused_comes_first_and_what_is_missing_can_be_skipped(tmp_path):
    rows = [row(0), row(1)]
    written = voters.written(f"file:{file_of(tmp_path / 'a.jsonl', {'pair_id': 'p1', 'choice': 0})}", rows)
    before = {(people.pair_hash(rows[0].pair), 0): TIE}
    both = voters.Skipping(voters.reusing(written, before, rows))
    said = [[(vote.annotator, vote.says()) for vote in both.votes(pair, 1)][:1] for pair in (0, 1)]
    assert said == [[("reused-0", TIE)], [("file-0", FIRST)]]
    assert [vote.says() for vote in voters.Skipping(voters.written("people", rows)).votes(0, 2)] == [SKIP, SKIP]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=50),
            st.builds(
                lambda choice, vote, who: json.dumps(
                    {"pair_id": "p0", "choice": choice, "vote": vote, "annotator": who}
                ).encode(),
                st.one_of(st.none(), st.integers(-1, 2), st.text(max_size=3), st.lists(st.none(), max_size=1)),
                st.one_of(st.just(0), st.none(), st.integers(-1, 3), st.floats()),
                st.one_of(st.none(), st.booleans(), st.text(max_size=3)),
            ),
        ),
        max_size=4,
    )
)
def test_no_file_of_answers_ends_in_anything_but_answers_or_a_refusal(tmp_path, lines):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(lines))
    try:
        found = answers.read(path)
    except InvalidInput as error:
        assert str(path) in str(error)
        return
    assert {choice for _, choice in found.votes("p0", 3)} <= {FIRST, SECOND, TIE, SKIP}
    assert all(isinstance(note, str) for note in found.notes(["p0"], [], 1))


@pytest.mark.parametrize(("spelled", "meant"), [(True, 1), ("yes", 1), (False, 2), ("False", 2), ("", 0), (None, 0)])
def test_an_annotator_may_say_of_each_answer_by_itself_whether_it_is_acceptable(tmp_path, spelled, meant):
    row_of = {"pair_id": "p0", "choice": "first", "annotator": "ann", "first_acceptable": spelled}
    path = file_of(tmp_path / "a.jsonl", row_of)
    assert answers.read(path).marks.get("p0", {}).get("ann", answers.NO_MARKS) == (meant, 0)


def test_a_mark_that_is_no_yes_or_no_is_refused_with_file_and_line(tmp_path):
    path = file_of(tmp_path / "a.jsonl", {"pair_id": "p0", "choice": "first", "second_acceptable": 3})
    with pytest.raises(InvalidInput, match=r"a\.jsonl:1: `second_acceptable` must be true or false"):
        answers.read(path)
