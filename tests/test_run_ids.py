"""The name of a run outlives every release: the same command on the same pairs goes on with the run that was begun.

Were a name to change, an upgrade would begin a new run, judge everything anew and ask people again.
"""

from uuid import uuid5

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from concord.client.intake.verdicts import Judges
from concord.client.run import options
from concord.client.run.parent_options import options_of
from concord.client.run.parent_run import Earlier, link
from concord.kit import ids
from concord.preference.budget import audit_share
from concord.v1.config_pb2 import JudgeConfig, Parent, Rlthf, RunConfig
from concord.v1.events_pb2 import Stage
from concord.v1.runs_service_pb2 import RunView, StageView

INPUT = "ab" * 32
URL = "https://judge.example:8000/v1#m"
RECORDED = Judges("A/x", ("A/y", "A/z"), ("C", "B"))
# What was asked for, under a word for it.
ASKED = {
    "nothing but the defaults": ("3293e631-79a9-5cce-9bfc-dc9017c4e6ce", {}),
    "method posterior": ("3293e631-79a9-5cce-9bfc-dc9017c4e6ce", {"method": "posterior"}),
    "method posterior-random": ("17dd9cf6-f5ab-5e34-b3b1-a85d78dda8af", {"method": "posterior-random"}),
    "method better-judge": ("88ca5fe7-0cc8-5f78-992e-fe8b59bccbe6", {"method": "better-judge"}),
    "method rlthf": ("00d0da17-0a7d-557a-b6f3-93d5703d5037", {"method": "rlthf"}),
    "method random": ("c8821d04-1a69-5c9f-9f2d-de35f59ac60d", {"method": "random"}),
    "method margin": ("f9158acf-9752-57be-b5e2-8dea8a196598", {"method": "margin"}),
    "method cleanlab": ("b6243e7c-8328-55b0-a943-8315c9b57d73", {"method": "cleanlab"}),
    "method human-only": ("e13a2633-7ac5-58f4-b35c-bc079de74800", {"method": "human-only"}),
    "method longest": ("0f782130-80d7-5a91-9c5c-2a64a71ad490", {"method": "longest"}),
    "method all-human": ("8a3c2bbb-6c38-5363-a8c9-ad68d3921ccd", {"method": "all-human"}),
    "method none": ("96324229-c938-5577-a508-2dacf9b71a5d", {"method": "none"}),
    "a budget in votes": ("c3200f18-df60-5dad-acae-2eeb78721aa2", {"budget": "500"}),
    "a budget as a share": ("f9476661-1852-539a-a55a-b8c3e23feb22", {"budget": "2.5%"}),
    "no budget": ("0021fc36-3270-56ca-87d3-8dbdafd348d0", {"budget": "0"}),
    "a pilot of its own": ("2da41deb-d849-5dd1-ba0f-a49cfaf95a25", {"pilot": 24, "quorum": 3, "seed": 7}),
    "no pilot": ("b83e7d46-cf9a-57b3-b60f-0141f1e86291", {"pilot": 0}),
    "simulated people": ("bfa55b38-cbc5-55d9-ad6a-ca3c79dfb8e0", {"annotators": "simulated:0.1"}),
    "people in a file": ("8273aa36-54f5-5fcd-a9e0-d4968ff279b2", {"annotators": "file:answers.jsonl"}),
    "rounds of its own": (
        "be188e2e-4070-50d7-836c-2b7ccc7cbed6",
        {"batch": 0.02, "audit": 0.3, "folds": 8, "deadline": 3600},
    ),
    "training of its own": ("3de1022d-2631-5522-add5-02026ba494ed", {"components": 64, "human_weight": 4}),
    "small shards": ("3d7b4699-ce57-5d1c-8801-94ec21819a7a", {"shard_pairs": 16}),
    "what changes no result": ("3293e631-79a9-5cce-9bfc-dc9017c4e6ce", {"window": 3, "dollars": 5.0, "max_failed": 9}),
    "an LLM judge": ("cf3b7cf2-e36f-577f-b6e1-3950dff00213", {"judge": URL}),
    "an LLM judge with everything": (
        "2b7ef96c-e585-5a8b-af9c-5ab2eddba28f",
        {
            "judge": "https://judge.example:8000/v1",
            "model": "m-large",
            "criteria": "Right; short.",
            "api_key_env": "MY_KEY",
            "temperature": 0.7,
            "max_tokens": 100,
            "both_orders": False,
            "prompt_price": 2.5,
            "completion_price": 10,
            "dollars": 20,
        },
    ),
    "an LLM as helper": (
        "f32b2437-c0b3-5308-8114-b8363b64573d",
        {"helper": (URL, "https://other.example/v1#h"), "temperature": 0.2},
    ),
    "a recorded judge": ("a98075da-9aef-5a24-97a5-9d29d5d90f42", {"judge": "recorded:A"}),
    "recorded helpers": (
        "f5493ba2-ef7d-5aba-9013-5caff7a98096",
        {"judge": "recorded:A", "helper": ("recorded:C", URL, "recorded:B")},
    ),
    "rlthf with knobs of its own": (
        "ceb50a4b-7b6d-5b20-a07d-443f629f08e1",
        {
            "method": "rlthf",
            "subset": 0.5,
            "amplification": (3, 1),
            "back_off": (0.5, 0.25, 0),
            "stop_below": 0.05,
            "folds": 4,
            "batch": 0.01,
        },
    ),
    "rlthf's ablation": (
        "e2429918-20b2-5e89-9b1e-a33c92384196",
        {"method": "rlthf", "nobody": True, "amplification": (1,), "back_off": (0,), "subset": 1},
    ),
    "rlthf with an LLM": ("02f9ded9-eb68-5c19-ba02-b6870947c631", {"method": "rlthf", "judge": URL, "budget": "300"}),
    "knobs of rlthf for another method": (
        "f9158acf-9752-57be-b5e2-8dea8a196598",
        {"method": "margin", "subset": 0.5, "amplification": (3, 1)},
    ),
}


# What the earlier run was asked for, and what is said anew.
LINKED = {
    "the same anew": ("ad91f0bd-099e-528b-aab7-2a63b6f741ac", {"budget": "60"}, {}),
    "with more rounds": (
        "30ed96a0-55d5-5cbb-a6ce-130bd12d3636",
        {"judge": URL, "criteria": "Short.", "batch": 0.02},
        {"quorum": 2},
    ),
    "with another method": (
        "8030c6f0-c35d-5210-b357-2d087f792fb0",
        {"judge": URL, "shard_pairs": 32},
        {"method": "rlthf", "judge": "sample"},
    ),
    "from rlthf": (
        "d7458136-3524-5c36-bef2-903523510d1e",
        {"method": "rlthf", "subset": 0.5, "back_off": (0.5,), "folds": 4},
        {},
    ),
    "from rlthf to margins": (
        "7a2bc2cd-d3f6-57fa-90aa-9ca942b23bf7",
        {"method": "rlthf", "stop_below": 0.1},
        {"method": "margin"},
    ),
    "to nobody": ("7c1264d2-8582-5b2a-8d2f-01dfe89f644d", {"annotators": "file:a.jsonl"}, {"method": "none"}),
    "to everybody": ("f37b8ce5-1449-52a2-91f4-2aa9939ce5c3", {}, {"method": "all-human"}),
    "from everybody": (
        "e5e0f27c-25e6-5634-ad56-c53a97a7c688",
        {"method": "all-human"},
        {"budget": "9%", "method": "posterior"},
    ),
}


def config_of(flags: dict, base: options.Options | None = None) -> RunConfig:
    asked = options.resolve(flags, base=base or options.Options())
    return options.run_config(asked, RECORDED if asked.judge.startswith("recorded:") else None)


def name_of(config: RunConfig) -> str:
    return ids.run_id(INPUT, options.semantic(config))


def linked(before: dict, flags: dict) -> RunConfig:
    """The configuration of a run of 1,200 pairs that goes on from one of 1,000 and its 60 votes."""
    config = config_of(before)
    asked = StageView(stage=Stage.STAGE_ANNOTATE, round=1, closed=True, manifest_uri="sha256:" + "0" * 64)
    view = RunView(run_id="6f7b9a1e-52c1-5d0b-9c64-0c8d1f0e4a77", config=config, pairs=1_000, human_budget=60)
    view.stages.append(asked)
    made = config_of(flags, options_of(config, 1_000, 60))
    link(made, Earlier(view, (None,) * 1_000, {}), 1_200)
    return made


@pytest.mark.parametrize("asked", ASKED)
def test_a_run_is_called_what_it_was_called_in_the_first_release(asked):
    name, flags = ASKED[asked]
    assert name_of(config_of(flags)) == name


@pytest.mark.parametrize("asked", LINKED)
def test_so_is_a_run_that_goes_on_from_another(asked):
    name, before, flags = LINKED[asked]
    assert name_of(linked(before, flags)) == name


@pytest.mark.parametrize("method", options.METHODS)
def test_a_method_that_is_compared_has_the_settings_that_its_own_command_gives_it(method):
    for asked, (_, flags) in ASKED.items():
        if asked != "method all-human":
            config, wanted = config_of(flags), {**flags, "method": method}
            options.set_method(config, options.resolve(wanted))
            assert name_of(config) == name_of(config_of(wanted)), asked


def test_every_method_has_a_run_whose_name_is_known():
    assert {flags.get("method", "posterior") for _, flags in ASKED.values()} == set(options.METHODS)


def test_the_audit_share_that_was_usual_and_the_one_that_is_have_one_name_and_no_others():
    names = {share: name_of(config_of({"audit": share})) for share in (-1, 0.1, 0.3, 0.0)}
    assert names[-1] == names[0.1] == name_of(config_of({}))
    assert len(set(names.values())) == 3
    assert config_of({}).audit_share == -1 and audit_share(config_of({})) == 0.3
    assert audit_share(config_of({"audit": 0})) == 0


# ── new fields ─────────────────────────────────────────────────────────────────────────────────────────────────────

# The fields of the first release, all of which a run may set without being asked. Nothing is ever added here: the head of
# config.proto says why.
FIRST = {
    "RunConfig": "method seed judge helpers annotators human_budget human_budget_share quorum pilot batch_share audit_share "
    "folds shard_pairs window dollar_budget annotation_deadline_s max_failed_units human_weight components rlthf parent",
    "JudgeConfig": "kind name url criteria api_key_env temperature max_tokens both_orders prompt_dollars "
    "completion_dollars own_prompts",
    "Rlthf": "subset_share amplification back_off nobody stop_below",
    "Parent": "run_id pairs annotation_uris",
}
PLAIN = {
    f"{method} by {judge}, {how}": config
    for method in options.METHODS
    for judge in ("sample", "recorded:A", URL)
    for how, config in {
        "anew": config_of({"method": method, "judge": judge}),
        "linked": linked({"method": method, "judge": judge}, {}),
    }.items()
}


def fields_set(message: Message) -> set[str]:
    """`Message.field` of everything that is written into the record, in the messages that it holds as well."""
    found = {f"{message.DESCRIPTOR.name}.{field.name}" for field, _ in message.ListFields()}
    for field, value in message.ListFields():
        if field.message_type:
            found |= {name for one in (value if field.is_repeated else [value]) for name in fields_set(one)}
    return found


@pytest.mark.parametrize("plain", PLAIN)
def test_a_setting_that_came_later_writes_nothing_until_somebody_asks_for_it(plain):
    first = {f"{message}.{field}" for message, fields in FIRST.items() for field in fields.split()}
    assert fields_set(PLAIN[plain]) <= first


@pytest.mark.parametrize("message", [RunConfig, JudgeConfig, Rlthf, Parent])
def test_no_field_would_write_its_zero(message):
    assert not [field.name for field in message.DESCRIPTOR.fields if field.has_presence and not field.message_type]


@given(st.uuids(), st.lists(st.one_of(st.text(), st.integers()), max_size=4))
def test_a_decision_s_id_is_the_uuid5_of_its_name(run, name):
    assert ids.event_id(str(run), *name) == str(uuid5(run, "/".join(map(str, name))))
