"""What a comparison of two models is told, and what of it is refused before torch is imported."""

import json

import pytest

from concord.kit.errors import InvalidInput
from concord.training import answers
from concord.training import policy as policy_script
from concord.training.answers import Knobs, Question, questions, row
from concord.training.lessons import material
from concord.training.policy import Knobs as PolicyKnobs
from tests.tiny_models import rows, written


@pytest.fixture
def policy(tmp_path):
    """A folder as the training of a policy leaves it, as far as its manifest is concerned."""
    written(tmp_path / "rows.jsonl", rows(40))
    settings = {"model": "start-model", "data": str(tmp_path / "rows.jsonl"), "validation": 0.25, "seed": 3}
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "manifest.json").write_text(json.dumps({"settings": settings}))
    return tmp_path / "policy"


def test_by_itself_the_prompts_are_those_that_the_training_held_out_and_the_start_is_what_it_began_as(policy):
    asked, start = questions(Knobs(str(policy), "out.jsonl"))
    held = material(PolicyKnobs("", str(policy.parent / "rows.jsonl"), "", validation=0.25, seed=3)).held
    assert start == "start-model" and [one.prompt for one in asked] == [one.prompt for one in held]
    assert len(questions(Knobs(str(policy), "out.jsonl", most=3))[0]) == 3


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        (None, "does not say how the policy was trained"),
        ("no json", "does not say how the policy was trained"),
        ("[1]", "does not say how the policy was trained"),
        (json.dumps({"settings": [1]}), "`settings` is no object"),
        (json.dumps({"settings": {"model": "m", "tempo": 3}}), "trained by another version"),
        (json.dumps({"settings": {"data": "d"}}), "start must be given"),
    ],
)
def test_a_policy_that_does_not_say_what_it_is_names_what_must_be_given(policy, manifest, says):
    path = policy / "manifest.json"
    path.unlink() if manifest is None else path.write_text(manifest)
    with pytest.raises(InvalidInput, match=says):
        questions(Knobs(str(policy), "out.jsonl"))


def test_a_training_with_a_test_of_its_own_is_asked_for_that_and_not_for_what_chose_its_checkpoint(policy, capsys):
    path = policy / "manifest.json"
    questions(Knobs(str(policy), "out.jsonl"))
    assert "these prompts chose its checkpoint" in capsys.readouterr().err
    settings = json.loads(path.read_text())["settings"] | {"test": 0.2}
    path.write_text(json.dumps({"settings": settings}))
    asked, _ = questions(Knobs(str(policy), "out.jsonl"))
    known = policy_script.material(PolicyKnobs(**settings, out=""))
    assert [one.prompt for one in asked] == [one.prompt for one in known.test] and len(asked) == 8
    assert not [one for one in known.held if one.prompt in [question.prompt for question in asked]]
    assert capsys.readouterr().err == ""


def test_a_training_that_held_nothing_out_is_asked_for_other_prompts(policy):
    settings = {"model": "m", "data": str(policy.parent / "rows.jsonl"), "validation": 0.0}
    (policy / "manifest.json").write_text(json.dumps({"settings": settings}))
    with pytest.raises(InvalidInput, match="held nothing out: name the prompts as `data`"):
        questions(Knobs(str(policy), "out.jsonl"))


def test_a_file_of_prompts_needs_no_manifest_where_the_start_is_named(tmp_path):
    file = written(
        tmp_path / "prompts.jsonl", [{"prompt": "One?", "reference": "1", "chosen": "x"}, {"prompt": "One?"}]
    )
    asked, start = questions(Knobs("nowhere", "out.jsonl", start="other", data=str(file)))
    assert (asked, start) == ([Question("One?", {"reference": "1"})], "other")
    written(file, [{"question": "One?"}])
    with pytest.raises(InvalidInput, match="line 1: `prompt` is expected"):
        questions(Knobs("nowhere", "out.jsonl", start="other", data=str(file)))


def test_neither_model_has_a_place_of_its_own():
    made = [row(n, Question("One?", {}), ("p", "s")) for n in range(2)]
    assert [one["responses"][0] for one in made] == [{"text": "s", "model": "start"}, {"text": "p", "model": "policy"}]
    assert all(
        {said["model"]: said["text"] for said in one["responses"]} == {"policy": "p", "start": "s"} for one in made
    )


def test_a_spec_that_cannot_be_ends_with_words(tmp_path, capfd):
    path = written(tmp_path / "spec.yaml", [{"policy": "p", "out": "o", "temperature": 11}])
    with pytest.raises(InvalidInput, match=r"temperature: 11\.0 is not in 0 to 10"):
        answers.spec.read(str(path), (), Knobs, answers.RANGES, answers.CHOICES)
