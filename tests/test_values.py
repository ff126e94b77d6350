"""What a stage, a method and a kind of judge are stands in one table each; every other place that has to know them is named here.

Who adds one and forgets a place hears here which.
"""

import ast
from pathlib import Path

import pytest

from concord.labeling.service import Labeling
from concord.preference import judges, methods, stages
from concord.preference.judges import JUDGE_KINDS
from concord.preference.methods import METHODS
from concord.preference.stages import STAGES, stage_name
from concord.runs.work import WORK
from concord.triage.service import RULES
from concord.v1.config_pb2 import JudgeConfig, RunConfig
from concord.v1.events_pb2 import Stage
from concord.v1.work_pb2 import Work

SERVICES = Path(__file__).parent.parent / "services"
# Where the tables themselves stand, and the rules and adapters that they name.
HOMES = {
    "method": ("preference/methods.py", "triage/service.py"),
    "judge": ("preference/judges.py", "labeling/service.py", "client/run/options.py"),
    "stage": ("preference/stages.py", "preference/methods.py", "runs/work.py"),
}
# Stages that facts and later issues name, and that no plan holds yet.
AHEAD = {"EXTEND"}
BEFORE = (
    *methods.GENERATION,
    *methods.SELECTION,
    *methods.PILOT,
    *methods.ALIGNMENT,
    *methods.EVALUATION,
    *methods.BY_PEOPLE,
)
PLANNED = {stage for method in METHODS.values() for stage, _ in (*BEFORE, *method.plan(2))} | {Stage.STAGE_TEACH}


def compared_texts(tree: ast.AST) -> set[str]:
    """The texts that something is compared with: `x == "…"`, `x in ("…", "…")`, `case "…"`."""
    found: set[str] = set()
    for node in ast.walk(tree):
        sides = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
        sides += [node.value] if isinstance(node, ast.MatchValue) else []
        flat = [
            item
            for side in sides
            for item in (side.elts if isinstance(side, ast.Tuple | ast.Set | ast.List) else [side])
        ]
        found |= {item.value for item in flat if isinstance(item, ast.Constant) and isinstance(item.value, str)}
    return found


def compared_elsewhere(names: set[str], homes: tuple[str, ...]) -> set[str]:
    """`module: text` for each of these names that a module outside of `homes` compares something with."""
    out = set()
    for path in sorted(SERVICES.rglob("*.py")):
        place = str(path.relative_to(SERVICES))
        if place.startswith(("v1/", "client/intake/")) or place in homes:
            continue
        out |= {f"{place}: {text}" for text in compared_texts(ast.parse(path.read_text())) & names}
    return out


def test_nothing_asks_which_method_a_run_has_by_its_name():
    assert not compared_elsewhere(set(METHODS), HOMES["method"])


def test_nothing_asks_which_kind_a_judge_is_of_by_its_name():
    # What people are is another setting, and also has a kind `recorded`; a run may be of the bundled `sample`.
    known = {
        "client/run/people.py: recorded",
        "operate/diagnose.py: recorded",
        "client/run/job.py: sample",
    }
    assert compared_elsewhere(set(JUDGE_KINDS), HOMES["judge"]) <= known


def test_every_stage_of_a_plan_is_a_value_with_work_and_every_value_is_in_a_plan():
    assert set(STAGES) == set(WORK) == PLANNED


def test_a_stage_without_a_value_is_one_that_no_plan_holds_yet():
    assert {stage_name(stage) for stage in set(Stage.values()) - set(STAGES)} == AHEAD | {"UNSPECIFIED"}


@pytest.mark.parametrize("stage", STAGES, ids=stage_name)
def test_people_do_exactly_the_stages_that_have_no_topic_and_no_work_item(stage):
    assert STAGES[stage].people == (WORK[stage].fill is None)
    assert STAGES[stage].doing and STAGES[stage].title


def test_every_kind_of_work_item_is_filled_by_a_stage():
    source = (SERVICES / "runs" / "work.py").read_text()
    for field in Work.DESCRIPTOR.oneofs_by_name["task"].fields:
        assert f"work.{field.name}" in source, field.name


@pytest.mark.parametrize("name", METHODS)
def test_a_method_that_triages_has_a_rule_and_one_that_asks_is_asked_in_rounds(name):
    method = METHODS[name]
    held = {stage for stage, _ in method.plan(3)}
    assert (name in RULES) == (Stage.STAGE_TRIAGE in held)
    assert method.asks == (Stage.STAGE_ANNOTATE in held)
    assert method.words and method.folds >= 1 and 0 < method.batch_share <= 1
    assert not method.knobs or method.knobs in RunConfig.DESCRIPTOR.fields_by_name


@pytest.mark.parametrize("name", JUDGE_KINDS)
def test_a_kind_of_judge_is_asked_by_labeling_and_is_found_by_what_a_user_writes(name):
    judge = JudgeConfig(kind=name, name="m", url="https://judge.example/v1")
    assert judges.kind_of(JUDGE_KINDS[name].spec(judge)) == name
    labeling = Labeling(None, "", 1, {})
    assert name in labeling.kinds
    assert JUDGE_KINDS[name].further == (name in labeling.further_kinds) == (name in labeling.taught_kinds)


def test_a_stage_that_comes_again_is_named_with_its_round():
    assert stages.step_name(Stage.STAGE_TRIAGE, 2) == "TRIAGE.2"
    assert stages.step_name(Stage.STAGE_LABEL, 0) == "LABEL"
