"""What a run may be configured as: each number has its bounds, and no secret is recorded."""

import math

import pytest
from google.protobuf.descriptor import FieldDescriptor

from concord.client.run import options
from concord.kit.errors import InvalidInput
from concord.runs import limits
from concord.v1.config_pb2 import JudgeConfig, Rlthf, RunConfig

NUMBERS = {
    getattr(FieldDescriptor, f"CPPTYPE_{kind}") for kind in ("INT32", "INT64", "UINT32", "UINT64", "DOUBLE", "FLOAT")
}


def sound(**more: object) -> RunConfig:
    config = options.run_config(options.resolve({"judge": "sample"}), None)
    config.MergeFrom(RunConfig(**more))
    return config


def llm(**more: object) -> JudgeConfig:
    return JudgeConfig(**{"kind": "llm", "name": "m", "url": "https://judge.example:8000/v1?api-version=2", **more})


def test_what_the_command_line_makes_of_its_defaults_is_accepted():
    limits.check_config(sound())
    limits.check_config(sound(helpers=[llm(), llm(api_key_env="MY_KEY")]))


# What else must be set for a number that says nothing by itself.
NEEDS = {
    "select_share": {"select": "easy"},
    "select_per_prompt": {"select": "easy"},
    "samples": {"select": "easy", "generators": [llm()]},
    "most_votes": {"quorum": 2},
    "gold_share": {"quorum": 2},
    "evaluate": {"policy": "a-model"},
    "evaluate_checkpoints": {"policy": "a-model", "evaluate": 8},
    "evaluate_votes": {"policy": "a-model", "evaluate": 8},
}


@pytest.mark.parametrize("name", limits.RUN)
def test_every_number_of_a_run_is_taken_at_its_bounds_and_refused_beyond(name):
    low, high = limits.RUN[name]
    whole = isinstance(getattr(RunConfig(), name), int)
    for value in (low, high):
        config = sound(**NEEDS.get(name, {}))
        setattr(config, name, int(value) if whole else value)
        limits.check_config(config)
    for value in [high + 1, *([low - 1] if low else [])] if whole else [low - 0.001, high * 1.001, math.nan, math.inf]:
        config = sound()
        setattr(config, name, int(value) if whole else value)
        with pytest.raises(InvalidInput, match=rf"{name} must lie between {low:,} and {high:,}"):
            limits.check_config(config)


def test_every_number_of_a_run_and_of_a_judge_has_bounds():
    for message, bounds in ((RunConfig, limits.RUN), (JudgeConfig, limits.JUDGE), (Rlthf, limits.RLTHF)):
        fields = message.DESCRIPTOR.fields
        assert {field.name for field in fields if field.cpp_type in NUMBERS} == set(bounds)


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"subset_share": 0.0}, "rlthf: subset_share"),
        ({"subset_share": 1.5}, "rlthf.subset_share"),
        ({"amplification": []}, "amplification"),
        ({"amplification": [math.nan]}, "rlthf.amplification"),
        ({"back_off": [0.6, 1.1]}, "rlthf.back_off"),
        ({"back_off": [0.1] * 101}, "rlthf.back_off: at most 100"),
        ({"stop_below": -0.1}, "rlthf.stop_below"),
    ],
)
def test_knobs_of_rlthf_that_cannot_be_are_refused_by_name(knobs, said):
    config = sound()
    config.method = "rlthf"
    config.rlthf.CopyFrom(Rlthf(**{"subset_share": 0.25, "amplification": [4], "back_off": [0.6], **knobs}))
    with pytest.raises(InvalidInput, match=said):
        limits.check_config(config)


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        (JudgeConfig(kind="oracle"), "judge.kind 'oracle' is not one of sample, recorded, llm"),
        (JudgeConfig(), "judge.kind"),
        (llm(name=""), "judge.name is empty"),
        (llm(name="x" * 301), "judge.name has 301"),
        (llm(url=""), "judge.url"),
        (llm(url="ftp://host/v1"), "judge.url"),
        (llm(url="http://[::1/v1"), "judge.url"),
        (llm(url="http://host:port/v1"), "judge.url"),
        (llm(criteria="x" * 20_001), "judge.criteria has 20,001"),
        (llm(temperature=math.nan), "judge.temperature"),
        (llm(temperature=-1), "judge.temperature"),
        (llm(max_tokens=100_001), "judge.max_tokens"),
        (llm(prompt_dollars=-1), "judge.prompt_dollars"),
        (llm(completion_dollars=math.inf), "judge.completion_dollars"),
        (JudgeConfig(kind="recorded", own_prompts=["p"] * 101), "judge.own_prompts: at most 100"),
        (JudgeConfig(kind="recorded", own_prompts=["p" * 301]), "judge.own_prompts has 301"),
    ],
)
def test_a_judge_that_cannot_be_asked_is_refused_with_its_field(judge, said):
    with pytest.raises(InvalidInput) as caught:
        limits.check_judge("judge", judge)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://hunter2@h/v1",
        "https://me:hunter2@h/v1",
        "https://h/v1?api_key=hunter2",
        "https://h/v1?v=1&Token=hunter2",
        "https://h/v1?sig=hunter2",
        "https://h/v1?client-secret=hunter2",
        "https://h/v1?password=hunter2",
        "hunter2@?key=hunter2",
    ],
)
def test_a_url_with_a_secret_is_refused_without_repeating_it(url):
    with pytest.raises(InvalidInput, match=r"helpers\[0\]\.url") as caught:
        limits.check_config(sound(helpers=[llm(url=url)]))
    assert "hunter2" not in str(caught.value) and "api_key_env" in str(caught.value)


def test_more_helpers_than_any_run_needs_are_refused():
    with pytest.raises(InvalidInput, match="helpers: at most 20"):
        limits.check_config(sound(helpers=[llm()] * 21))
