"""What judging costs is learned from the run: what is held back lies within twice what the run then costs."""

import numpy as np
import pytest

from concord.preference import call_costs
from concord.preference.call_costs import ASSUMED, expected, learned
from concord.runs import work as work_of
from concord.v1.config_pb2 import JudgeConfig
from concord.v1.events_pb2 import Event, PauseReason, Stage, Usage
from concord.v1.pairs_pb2 import ShardRef
from concord.v1.work_pb2 import Work
from tests.run_world import SHARD_PAIRS, FoldedRun, config, result

JUDGE = JudgeConfig(
    kind="llm", name="m", url="http://h/v1", both_orders=True, prompt_dollars=0.5, completion_dollars=2.0
)
PAIRS = 160


class Endpoint:
    """Counts tokens as some engine and model would: so many a byte, so many an answer, each text and answer its own."""

    def __init__(self, a_byte: float, an_answer: float, again: float, seed: int = 0) -> None:
        self.a_byte, self.an_answer, self.again = a_byte, an_answer, again
        self.draw = np.random.default_rng(seed)
        self.text_bytes = self.draw.lognormal(7.2, 0.6, PAIRS).astype(int)

    def shards(self) -> list[ShardRef]:
        sizes = self.text_bytes.reshape(-1, SHARD_PAIRS)
        return [
            ShardRef(uri=f"shard-{n}", first_index=n * SHARD_PAIRS, pairs=SHARD_PAIRS, text_bytes=int(one.sum()))
            for n, one in enumerate(sizes)
        ]

    def usage(self, number: int, judge: JudgeConfig) -> Usage:
        """What the shard took, both orders of each pair and some of them twice."""
        calls = prompt = completion = 0
        for size in self.text_bytes.reshape(-1, SHARD_PAIRS)[number]:
            for _ in range(2):
                tries = 1 + int(self.draw.random() < self.again)
                calls += tries
                prompt += tries * int((1_400 + size) * self.a_byte)
                completion += sum(int(self.draw.lognormal(np.log(self.an_answer), 0.4)) + 1 for _ in range(tries))
        dollars = (prompt * judge.prompt_dollars + completion * judge.completion_dollars) / 1e6
        return Usage(calls=calls, prompt_tokens=prompt, completion_tokens=completion, dollars=dollars)


def run_of(endpoint: Endpoint, dollars: float) -> FoldedRun:
    run = FoldedRun(config(judge=JUDGE, method="none", dollar_budget=dollars, window=4), pairs=PAIRS, start=False)
    run.state.shards[:] = endpoint.shards()
    run.say("started", run_started={"pairs_uri": "pairs", "pairs": PAIRS, "human_budget": 0})
    return run


def judged(endpoint: Endpoint, dollars: float) -> tuple[FoldedRun, float]:
    """The run as far as its money lets it label, and the sum of what was held back for each unit when it went out."""
    run, held = run_of(endpoint, dollars), 0.0
    asked: list[Work] = run.go_to(Stage.STAGE_LABEL)
    while asked and run.state.open is not None and run.state.open.stage == Stage.STAGE_LABEL:
        held += sum(work_of.bound(run.state, work.unit.number) for work in asked)
        run.hear(*[said(work, endpoint) for work in asked])
        asked = run.turn()
    return run, held


def said(work: Work, endpoint: Endpoint) -> Event:
    return result(work, usage=endpoint.usage(work.unit.number, JUDGE))


ENGINES = [
    pytest.param(a_byte, an_answer, again, id=f"{a_byte} a byte, {an_answer} an answer, {again:.0%} twice")
    for a_byte in (0.2, 0.27, 0.45)
    for an_answer in (25, 60, 300, 1_500)
    for again in (0.0, 0.3)
]


@pytest.mark.parametrize(("a_byte", "an_answer", "again"), ENGINES)
def test_what_is_held_back_over_a_run_lies_between_its_cost_and_twice_of_it(a_byte, an_answer, again):
    run, held = judged(Endpoint(a_byte, an_answer, again), dollars=1_000)
    assert run.view.usage.dollars <= held <= 2 * run.view.usage.dollars


@pytest.mark.parametrize(("a_byte", "an_answer", "again"), ENGINES)
def test_a_limit_of_what_the_run_costs_is_kept_but_for_the_first_unit_and_twice_of_it_stops_nothing(
    a_byte, an_answer, again
):
    costs = judged(Endpoint(a_byte, an_answer, again), dollars=1_000)[0].view.usage.dollars
    assert judged(Endpoint(a_byte, an_answer, again), dollars=2 * costs)[0].view.pause_reason == 0
    tight, _ = judged(Endpoint(a_byte, an_answer, again), dollars=costs / 2)
    assert tight.view.pause_reason == PauseReason.PAUSE_REASON_BUDGET
    assert 0.2 * costs <= tight.view.usage.dollars <= 0.5 * costs


def test_judges_with_other_prices_and_other_lengths_of_answer_add_up():
    """A helper that thinks, at ten times the price: the mean of both would be too little."""
    thinks = JudgeConfig(kind="llm", name="t", both_orders=True, prompt_dollars=5, completion_dollars=20)
    used = Usage(calls=80, prompt_tokens=80 * 500, completion_tokens=40 * 30 + 40 * 2_000)
    used.dollars = (40 * 500 * 0.5 + 40 * 30 * 2.0 + 40 * 500 * 5 + 40 * 2_000 * 20) / 1e6
    rates = learned((JUDGE, thinks), used, pair_bytes=600, judged=20)
    assert expected((JUDGE, thinks), 20 * 600, 20, rates).dollars == pytest.approx(used.dollars)


def test_before_anything_was_paid_the_rates_are_assumed():
    assert learned((JUDGE,), Usage(), 1_000, 0) == ASSUMED
    assert learned((JUDGE,), Usage(cached_calls=80), 1_000, 40) == ASSUMED


def test_judges_that_cost_nothing_are_not_reckoned():
    assert expected((JudgeConfig(kind="sample"),), 1_000, 10, ASSUMED) == call_costs.Expected()
    assert expected((JUDGE,), 10 * 1_000, 10, ASSUMED).calls == 20


@pytest.mark.parametrize("a_byte", [0.2, 0.25, 0.3])
@pytest.mark.parametrize("an_answer", [25, 60, 90])
def test_a_run_of_one_unit_by_a_judge_that_does_not_think_is_held_for_at_most_twice_its_cost(a_byte, an_answer):
    endpoint = Endpoint(a_byte, an_answer, again=0.02)
    cost = sum(endpoint.usage(number, JUDGE).dollars for number in range(PAIRS // SHARD_PAIRS))
    held = call_costs.held_back(expected((JUDGE,), float(endpoint.text_bytes.sum()), PAIRS, ASSUMED).dollars, ASSUMED)
    assert 0.75 * cost <= held <= 2 * cost
