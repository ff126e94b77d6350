"""The papers' settings, as `examples/papers` has them, on the bundled sample: each runs to its dataset and does what it says."""

import json
from pathlib import Path

import pytest
import yaml

import concord
from concord import sample
from concord.client.run import options

pytestmark = pytest.mark.slow

PAPERS = Path(__file__).parent.parent / "examples" / "papers"
NAMES = sorted(path.parent.name for path in PAPERS.glob("*/run.yaml"))
ROWS = [json.loads(line) for line in sample.jsonl().splitlines()[:300]]


def run(folder: Path, paper: str, rows: list[dict], **more):
    settings = yaml.safe_load((PAPERS / paper / "run.yaml").read_text())
    return concord.run(rows, **{**settings, "home": str(folder / "home"), "tell": None, **more})


def test_each_paper_has_its_section():
    said = (PAPERS / "README.md").read_text()
    assert NAMES == ["hrlaif", "real", "rlthf"]
    assert all(f"examples/papers/{name}/run.yaml" in said for name in NAMES)


def test_rlthf_runs_its_schedule_on_a_quarter_of_the_pairs(tmp_path):
    settings = yaml.safe_load((PAPERS / "rlthf" / "run.yaml").read_text())
    usual = options.Options(method="rlthf")
    for name in ("subset", "batch"):
        assert settings[name] == getattr(usual, name)
    for name in ("amplification", "back_off"):
        assert tuple(settings[name]) == tuple(getattr(usual, name)), "the published schedule is the default"
    done = run(tmp_path, "rlthf", ROWS)
    assert done.figures["human_labels"] == 18 and len(done.dataset) == len(ROWS)
    assert len(done.figures["rounds"]) >= 4


def test_hrlaif_checks_answers_before_the_judge_sees_any(tmp_path):
    rows = [{**row, "source": ""} for row in ROWS]
    done = run(tmp_path, "hrlaif", rows)
    checked = [row for row in done.dataset if row["source"] == "checked"]
    assert len(checked) > len(rows) / 4 and done.figures["human_labels"] == 0


def test_real_keeps_the_half_whose_answers_differ_most_with_the_labels_of_the_data(tmp_path):
    rows = []
    for number, row in enumerate(ROWS):
        texts = [answer["text"] for answer in row["responses"]]
        if texts[0] != texts[1]:
            rows.append({"id": f"n{number}", "prompt": row["prompt"], "chosen": texts[0], "rejected": texts[1]})
    done = run(tmp_path, "real", rows)
    assert len(done.dataset) == round(len(rows) / 2)
    chosen = {row["id"]: row["chosen"] for row in rows}
    assert all(row["chosen"] == chosen[row["pair_id"]] for row in done.dataset)
