"""`concord certify`: how wrong the labels of any file are."""

import json
from pathlib import Path

import pytest

from concord.certificate.certificate import Certificate
from concord.client.intake import intake
from concord.client.run.certify_job import certify_job
from concord.kit.errors import InvalidInput
from concord.preference.seeded import uniform
from concord.v1.pairs_pb2 import CHOICE_FIRST
from tests.test_cli import concord

PAIRS = 160


def is_wrong(number: int) -> bool:
    """One label in five is."""
    return uniform("wrong", number) < 0.2


def write_pairs(folder: Path) -> Path:
    """Sums, with the better answer as `chosen` but where the label is wrong; two kinds of them."""
    path = folder / "pairs.jsonl"
    with path.open("w") as file:
        for number in range(PAIRS):
            right, wrong = f"{number} and {number} make {2 * number}", f"{number} and {number}: who knows"
            chosen, rejected = (wrong, right) if is_wrong(number) else (right, wrong)
            kind = "sums" if number % 2 else "numbers"
            row = {"id": f"n{number}", "domain": kind, "prompt": f"Twice {number}?", "chosen": chosen}
            file.write(json.dumps(row | {"rejected": rejected}) + "\n")
    return path


def write_answers(folder: Path, questions: Path) -> None:
    """Two people who know their sums."""
    asked = [json.loads(line) for line in questions.read_text().splitlines()]
    with (folder / "answers.jsonl").open("a") as file:
        for row in asked:
            better = "second" if "who knows" in row["first"] else "first"
            for who in ("ann", "bob"):
                file.write(json.dumps({"pair_id": row["pair_id"], "choice": better, "annotator": who}) + "\n")


def read(path: str, aside: Path | None) -> intake.Input:
    return intake.read(path, aside)


def test_a_file_is_certified_in_an_empty_folder_by_the_answers_to_random_pairs(tmp_path):
    write_pairs(tmp_path)
    words = ("certify", "pairs.jsonl", "--audit", "80", "--annotators", "file:answers.jsonl", "--re-ask", "0.4")
    asked = concord(tmp_path, *words)
    assert asked.returncode == 3 and "80 questions stand in" in asked.stderr, asked.stderr
    (questions,) = tmp_path.glob("concord-data/runs/*/questions.jsonl")
    write_answers(tmp_path, questions)
    done = concord(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    told = json.loads((questions.parent / "certificate.json").read_text())
    assert told["rows"] == PAIRS and told["answers"] == 80 and told["by_people"] == 0 and told["re_asks"] >= 26
    truth = sum(map(is_wrong, range(PAIRS))) / PAIRS
    assert told["low"] < truth < told["high"] and told["corrected_low"] < truth < told["corrected_high"]
    assert {part["name"] for part in told["kinds"]} == {"sums", "numbers"}
    assert "of the labels differ from one person's answer" in done.stdout and "sums" in done.stdout
    again = concord(tmp_path, *words, "--json")
    assert json.loads(again.stdout) == told


def test_as_many_pairs_are_asked_as_is_said_and_second_persons_come_on_top(tmp_path):
    path = str(write_pairs(tmp_path))
    plain = certify_job(path, 100, "", {"annotators": "people"}, None, read)
    again = certify_job(path, 100, "", {"annotators": "people", "re_ask": 0.3}, None, read)
    assert plain.config.human_budget == 100 and again.config.human_budget >= 130
    assert plain.config.judge.name == "chosen" and not plain.truth


def test_with_several_labels_in_the_file_one_has_to_be_named(tmp_path):
    path = tmp_path / "judged.jsonl"
    row = {"prompt": "Which?", "responses": ["this", "that"], "human_majority": 0}
    row["ai_labels"] = {name: {"pair": [0, 1], "choice": at} for at, name in enumerate("ab")}
    path.write_text("".join(json.dumps(row | {"id": str(at), "prompt": f"Which, {at}?"}) + "\n" for at in range(9)))
    with pytest.raises(InvalidInput, match="--label NAME"):
        certify_job(str(path), 5, "", {}, None, read)
    job = certify_job(str(path), 5, "b", {}, None, read)
    assert job.config.judge.name == "b" and job.answer(0, 0) == CHOICE_FIRST
    own = certify_job(str(path), 5, "human_majority", {"annotators": "people"}, None, read)
    assert own.config.judge.name == "human_majority" and not own.truth


def test_it_is_the_files_labels_that_are_asked_about_whatever_a_check_would_say(tmp_path):
    path = tmp_path / "checkable.jsonl"
    rows = [
        {"id": str(at), "prompt": f"Twice {at}?", "chosen": "9999", "rejected": str(2 * at), "reference": str(2 * at)}
        for at in range(9)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert certify_job(str(path), 5, "", {"annotators": "people"}, None, read).config.checks_off


def test_a_file_without_labels_is_refused_in_words(tmp_path):
    path = tmp_path / "blind.jsonl"
    path.write_text(json.dumps({"prompt": "Which?", "responses": ["this", "that"]}) + "\n")
    with pytest.raises(InvalidInput, match="no labels to certify"):
        certify_job(str(path), 5, "", {}, None, read)
    with pytest.raises(InvalidInput, match="at least one pair"):
        certify_job(str(path), 0, "", {}, None, read)


@pytest.mark.parametrize("annotators", ["recorded", "simulated:0.1"])
def test_labels_that_are_certified_cannot_answer_for_themselves(tmp_path, annotators):
    path = write_pairs(tmp_path)
    with pytest.raises(InvalidInput, match="the file's `chosen` is what is certified and cannot answer for itself"):
        certify_job(str(path), 5, "", {"annotators": annotators}, None, read)


def test_a_certificate_is_a_value():
    assert Certificate(1, "", 0, 0.5) == Certificate(1, "", 0, 0.5)
