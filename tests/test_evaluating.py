"""A run's policy beside the model that it began as: by the judge, the reward model and checks, on prompts that were held out."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from concord.client.results.model_card import run_card
from concord.client.run import options
from concord.client.run.estimate import estimate
from concord.kit.blobs import named
from concord.kit.errors import InvalidInput
from concord.kit.loop.events import Fact
from concord.kit.settings import open_blobs
from concord.operate.timeline import tell
from concord.preference import evaluating
from concord.preference.pairs import make_pair
from concord.preference.stages import LABELLING
from concord.report.figures import figures_of
from concord.report.history import read_history
from concord.report.page import page
from concord.report.policies import policy
from concord.runs import work
from concord.runs.evolve import evolve
from concord.runs.limits import check_config
from concord.runs.state import RunState
from concord.runs.state import initial as initial_run
from concord.scoring.units import Units
from concord.tasks.queue import initial
from concord.tasks.texts import Texts
from concord.training import answered
from concord.training.devices import Devices
from concord.training.service import Training
from concord.training.trainer import Trainer
from concord.v1 import runs_service_pb2 as pb
from concord.v1.config_pb2 import JudgeConfig, RunConfig
from concord.v1.events_pb2 import Event, PolicyJudged, Stage, StageManifest
from concord.v1.pairs_pb2 import Message, PairShard, PairsManifest, Response
from concord.v1.snapshot_pb2 import OpenStage
from tests import stand_in_models
from tests.small_run import SmallRun, config_of, small_run
from tests.test_tuned_run import Door
from tests.waiting import until

ROOT = str(Path(__file__).parent.parent)
ASKED, BY_PEOPLE = 24, 18


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> SmallRun:
    """A policy whose second half of training writes what its reward model likes: more of the same."""
    home = tmp_path_factory.mktemp("home")

    def workers(blobs):
        trainer = Trainer(blobs, home, Devices((), 1), stand_in_models.KINDS)
        return Units(blobs, home, stand_in_models.KINDS), Training(blobs, trainer)

    asked = {"reward_model": "a-model", "reward_knobs": "steps=1", "evaluate": ASKED, "evaluate_votes": BY_PEOPLE}
    asked |= {"policy": "a-model", "policy_knobs": "steps=2,leaves=policy", "shard_pairs": 16}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", ROOT)
        return small_run(config_of("none", **asked), pairs=48, workers=workers)


def of(run: SmallRun, kind: str) -> list:
    return [getattr(event, kind) for event, _ in run.events if event.HasField(kind)]


@pytest.fixture(scope="module")
def figures(run):
    return figures_of(run.events, run.blobs.get, run.truth)


def test_each_step_is_scored_and_judged_after_the_policy_and_the_run_ends_then(run):
    opened = [one.stage for one in of(run, "stage_opened")]
    after = [Stage.STAGE_SCORE_POLICY, Stage.STAGE_EVALUATE, Stage.STAGE_ANNOTATE_POLICY]
    assert opened[-4:] == [Stage.STAGE_POLICY, *after]
    (trained,) = of(run, "policy_trained")
    # 24 prompts, one of which both answer alike, in shards of 16.
    assert [(one.step, one.kept, one.shard.pairs, one.alike) for one in trained.answered] == [
        (2, True, 16, 1), (2, True, 7, 0), (9, False, 16, 1), (9, False, 7, 0)
    ]  # fmt: skip
    for kind in ("policy_scored", "policy_judged"):
        assert [(one.step, one.kept) for one in of(run, kind)] == [(2, True), (2, True), (9, False), (9, False)]
    assert of(run, "run_finished")


def test_the_answers_stand_in_the_runs_own_pairs_of_those_prompts(run):
    (trained,) = of(run, "policy_trained")
    pairs = PairShard.FromString(run.blobs.get(trained.answered[0].shard.uri)).pairs
    shards = [PairShard.FromString(run.blobs.get(ref.uri)) for added in of(run, "pairs_added") for ref in added.shards]
    groups = {pair.prompt[0].content: pair.group for shard in shards for pair in shard.pairs}
    assert {pair.group for pair in pairs} == {groups[pair.prompt[0].content] for pair in pairs}
    assert {pair.first.model for pair in pairs} == {"policy", "start"}, "neither always stands first"


def test_reward_that_rises_as_the_judge_falls_sounds_the_alarm_and_the_kept_step_is_marked(figures):
    found = figures.policy
    assert [(one.step, one.kept, one.prompts) for one in found.points] == [(2, True, 24), (9, False, 24)]
    kept, last = found.points
    assert (kept.reward.rate, kept.judge.rate, last.reward.rate, last.judge.rate) == (0.0, 1.0, 1.0, 0.0)
    assert kept.reward_margin < 0 < last.reward_margin and found.ended == 9
    assert found.contest.judge.rate == 1.0 and found.contest.without_pair == 1
    assert len(found.alarms) == 2
    assert "checkpoint of step 9 to the start's (100%), and the judge does not (0%)" in found.alarms[0]
    assert "from step 2 to step 9" in found.alarms[1] and "no further than 2" in found.alarms[1]


def test_the_page_the_json_and_the_story_tell_of_it(run, figures):
    html = page(figures)
    assert "The policy beside its start" in html and "Reward against the judge" in html and "2, kept" in html
    assert "policy wins against start on 100.0%" in html
    told = figures.as_json()["policy"]
    assert told["asked"] == ASKED and [one["step"] for one in told["points"]] == [2, 9]
    chapters = {
        one.stage: one.says for one in tell([Fact(event, at, time) for at, (event, time) in enumerate(run.events)])
    }
    assert chapters["EVALUATE"] == "4 units, step 2 (kept) wins 23 of 23; step 9 wins 0 and loses 23 of 23"
    assert chapters["SCORE_POLICY"] == "4 units, step 2 (kept) wins 0 of 23; step 9 wins 23 of 23"
    assert "46 pairs of answers to compare, at 2 steps" in chapters["POLICY"]


def test_the_card_of_the_run_beside_the_model_names_its_data_costs_and_alarms(figures):
    card = run_card(json.loads(json.dumps(figures.as_json())), is_policy=True)
    assert figures.input_sha256 in card and figures.dataset_sha256 in card and "price not known" not in card
    assert "policy wins against start on 100.0%" in card and card.count("**alarm:**") == 2
    rate = figures.policy.people.rate
    assert f"- people prefer it, a blind sample: {rate.rate:.1%}" in card
    assert "what it began as" not in run_card(figures.as_json(), is_policy=False)
    assert "How right its labels are" in card and "Not known" in card


def test_people_see_a_random_part_of_the_policys_own_answers_numbered_on_behind_the_runs_pairs(run):
    asked = of(run, "stage_opened")[-1]
    assert len(asked.pair_indexes) == BY_PEOPLE and min(asked.pair_indexes) >= 48 and max(asked.pair_indexes) < 48 + 23
    assert not any(asked.audit) and set(asked.p_ask) == {BY_PEOPLE / 23}
    shards = PairsManifest.FromString(run.blobs.get(asked.pairs_uri)).shards
    (trained,) = of(run, "policy_trained")
    assert [(ref.first_index, ref.uri) for ref in shards] == [
        (48, trained.answered[0].shard.uri), (64, trained.answered[1].shard.uri)
    ]  # fmt: skip
    assert asked.pairs_uri in set(named.of_messages([event for event, _ in run.events], run.blobs.get))


def test_the_annotator_sees_neither_whose_answers_they_are_nor_what_anybody_said(run):
    asked = of(run, "stage_opened")[-1]
    state = initial("r")
    state.run.pairs_uri, state.run.asked_uri = of(run, "run_started")[0].pairs_uri, asked.pairs_uri
    seen = [Texts(run.blobs).pair(state, index) for index in asked.pair_indexes]
    assert all(not pair.first.model and not pair.second.model and not pair.verdicts for pair in seen)
    assert len({pair.pair_id for pair in seen}) == BY_PEOPLE
    assert all(evaluating.is_of_policy(pair.pair_id) for pair in seen)
    assert {pair.first.text[:5] for pair in seen} == {"It is", "I was"}, "neither always stands first"


def test_what_people_say_stands_beside_the_judge_and_is_no_label(run, figures):
    found = figures.policy.people
    assert found.says.startswith(f"by people: policy wins against start on {found.rate.rate:.1%}")
    assert (found.asked, found.votes) == (BY_PEOPLE, found.answered) and 10 <= found.answered <= BY_PEOPLE
    # Judge and people like the same here; people err in one vote of twenty, and each marks what is preferred.
    assert (
        found.agree.of == found.answered
        and found.agree.count == round(found.rate.rate * found.rate.of) > 0.7 * found.rate.of
    )
    assert found.satisfaction.share == found.rate.rate and found.start_satisfaction.share == pytest.approx(
        1 - found.rate.rate
    )
    html = page(figures)
    assert (
        "People, who see a random part of them blind" in html
        and f"agree with the judge on {found.agree.count} of" in html
    )
    assert figures.as_json()["policy"]["people"]["rate"]["of"] == found.answered
    plain = {one.pair for one in read_history(run.events, run.blobs.get).answers}
    assert all(pair < 48 for pair in plain) and figures.votes == sum(
        len(one.annotation_ids) for one in of(run, "task_resolved") if one.pair_index < 48
    )
    (cost,) = (one for one in figures.ledger if one.stage == "ANNOTATE_POLICY")
    assert cost.votes == found.votes


def test_a_budget_of_labels_is_not_touched_by_what_people_say_of_the_policy(run):
    state = initial_run("r")
    state.view.config.quorum = 1
    for event, at in run.events:
        state, _ = evolve(state, [(event, at)])
    labels = sum(len(one.annotation_ids) for one in of(run, "task_resolved") if one.pair_index < 48)
    assert state.view.votes == labels and state.annotations() == [
        one.manifest_uri for one in state.view.stages if one.stage in LABELLING and one.closed
    ]


def test_a_run_that_compares_nothing_has_none_of_it(run):
    plain = [
        event for event in run.events if event[0].unit.stage not in (Stage.STAGE_SCORE_POLICY, Stage.STAGE_EVALUATE)
    ]
    closed = [e for e in plain if e[0].stage_closed.stage not in (Stage.STAGE_SCORE_POLICY, Stage.STAGE_EVALUATE)]
    assert figures_of(closed, run.blobs.get, run.truth).policy is None


def test_what_checks_know_is_satisfaction_and_changes_no_verdict(run):
    """The judge prefers the policy's answers throughout, and a check finds each of them wrong and the start's right."""
    history = read_history(run.events, run.blobs.get)
    worse = []
    for one in history.answered:
        pairs = PairShard.FromString(run.blobs.get(one.shard.shard.uri)).pairs
        said = PolicyJudged()
        said.CopyFrom(one.judged)
        said.labels.verified[:] = [2 if pair.first.model == "policy" else 1 for pair in pairs]
        worse.append(replace(one, judged=said))
    found = policy(replace(history, answered=worse, compared=[]), run.blobs.get)
    assert found.contest.judge.rate == 1.0 and found.contest.alarm is not None
    assert found.contest.satisfaction.satisfaction.share == 0.0 and found.start_satisfaction.share == 1.0
    assert any("step 9" in one and "fewer of them are correct" in one for one in found.alarms)


def test_helpers_sit_on_the_panel_beside_the_judge(run):
    history = read_history(run.events, run.blobs.get)
    history.created.config.helpers.add(kind="llm", name="other")
    held = []
    for one in history.answered:
        said = PolicyJudged()
        said.CopyFrom(one.judged)
        # It contradicts every label of the judge's.
        said.labels.helpers.add(judge="other", disagree=[1.0] * one.shard.shard.pairs)
        held.append(replace(one, judged=said))
    found = policy(replace(history, answered=held), run.blobs.get)
    assert (found.panel.rate, found.contest.judge.rate) == (0.5, 1.0)


def test_a_shard_that_failed_is_left_out_and_the_others_count(run):
    history = read_history(run.events, run.blobs.get)
    history.answered[1] = replace(history.answered[1], judged=None)
    found = policy(history, run.blobs.get)
    assert found.contest.pairs == 16 and found.points[0].judge.of == 16


def test_facts_whose_columns_are_of_another_length_say_nothing_and_end_no_report(run):
    history = read_history(run.events, run.blobs.get)
    said, first = PolicyJudged(), history.answered[0]
    said.CopyFrom(first.judged)
    del said.labels.choice[4:]
    said.labels.helpers.add(judge="other", disagree=[1.0])
    shard = type(first.shard)()
    shard.CopyFrom(first.shard)
    shard.shard.pairs = 3
    history.answered[0] = replace(first, shard=shard, judged=said)
    found = policy(history, run.blobs.get)
    assert found.points[0].judge is None and found.contest.pairs == 23, "7 verdicts are too few for a rate"


def test_a_prompt_that_is_none_of_the_runs_becomes_a_pair_of_its_own():
    row = {"id": "held-out-0", "prompt": [{"role": "user", "content": "New?"}]}
    row["responses"] = [{"text": "", "model": "policy"}, {"text": "Yes.", "model": "start"}]
    known = make_pair("p", [Message(role="user", content="Old?")], Response(text="a"), Response(text="b"))
    blobs: dict[str, bytes] = {}
    put = lambda content: blobs.setdefault("sha256:0", content) and "sha256:0"  # noqa: E731
    (shard,) = answered.shards({"answers.jsonl": json.dumps(row).encode(), "weights": b""}, 4, [known], 16, put)
    (pair,) = PairShard.FromString(blobs["sha256:0"]).pairs
    assert pair.prompt[0].content == "New?" and not pair.first.text, "who says nothing is judged as well"
    assert (shard.step, shard.kept) == (4, True)


def test_every_pair_is_paid_for_in_both_orders():
    config = RunConfig(
        policy="x", evaluate=9, judge=JudgeConfig(kind="llm", name="m", url="http://x/v1"), dollar_budget=1
    )
    config.judge.prompt_dollars = 1.0
    assert all(one.both_orders for one in evaluating.judges(config)) and not config.judge.both_orders
    view = pb.RunView(config=config, dollar_budget=1, pairs=8)
    view.answered.add(step=1).shard.pairs = 0
    view.answered.add(step=2).shard.MergeFrom(type(view.answered[0].shard)(pairs=10, text_bytes=1_000))
    state = RunState(view, open=OpenStage(stage=Stage.STAGE_EVALUATE, units=1))
    assert work.WORK[Stage.STAGE_EVALUATE].units(state, Event().stage_opened) == 1
    one_order = 10 * (1_000 / 10 + 1_200) * 0.25 / 1e6
    assert work.expected(state, 0) == pytest.approx(2 * one_order)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"evaluate": 8}, "evaluate: there is no policy to compare"),
        ({"policy": "x", "evaluate_checkpoints": 2}, "evaluate_checkpoints is set, and nothing is compared"),
        ({"policy": "x", "evaluate_votes": 2}, "evaluate_votes is set, and nothing is compared"),
        (
            {"policy": "x", "evaluate": 8, "evaluate_votes": 2, "quorum": 3},
            "a question takes 3 votes (--quorum), so nobody",
        ),
        (
            {"policy": "x", "evaluate": 8, "helpers": [JudgeConfig(kind="recorded", name="a")]},
            "knows only the pairs of the",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_paid(asked, said):
    config = options.run_config(options.resolve({"method": "none"}), None)
    config.MergeFrom(RunConfig(**asked))
    with pytest.raises(InvalidInput, match=re.escape(said)):
        check_config(config)


def test_all_services_together_compare_with_the_runs_own_judge(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ROOT)
    both = {"policy": "a-model", "policy_knobs": "steps=1,leaves=policy", "evaluate": 12, "reward_knobs": "steps=1"}
    with Door(tmp_path, stand_in_models.KINDS, **both) as door:
        door.begin()
        until(lambda: door.view().status == pb.RUN_STATUS_FINISHED, "the run's end")
        view = door.view()
    blobs = open_blobs(door.settings)
    stage = next(one for one in view.stages if one.stage == Stage.STAGE_EVALUATE)
    judged = [event.policy_judged for event in StageManifest.FromString(blobs.get(stage.manifest_uri)).events]
    assert [(one.step, len(one.labels.choice)) for one in judged] == [(2, 11), (9, 11)]
    assert all(np.isin(one.labels.order_flipped, (0, 1)).all() for one in judged)


def test_a_dry_run_counts_the_calls_of_both_orders_at_each_step():
    pairs = [
        make_pair(f"p{n}", [Message(role="user", content="Q?")], Response(text="a"), Response(text="b"))
        for n in range(4)
    ]
    asked = {"judge": "http://127.0.0.1:9/v1#m", "method": "none"}
    plain, compared = (
        estimate(options.run_config(options.resolve({**asked, **more}), None), pairs).calls
        for more in ({}, {"policy": "x", "evaluate": 5, "evaluate_checkpoints": 3})
    )
    assert compared - plain == 2 * 5 * (1 + 3)
    votes = {"policy": "x", "evaluate": 5, "evaluate_votes": 40, "quorum": 3}
    assert estimate(options.run_config(options.resolve({**asked, **votes}), None), pairs).votes == 15
