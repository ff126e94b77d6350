"""A run whose judge loves style: people's marks of answers by themselves reach facts, figures and page, and sound the alarm."""

import json

import pytest

import concord

PAIRS = 80


def rows() -> list[dict]:
    """The first answer is right and plain, the second wrong and splendid; the judge prefers the second in nine of ten."""
    return [
        {
            "id": f"p{n}",
            "prompt": f"How many legs have {n} spiders?",
            "responses": [{"text": f"{8 * n}"}, {"text": f"**Certainly!** Let us see: {n} spiders have {6 * n} legs."}],
            "ai_labels": {"style": {"pair": [0, 1], "choice": int(n % 10 != 0), "confidence": 0.9}},
            "human_majority": 0,
        }
        for n in range(1, PAIRS + 1)
    ]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("satisfaction")
    said = [
        {
            "pair_id": f"p{n}",
            "choice": "first",
            "annotator": "ann",
            "first_acceptable": True,
            "second_acceptable": False,
        }
        for n in range(1, PAIRS + 1)
    ]
    answers = folder / "answers.jsonl"
    answers.write_text("".join(json.dumps(one) + "\n" for one in said))
    return concord.run(
        rows(),
        judge="recorded:style",
        annotators=f"file:{answers}",
        budget=0.5,
        pilot=0,
        home=str(folder / "home"),
        tell=None,
    )


def test_what_people_mark_is_in_the_facts_and_counted(done):
    found = done.figures["satisfaction"]
    assert found["marked"] == done.figures["human_labels"] > 20 and found["checked"] == 0
    assert found["as_they_came"]["satisfaction"]["share"] == 0.5
    assert found["judge"]["satisfaction"]["share"] < 0.3 and found["judge"]["win_rate"]["share"] == 1
    assert found["dataset"]["satisfaction"]["share"] == 1, "people corrected all that they were asked about"


def test_the_alarm_is_sounded_for_the_judge_and_not_for_the_dataset(done):
    found = done.figures["satisfaction"]
    assert found["judge_alarm"]["satisfaction_change"] < 0 < found["judge_alarm"]["win_rate_change"]
    assert found["dataset_alarm"] is None
    page = done.report.path.read_text()
    assert "Satisfaction beside win rate" in page and "fewer of them are correct and acceptable" in page


def test_a_run_of_which_nothing_but_preference_is_known_has_no_such_section(tmp_path):
    run = concord.run(rows()[:30], judge="recorded:style", budget=0.2, pilot=0, home=str(tmp_path / "home"), tell=None)
    assert run.figures["satisfaction"] is None and "Satisfaction beside" not in run.report.path.read_text()
