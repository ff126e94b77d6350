"""Models beside each other: whose answers are preferred, what of that is length, and whether the preferred ones are good."""

import json

import concord
from concord.preference.seeded import uniform
from tests.test_cli import concord as concord_command

PROMPTS = 80


def row(n: int, wins: bool, longer: bool, swapped: bool, models: bool = True) -> dict:
    """Prompt n, answered by `new` and `start`; whether the judge prefers `new`, and whether it is the longer one."""
    long, short = f"Certainly! Let us see with care: it is {n} and no other number.", f"{n}."
    new = {"text": f"{long if longer else short} A", **({"model": "new"} if models else {})}
    start = {"text": f"{short if longer else long} B", **({"model": "start"} if models else {})}
    choice = int(wins == swapped)
    return {
        "id": f"p{n}",
        "prompt": f"How much is {n}?",
        "responses": [start, new] if swapped else [new, start],
        "ai_labels": {"judge": {"pair": [0, 1], "choice": choice, "confidence": 0.9}},
        "human_majority": int(swapped),
    }


def world(wins, longer, **more) -> list[dict]:
    """Rows of which `wins` and `longer` say it by the prompt's number; who stands first is drawn."""
    return [row(n, wins(n), longer(n), uniform("side", n) < 0.5, **more) for n in range(PROMPTS)]


def carried_out(rows: list[dict], folder, **more):
    asked = {"judge": "recorded:judge", "method": "random", "budget": 0.5, "pilot": 0, "annotators": "recorded"}
    return concord.run(rows, **{**asked, **more}, home=str(folder / "home"), tell=None)


def only(done) -> dict:
    (found,) = done.figures["contests"]
    return found


def longer(n: int) -> bool:
    return uniform("long", n) < 0.8


def by_length(n: int) -> bool:
    """What a judge says that takes the longer answer six times in seven."""
    return longer(n) != (uniform("whim", n) < 1 / 7)


def test_what_a_judge_of_length_sees_is_gone_at_equal_length(tmp_path):
    found = only(carried_out(world(by_length, longer), tmp_path))
    assert (found["model"], found["against"], found["pairs"]) == ("new", "start", PROMPTS)
    assert found["longer"] > 0.7 and found["judge"]["low"] > 0.5
    fair = found["judge_at_equal_length"]
    assert fair["low"] < 0.5 < fair["high"] and abs(fair["rate"] - 0.5) < 0.15


def test_what_it_sees_beside_length_stays(tmp_path):
    found = only(carried_out(world(lambda n: uniform("good", n) < 0.8, lambda n: n % 2 == 0), tmp_path))
    assert found["judge_at_equal_length"]["low"] > 0.6 < found["judge"]["low"]
    assert found["judge"]["low"] < found["judge"]["rate"] < found["judge"]["high"]


def test_people_are_counted_on_pairs_drawn_at_random_whoever_stands_first(tmp_path):
    found = only(carried_out(world(longer, longer), tmp_path))
    assert found["people"]["rate"] == 1.0 and 30 <= found["people"]["of"] <= PROMPTS // 2


def test_a_verdict_that_the_judge_calls_a_tie_is_half_a_win(tmp_path):
    rows = world(lambda n: True, longer)
    for one in rows[: PROMPTS // 2]:
        one["ai_labels"]["judge"]["choice"] = "tie"
    assert only(carried_out(rows, tmp_path))["judge"]["rate"] == 0.75


def test_a_model_that_is_preferred_and_gets_worse_sounds_the_alarm_on_the_page(tmp_path):
    rows = world(lambda n: True, longer)
    answers = tmp_path / "answers.jsonl"
    marks = [
        {"first_acceptable": said["responses"][0]["model"] == "start", "choice": "tie", "pair_id": said["id"]}
        | {"second_acceptable": said["responses"][1]["model"] == "start", "annotator": "ann"}
        for said in rows
    ]
    answers.write_text("".join(json.dumps(one) + "\n" for one in marks))
    done = carried_out(rows, tmp_path, annotators=f"file:{answers}")
    found = only(done)
    assert found["alarm"]["satisfaction_change"] == -1 and found["alarm"]["win_rate_change"] == 1
    assert found["satisfaction"]["satisfaction"]["share"] == 0 and found["people"]["rate"] == 0.5
    page = done.report.path.read_text()
    assert "Model against model" in page and "it has learned style, not substance" in page


def test_pairs_of_nobody_in_particular_have_no_such_section(tmp_path):
    done = carried_out(world(longer, longer, models=False), tmp_path)
    assert done.figures["contests"] == [] and "Model against model" not in done.report.path.read_text()


def test_the_command_says_who_won(tmp_path):
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in world(longer, longer)))
    done = concord_command(tmp_path, "run", "pairs.jsonl", "--judge", "recorded:judge", "--method", "none")
    assert done.returncode == 0, done.stderr
    assert "new wins against start on" in (done.stderr + done.stdout)
