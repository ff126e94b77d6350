"""Whole runs with further signals, on a judge over HTTP: what is paid, what is kept, what a unit done again says."""

from functools import partial

from concord.client.run.estimate import estimate
from concord.kit.settings import from_environment, open_blobs, open_log
from concord.operate import redo, run_log
from concord.preference.call_costs import MARGIN
from concord.v1.events_pb2 import PauseReason, Stage
from concord.wiring import done
from tests.batch_endpoint import BatchEndpoint
from tests.judged_run import PAIRS, RUN, endpoint
from tests.scoring_endpoint import ScoringEndpoint
from tests.test_batched_run import COUNT, configuration, dataset
from tests.test_doctor import run_in, settings_in

SIGNALS = {"rubric": "doubtful", "judge_votes": 2}


class ScoringBatches(BatchEndpoint, ScoringEndpoint):
    """Takes batches, and scores."""


def labelled(home) -> list:
    log = open_log(from_environment({}, home=str(home)))
    return [event for event, _ in run_log.events(log, RUN) if event.HasField("shard_labeled")]


def test_a_run_with_signals_costs_what_was_said_before_and_a_unit_done_again_costs_nothing(tmp_path):
    with endpoint(ScoringEndpoint, flips=0.3) as judge:
        config = configuration(judge.url, prompt_price=1.0, completion_price=1.0, **SIGNALS)
        plain = configuration(judge.url, prompt_price=1.0, completion_price=1.0)
        view = dataset(tmp_path, config, {})
        said = estimate(config, PAIRS[:COUNT])
        # Shards of 32 have a doubtful third of 11 each; the whole of 96 pairs would have 32. The pilot is paid, then kept.
        assert said.calls == 2 * COUNT + 4 * 32 and view.usage.calls == 2 * COUNT + 4 * 33 == judge.calls
        assert said.signals["rubric"]["calls"] == said.signals["votes"]["calls"] == 64
        assert estimate(plain, PAIRS[:COUNT]).dollars < said.dollars < MARGIN * view.usage.dollars * 2
        labels = [event for event in labelled(tmp_path) if event.unit.stage == Stage.STAGE_LABEL]
        assert [sum(score > 0 for score in event.shard_labeled.rubric_first) for event in labels] == [11, 11, 11]
        assert all(event.shard_labeled.p_tokens for event in labels)
        (pilot,) = [event for event in labelled(tmp_path) if event.unit.stage == Stage.STAGE_PILOT_LABEL]
        assert not pilot.shard_labeled.rubric_first, "nobody reads scores of the pilot"
        assert {"rubric", "votes", "log-probabilities"} <= {one.signal for one in view.last_round.coefficients}
        before = judge.calls
        settings = from_environment({}, home=str(tmp_path))
        do = partial(done, settings, open_blobs(settings))
        differs, _, again = redo.unit_again(open_log(settings), RUN, run_log.parse_unit("LABEL/1"), do)
        assert differs == [] and judge.calls == before and again.usage.cached_calls == 2 * 32 + 4 * 11


def test_with_batches_verdicts_go_through_them_and_signals_are_asked_live_with_the_same_result(tmp_path):
    with endpoint(ScoringBatches, flips=0.3) as judge:
        live = dataset(tmp_path / "live", configuration(judge.url, **SIGNALS), {})
        judge.at_once = True
        asked = configuration(judge.url, judge_batch=True, **SIGNALS)
        batched = dataset(tmp_path / "batched", asked, {"batch_look_s": 0.1})
        assert batched.dataset_sha256 == live.dataset_sha256 and batched.usage.calls == live.usage.calls
        assert len(judge.batches) == COUNT // 32


def test_a_limit_in_dollars_holds_with_signals_on(tmp_path):
    with endpoint(ScoringEndpoint) as judge:
        priced = {"prompt_price": 1.0, "completion_price": 1.0, **SIGNALS}
        flags = {"judge": f"{judge.url}#stub", "method": "none", "window": 1, **priced}
        whole = run_in(settings_in(tmp_path / "whole"), **flags).usage.dollars
        limit = 0.7 * whole
        view = run_in(settings_in(tmp_path / "cut"), dollars=limit, **flags)
        assert view.pause_reason == PauseReason.PAUSE_REASON_BUDGET and 0 < view.usage.dollars <= limit
