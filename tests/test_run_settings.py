"""The table of settings: an entry is all that a setting costs beside its field in the contract."""

from dataclasses import fields, make_dataclass, replace
from inspect import signature
from typing import Annotated, get_type_hints

import pytest
from typer.main import get_command

from concord.cli import app
from concord.client.run.options import resolve, run_config
from concord.client.run.parent_options import options_of
from concord.commands import flags
from concord.kit.errors import InvalidInput
from concord.preference import run_settings
from concord.preference.run_settings import DEFAULTS, JUDGE, PANELS, Options, Setting
from concord.v1.config_pb2 import JudgeConfig, Rlthf, RunConfig

SETTINGS = run_settings.settings()
RUN = get_command(app).commands["run"]
URL = "http://127.0.0.1:9/v1#m"
# Fields that code records, because they are more than a value that was asked for.
PARTICULAR = {
    "": {"judge", "helpers", "generators", "human_budget", "human_budget_share", "rlthf", "parent"},
    "judge": {"kind", "name", "url", "own_prompts"},
    "rlthf": set(),
}

# ── a setting more ─────────────────────────────────────────────────────────────────────────────────────────────────

# The fields of three settings, given to throw-away ones: a number of every run, a text of a judge, a list of one method.
FREED = ("human_weight", "criteria", "back_off")
MORE = [
    ("warmth", Annotated[float, Setting("human_weight", "How warm.", JUDGE, span=(0, 9), aliases=("heat",))], 0.0),
    ("tone", Annotated[str, Setting("judge.criteria", "Which tone.", JUDGE, longest=5)], ""),
    (
        "steps",
        Annotated[tuple[float, ...], Setting("rlthf.back_off", "Step by step.", span=(0, 1), method="rlthf")],
        (),
    ),
]


def copied() -> type:
    """The table without three entries and with three throw-away ones."""
    hints = get_type_hints(Options, include_extras=True)
    kept = [(one.name, hints[one.name], one.default) for one in fields(Options) if one.name not in FREED]
    # `checked` looks at the schedules of rlthf by their names.
    kept += [("back_off", Annotated[tuple[float, ...], Setting("", "Not recorded.")], (0.5,))]
    return make_dataclass("Copied", [*kept, *MORE], frozen=True)


def test_a_new_setting_is_taken_from_the_flags_and_from_the_file_by_any_of_its_names():
    asked = resolve({"warmth": 3}, {"heat": 2, "steps": "0.5,1", "tone": "warm"}, "run.yaml", copied()())
    assert (asked.warmth, asked.steps, asked.tone) == (3.0, (0.5, 1.0), "warm")


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ({"warmth": "very"}, "warmth: a number is expected, not 'very'"),
        ({"warmth": 10}, "warmth must lie between 0 and 9, not 10"),
        ({"steps": [0.5, 2]}, "steps must lie between 0 and 1, not 2"),
        ({"steps": [0.5] * 101}, "steps: at most 100 rounds"),
        ({"tone": "louder"}, "tone has 6 characters; at most 5 are taken"),
    ],
)
def test_a_new_setting_is_refused_where_it_cannot_be(file, said):
    with pytest.raises(InvalidInput, match=said):
        resolve({}, file, "run.yaml", copied()())


def test_a_new_setting_is_recorded_in_its_field_and_only_where_it_concerns_the_run():
    asked = resolve({"warmth": 3, "tone": "warm", "steps": [0.5], "judge": URL, "method": "rlthf"}, base=copied()())
    config = run_config(asked, None)
    assert (config.human_weight, config.judge.criteria, list(config.rlthf.back_off)) == (3.0, "warm", [0.5])
    other = run_config(replace(asked, judge="sample", method="margin"), None)
    assert (other.human_weight, other.judge.criteria, other.HasField("rlthf")) == (3.0, "", False)


def test_a_new_setting_that_nobody_asks_for_writes_nothing():
    config = run_config(resolve({"judge": URL, "method": "rlthf"}, base=copied()()), None)
    written = {field.name for message in (config, config.judge, config.rlthf) for field, _ in message.ListFields()}
    assert not written & {"human_weight", "criteria", "back_off"}


def test_a_linked_run_inherits_a_new_setting():
    table = copied()
    asked = resolve({"warmth": 3, "tone": "warm", "steps": [0.5], "judge": URL, "method": "rlthf"}, base=table())
    inherited = options_of(run_config(asked, None), 1_000, 60, table)
    assert inherited == asked


def test_the_services_bound_a_new_setting_and_let_its_zero_pass():
    table = copied()
    assert run_settings.recorded_bounds("", table)["human_weight"] == (0, 9)
    assert run_settings.recorded_bounds("rlthf", table)["back_off"] == (0, 1)
    assert run_settings.longest("judge", table)["criteria"] == 5


def test_a_new_setting_with_a_panel_gets_a_flag():
    def command(**said: object) -> None: ...

    shown = signature(flags.with_settings(command, copied())).parameters
    assert {"warmth", "heat", "tone"} <= set(shown) and "steps" not in shown
    (option,) = shown["warmth"].annotation.__metadata__
    assert (option.help, option.show_default, option.rich_help_panel) == ("How warm.", "0", JUDGE)


# ── the table as it is ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("message", PARTICULAR)
def test_every_field_of_the_contract_has_one_entry_or_is_known_to_be_particular(message):
    known = {"": RunConfig, "judge": JudgeConfig, "rlthf": Rlthf}[message].DESCRIPTOR.fields_by_name
    ours = [entry.place[1] for entry in run_settings.within(message).values()]
    assert len(ours) == len(set(ours))
    assert set(ours) | PARTICULAR[message] == set(known) and not set(ours) & PARTICULAR[message]


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_says_what_it_is_and_may_be_given_as_its_default(name):
    assert SETTINGS[name].help.endswith(".") and SETTINGS[name].panel in ("", *PANELS)
    assert resolve({}, {name: getattr(DEFAULTS, name)}) == DEFAULTS


def test_names_that_settings_had_still_mean_them_and_a_setting_is_given_once():
    assert resolve({}, {"humans": "simulated:0.1", "shard": 0.5}) == Options(annotators="simulated:0.1", subset=0.5)
    assert resolve({"humans": "simulated:0.1"}).annotators == "simulated:0.1"
    with pytest.raises(InvalidInput, match=r"run\.yaml: subset is given twice, once as shard"):
        resolve({}, {"subset": 0.5, "shard": 0.5}, "run.yaml")


# ── the flags ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [name for name, entry in SETTINGS.items() if entry.panel])
def test_every_setting_with_a_panel_is_a_flag_with_the_tables_help_and_default(name):
    flag, entry = next(one for one in RUN.params if one.name == name), SETTINGS[name]
    assert flag.opts == [f"--{name.replace('_', '-')}"] and flag.default is None and not flag.hidden
    assert flag.help.startswith(entry.help.rstrip(".")) and flag.rich_help_panel == entry.panel
    assert flag.show_default == flags.as_typed(getattr(DEFAULTS, name))
    assert {one.name for one in RUN.params if one.name in entry.aliases and one.hidden} == set(entry.aliases)


def test_the_help_of_a_run_shows_its_flags_in_the_order_of_the_panels_and_names_the_other_settings():
    panels = [one.rich_help_panel for one in RUN.params if one.rich_help_panel]
    assert list(dict.fromkeys(panels)) == list(PANELS)
    assert [PANELS.index(panel) for panel in panels] == sorted(PANELS.index(panel) for panel in panels)
    config = next(one for one in RUN.params if one.name == "config")
    assert all(name in config.help for name, entry in SETTINGS.items() if not entry.panel)
