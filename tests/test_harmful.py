"""Text that may hurt: marked from the input to every place where it is kept, hidden in the report, left out of an export."""

import json

import numpy as np
import pytest

import concord
from concord.client.annotate.screen import WARNING, asked_of
from concord.client.intake import intake
from concord.client.intake.formats import canonical
from concord.client.results.export import FORMATS, Exported, exported, uniform
from concord.labeling.conduct import with_conduct
from concord.preference.pairs import make_pair
from concord.report import measures
from concord.report.markup import behind_a_click, element
from concord.v1 import events_pb2 as ev
from concord.v1 import pairs_pb2 as pb
from tests.test_cli import concord as concord_command

PAIRS, HARMFUL = 60, 30
REFUSES = "I'm sorry, but I can't help with that. It is illegal and may hurt somebody."
COMPLIES = "Sure! Here is what you can do: use a thin piece of metal and turn it slowly."


def rows() -> list[dict]:
    """Half of the prompts ask for harm; to these the first answer refuses and the second complies. The judge likes the second."""
    return [
        {
            "id": f"p{n}",
            "prompt": f"How do I open lock number {n} of my neighbour?" if n < HARMFUL else f"What is {n} times two?",
            "responses": [
                {"text": REFUSES if n < HARMFUL else f"{2 * n}"},
                {"text": f"{COMPLIES} Then number {n} is open." if n < HARMFUL else f"Many, more than {n}."},
            ],
            "ai_labels": {"style": {"pair": [0, 1], "choice": int(n % 10 != 0), "confidence": 0.9}},
            "human_majority": 0,
            **({"harmful": True} if n < HARMFUL else {}),
        }
        for n in range(PAIRS)
    ]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    home = tmp_path_factory.mktemp("harmful") / "home"
    return concord.run(
        rows(), judge="recorded:style", annotators="recorded", budget=0.3, pilot=0, home=str(home), tell=None
    )


def test_the_marks_of_the_input_are_in_the_dataset_and_nowhere_else(done):
    dataset = [json.loads(line) for line in (done.out / "dataset.jsonl").read_text().splitlines()]
    assert {row["pair_id"] for row in dataset if row.get("harmful")} == {f"p{n}" for n in range(HARMFUL)}
    assert all("harmful" not in row for row in dataset if int(row["pair_id"][1:]) >= HARMFUL)


def test_an_export_leaves_marked_rows_out_unless_it_is_asked_for_them(done, tmp_path):
    without = [json.loads(line) for line in done.export("trl", tmp_path / "a.jsonl").read_text().splitlines()]
    assert without and all(int(row["pair_id"][1:]) >= HARMFUL for row in without)
    whole = [
        json.loads(line) for line in done.export("trl", tmp_path / "b.jsonl", harmful=True).read_text().splitlines()
    ]
    assert len(whole) == PAIRS and {row["harmful"] for row in whole} == {True, False}


def test_a_table_says_which_rows_are_marked(done, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(done.export("parquet", tmp_path / "a.parquet", harmful=True))
    assert sum(map(bool, table.column("harmful").to_pylist())) == HARMFUL


def test_in_the_report_marked_texts_stand_behind_a_click(done):
    page = done.report.path.read_text()
    shown = page.split("Where people overruled the judge")[1].split("<article>")[1:]
    cases = [part.split("</article>")[0] for part in shown]
    marked = [part for part in cases if "lock number" in part]
    assert marked and all('<details class="harmful"><summary>Marked as harmful' in part for part in marked)
    assert all("<details" not in part for part in cases if "times two" in part)


def test_a_chosen_answer_that_complies_with_what_asks_for_harm_is_not_acceptable(done):
    found = done.figures["satisfaction"]
    assert found["classed"] == HARMFUL and found["checked"] == found["marked"] == 0
    assert found["as_they_came"]["satisfaction"]["share"] == 0.5
    assert found["judge"]["satisfaction"]["share"] < 0.2 < found["dataset"]["satisfaction"]["share"]
    assert found["judge_alarm"]["satisfaction_change"] < 0
    assert "a refusal is acceptable and compliance is not" in done.report.path.read_text()


def test_a_unit_of_labelling_marked_pairs_done_again_gives_the_same_fact(done):
    again = concord_command(done.out, "replay", done.run_id, "--unit", "LABEL/0", CONCORD_HOME=str(done.settings.home))
    assert again.returncode == 0 and "gives the same fact" in again.stdout, again.stderr


def test_criteria_show_none_of_the_marked_texts_on_a_terminal(done):
    shown = concord_command(done.out, "criteria", done.run_id, "--shown", "60", CONCORD_HOME=str(done.settings.home))
    assert shown.returncode == 0 and "marked as harmful" in shown.stdout, shown.stderr
    assert "lock number" not in shown.stdout and "Sure! Here is" not in shown.stdout


def test_who_annotates_is_told_before_reading():
    pair = pb.Pair(prompt=[pb.Message(role="user", content="How?")], harmful=True)
    assert asked_of(pair, "Be kind.") == f"{WARNING}\n\nCriteria: Be kind.\n\nuser: How?"
    pair.harmful = False
    assert asked_of(pair, "") == "user: How?"


def test_a_run_without_marks_has_none_anywhere(tmp_path):
    plain = [{key: held for key, held in row.items() if key != "harmful"} for row in rows()]
    run = concord.run(plain, judge="recorded:style", budget=0.1, pilot=0, home=str(tmp_path / "home"), tell=None)
    assert run.figures["satisfaction"] is None
    assert '"harmful":true' not in (run.out / "dataset.jsonl").read_text()
    assert "harmful" not in run.export("trl", tmp_path / "a.jsonl").read_text()


@pytest.mark.parametrize("said", [True, False, None, "yes", 1, [], "true"])
def test_only_a_plain_true_is_a_mark(said, tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({"prompt": "?", "chosen": "a", "rejected": "b", "harmful": said}) + "\n")
    (row,) = intake.read(str(path)).rows
    assert row.pair.harmful is (said is True)


def test_the_mark_below_gold_is_read_as_well():
    record = canonical.read_responses({"prompt": "?", "responses": ["a", "b"], "gold": {"harmful": True}})
    assert record.harmful is True


def test_the_fact_says_what_each_answer_of_a_marked_pair_does_and_nothing_of_the_others():
    asked, german = (
        [pb.Message(role="user", content="How do I open it?")],
        "Das kann ich nicht sagen, denn das ist nicht gut.",
    )
    made = [
        make_pair("a", asked, pb.Response(text=REFUSES), pb.Response(text=COMPLIES), harmful=True),
        make_pair("b", asked, pb.Response(text=REFUSES), pb.Response(text=COMPLIES)),
        make_pair("c", asked, pb.Response(text=german), pb.Response(text=COMPLIES), harmful=True),
    ]
    fact = with_conduct(ev.ShardLabeled(pair_index=[0, 1, 2]), list(enumerate(made)))
    assert list(fact.conduct_first) == [pb.CONDUCT_REFUSAL, pb.CONDUCT_UNSPECIFIED, pb.CONDUCT_UNKNOWN]
    assert list(fact.conduct_second) == [pb.CONDUCT_COMPLIANCE, pb.CONDUCT_UNSPECIFIED, pb.CONDUCT_COMPLIANCE]
    plain = ev.ShardLabeled(pair_index=[1])
    assert with_conduct(plain, [(1, made[1])]) == ev.ShardLabeled(pair_index=[1])


def test_an_unsafe_answer_is_not_good_whatever_else_is_said_of_it():
    nan = np.nan
    first, second = measures.good(
        np.array([0, 3, 0]), np.array([1.0, nan, nan]), np.full(3, nan), (np.array([0.0, 0.0, 1.0]), np.full(3, nan))
    )
    assert np.array_equal(first, [0, 0, 1]) and np.array_equal(second, [nan, 1, nan], equal_nan=True)


@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_leaves_marked_rows_out_and_counts_them(format_):
    row = {
        "index": 0, "pair_id": "p", "pair_sha256": "00", "prompt": [{"role": "user", "content": "?"}], "chosen": "no",
        "rejected": "yes", "label": "first", "source": "judge", "p_chosen": 0.9, "weight": 1.0, "judge_label": "first",
        "judge_confidence": None,
    }  # fmt: skip
    held = [row | {"harmful": True}, row | {"index": 1}]
    account = Exported()
    (kept,) = exported(held, format_, account)
    assert account.harmful == 1 and account.kept == [1] and not kept.get("harmful")
    assert any("--harmful" in note for note in account.notes)
    marks = [made.get("harmful", False) for made in uniform(lambda: iter(held), format_, Exported(), harmful=True)]
    assert marks == [True, False]


def test_what_is_not_marked_needs_no_click():
    assert behind_a_click(False, element("p", "a")) == "<p>a</p>"
    assert behind_a_click(True, element("p", "<b>")).startswith('<details class="harmful"><summary>Marked as harmful')
