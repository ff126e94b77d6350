"""A run that ends asking before its budget is spent: when, which rounds are still ahead, and where it says why."""

import numpy as np
import pytest

import concord
from concord import sample
from concord.client.run import options
from concord.kit.errors import InvalidInput
from concord.preference.methods import METHODS
from concord.runs import plan
from concord.triage.enough import enough, expected_gain
from concord.triage.posterior import Trust
from concord.triage.rounds import Round
from concord.triage.selection import Asks
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Stage
from tests.run_world import FoldedRun, config
from tests.run_world import result as result_of
from tests.test_certificate import asked as audited
from tests.test_plan import names

ROWS = sample.jsonl().splitlines()[:320]


def run(folder, **more):
    rows = folder / "rows.jsonl"
    rows.write_text("\n".join(ROWS) + "\n")
    settings = {"budget": 0.9, "batch": 0.1, "audit": 0.5, "components": 16, "home": str(folder / "home"), "tell": None}
    return concord.run(rows, **{**settings, **more})


def test_a_run_whose_labels_are_good_enough_asks_no_further_and_says_so(tmp_path):
    done = run(tmp_path, target_error=0.4)
    assert 30 <= done.figures["votes"] < done.figures["human_budget"] / 2
    assert "of the labels are wrong" in done.figures["enough"] and "40.0 % were wanted" in done.figures["enough"]
    assert "Nobody was asked any more" in done.report.path.read_text()
    assert "enough: at most" in done.replay()
    assert len(done.dataset) == len(ROWS)
    assert done.certificate.high <= 0.4


def test_a_run_that_is_never_good_enough_spends_its_budget(tmp_path):
    done = run(tmp_path, target_error=0.001, budget=60)
    assert done.figures["votes"] == 60 and not done.figures["enough"]


def test_a_label_that_is_worth_less_than_its_answers_is_not_asked_for(tmp_path):
    done = run(tmp_path, label_worth=1.5)
    assert 10 <= done.figures["votes"] < done.figures["human_budget"]
    assert "a label is worth 1.5 of them" in done.figures["enough"]


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if not method.bounded])
def test_a_method_that_never_knows_its_error_is_not_told_to_heed_it(method):
    with pytest.raises(InvalidInput, match=r"target_error: .* posterior and posterior-random and random can"):
        options.run_config(options.resolve({"method": method, "target_error": 0.1}), None)


def test_a_method_that_learns_nothing_knows_no_gain():
    with pytest.raises(InvalidInput, match="label_worth: method random does not learn"):
        options.run_config(options.resolve({"method": "random", "label_worth": 3}), None)


# ── the plan and the state machine ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", ["posterior", "posterior-random", "random"])
@pytest.mark.parametrize("teach", [False, True])
@pytest.mark.parametrize("rounds_done", [0, 1, 3])
def test_after_enough_no_round_is_ahead(method, teach, rounds_done):
    asked = config(method=method, people_teach=teach, pilot=0, batch_share=0.1)
    whole = plan.stages(asked, 100, 80)
    triage = [at for at, (stage, _) in enumerate(whole) if stage == Stage.STAGE_TRIAGE][rounds_done]
    opened = whole[: triage + 1]
    ahead = names(plan.stages(asked, 100, 80, opened, enough=True)[len(opened) :])
    assert ahead[-2:] == ["FINAL", "DATASET"]
    assert ahead.count("ANNOTATE") <= 1 and ahead.count("TRIAGE") <= 1
    if method != "random" and not teach:
        assert ahead == ["FINAL", "DATASET"]


def test_what_a_round_said_once_holds_whatever_later_ones_say():
    folded = FoldedRun(config(method="random", human_budget=30, pilot=0, batch_share=0.1))
    (work,) = folded.go_to(Stage.STAGE_TRIAGE, 1)
    said = result_of(work)
    del said.round_triaged.asked[:], said.round_triaged.p_ask[:]
    said.round_triaged.enough = "that is enough"
    folded.hear(said)
    view = folded.finish()
    assert view.enough == "that is enough" and view.votes == 0 and view.dataset.dataset_sha256
    assert [one.round for one in view.stages if one.stage == Stage.STAGE_ANNOTATE] in ([], [1])


# ── the rule alone ─────────────────────────────────────────────────────────────────────────────────────────────────


def decided(p_wrong: float, trust: Trust, audit: tuple[bool, ...] = (False, False, True), evidence=None) -> Round:
    target = np.full(10, p_wrong)
    asked = Asks(np.arange(len(audit)), np.full(len(audit), 0.5), np.array(audit))
    return Round(asked, target, target, trust, 0, (), 0.0, None, evidence=evidence)


def test_what_the_next_answers_gain_is_what_the_model_expects_of_the_chosen_ones():
    assert expected_gain(decided(0.9, Trust.SIGNALS)) == pytest.approx(0.1)
    assert expected_gain(decided(0.9, Trust.SIGNALS, (True, True))) == pytest.approx(0.1)
    assert expected_gain(decided(0.9, Trust.PRIORS)) is None
    assert expected_gain(decided(0.9, Trust.SIGNALS, ())) is None


@pytest.mark.parametrize(("worth", "stops"), [(0, False), (9, True), (11, False)])
def test_a_run_ends_asking_where_an_answer_gains_less_than_it_costs(worth, stops):
    said = enough(decided(0.9, Trust.SIGNALS), RunConfig(label_worth=worth), 1000, 1)
    assert bool(said) == stops


def test_looks_that_nobody_planned_stop_nothing():
    sure = decided(0.5, Trust.SIGNALS, evidence=audited(5_000, 200, 0.01))
    asked = RunConfig(method="posterior", target_error=0.2, human_budget=100, pilot=0, batch_share=0.01)
    assert enough(sure, asked, 1_000, 5)
    assert not enough(sure, asked, 1_000, 50)
