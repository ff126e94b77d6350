"""A policy and the model that it began as answer the prompts that its training held out, and a run says whose are preferred."""

import io
import json

import pytest

import concord
from concord.training import answers
from concord.training.lessons import material
from concord.training.policy import Knobs
from concord.training.progress import Stop
from tests.tiny_models import rows, saved, written
from tests.training_script import here, spec_of

pytestmark = pytest.mark.trl
FAST = {"max_length": 64, "lora_rank": 4, "lora_alpha": 8, "learning_rate": 2e-2, "batch": 8, "micro_batch": 8}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a tiny model, 160 rows, and a policy of them."""
    folder = tmp_path_factory.mktemp("answers")
    saved(folder / "llama", "llama", width=0.2)
    written(folder / "rows.jsonl", rows(160))
    data = {"model": str(folder / "llama"), "data": str(folder / "rows.jsonl"), "validation": 0.25, "epochs": 3.0}
    here("policy", spec_of(folder / "policy", **{**FAST, "stop_margin": 0.0, **data}))
    return folder


def written_by(folder, name, **more) -> list[dict]:
    said = {"policy": str(folder / "policy"), "out": str(folder / name), "max_new_tokens": 8, **more}
    assert answers.answered(answers.Knobs(**said), Stop(), io.StringIO())
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def test_both_answer_the_prompts_that_were_held_out_and_no_other(trained):
    made = written_by(trained, "held.jsonl")
    knobs = Knobs(str(trained / "llama"), str(trained / "rows.jsonl"), "", validation=0.25)
    held = {json.dumps(one.prompt) for one in material(knobs).held}
    assert {json.dumps(one["prompt"]) for one in made} == held and len(made) == len(held)
    assert all({said["model"] for said in one["responses"]} == {"policy", "start"} for one in made)
    assert {one["responses"][0]["model"] for one in made} == {"policy", "start"}, "neither always stands first"


def test_what_was_learned_shows_in_the_answers_and_in_what_a_run_says_of_them(trained, tmp_path):
    made = written_by(trained, "likeliest.jsonl", temperature=0)
    texts = [{said["model"]: said["text"] for said in one["responses"]} for one in made]
    assert all(one["policy"] != one["start"] for one in texts)
    for one in made:
        first = one["responses"][0]["model"]
        one["ai_labels"] = {"judge": {"pair": [0, 1], "choice": int(first != "policy"), "confidence": 0.9}}
    done = concord.run(made, judge="recorded:judge", method="none", home=str(tmp_path / "home"), tell=None)
    (contest,) = done.figures["contests"]
    assert (contest["model"], contest["against"], contest["judge"]["rate"]) == ("policy", "start", 1.0)


def test_the_same_spec_gives_the_same_answers_and_prompts_of_a_file_keep_what_stands_beside_them(trained):
    file = trained / "prompts.jsonl"
    said = [{"prompt": f"How much is {n}?", "reference": str(n), "domain": "sums"} for n in range(5)]
    file.write_text("".join(json.dumps(one) + "\n" for one in [*said, said[0]]))
    once, again = (written_by(trained, name, data=str(file), most=4) for name in ("once.jsonl", "again.jsonl"))
    assert once == again and [one["reference"] for one in once] == ["0", "1", "2", "3"]
    other = written_by(trained, "other.jsonl", data=str(file), most=4, seed=1)
    assert other != once


def test_a_prompt_that_is_too_long_is_counted_and_left_out(trained):
    file = trained / "long.jsonl"
    file.write_text(json.dumps({"prompt": "word " * 400}) + "\n" + json.dumps({"prompt": "Short?"}) + "\n")
    made = written_by(trained, "short.jsonl", data=str(file), max_length=32)
    assert [one["prompt"] for one in made] == ["Short?"]
