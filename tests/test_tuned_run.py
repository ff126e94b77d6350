"""Runs whose reward models are fine-tuned as well: by the stand-in, through every service."""

import json
import os
import threading
import time
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from concord.client.results import models
from concord.client.results.records import there
from concord.client.run import drive, options
from concord.embedded import equipped
from concord.kit import ids, rpc
from concord.kit.arrays import unpack
from concord.kit.blobs import named, series
from concord.kit.errors import InvalidInput
from concord.kit.ids import work_id
from concord.kit.settings import Settings, from_environment, open_blobs
from concord.operate import removal
from concord.process import Running
from concord.report import tuning_table
from concord.report.figures import figures_of
from concord.reward.models import KINDS, POLICY, REWARD, ModelKind
from concord.scoring.units import Units
from concord.training.devices import Devices
from concord.training.service import Training
from concord.training.trainer import Trainer, checkpoint_name
from concord.v1 import runs_service_pb2 as pb
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import ModelManifest, Stage, Unit
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.scoring_service_pb2 import ScorePairsRequest
from concord.v1.scoring_service_pb2_grpc import ScoringServiceStub
from concord.v1.training_service_pb2 import GetJobRequest
from concord.v1.training_service_pb2_grpc import TrainingServiceStub
from concord.wiring import SERVICES, Parts, Service
from tests import stand_in_models, the_sample
from tests.small_run import SmallRun, config_of, small_run
from tests.waiting import until


@pytest.fixture(autouse=True)
def reachable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))


def tuned(home: Path, **settings: object) -> SmallRun:
    """A small run with a stand-in in each round."""
    kinds = stand_in_models.KINDS

    def workers(blobs):
        return Units(blobs, home, kinds), Training(blobs, Trainer(blobs, home, Devices((), 1), kinds))

    config = config_of(reward_model="a-model", reward_knobs="steps=1", **settings)
    return small_run(config, pairs=96, workers=workers)


def test_the_report_tells_of_each_training_and_of_none_where_there_was_none(both):
    run, plain = (figures_of(one.events, one.blobs.get, one.truth) for one in both)
    assert [(one.unit, one.kind, one.accuracy) for one in run.tunings] == [
        ("TRAIN.1/0", REWARD, 0.75), ("TRAIN.1/1", REWARD, 0.75), ("FINAL/0", REWARD, 0.75)
    ]  # fmt: skip
    assert run.tunings[0].loss == ((1, 0.7), (2, 0.6)) and run.as_json()["tunings"][0]["margins"] == [[2, 0.5]]
    html = str(tuning_table.tuned(run))
    assert "Language models" in html and "a-model" in html and "How the trainings went" in html
    assert plain.tunings == () and tuning_table.tuned(plain) is None


def said(run: SmallRun, kind: str) -> list:
    return [getattr(event, kind) for event, _ in run.events if event.HasField(kind)]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same run with fine-tuned reward models and without."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
        return tuned(tmp_path_factory.mktemp("home"), folds=2), small_run(config_of(folds=2), pairs=96)


def test_each_fold_and_the_final_labels_have_a_fine_tuned_model_beside_the_light_one(both):
    run, plain = both
    folds, final = said(run, "fold_trained"), said(run, "final_trained")
    assert len(folds) == 2 and len({one.reward_uri for one in (*folds, *final)}) == 3
    for one in (*folds, *final):
        manifest = ModelManifest.FromString(run.blobs.get(one.reward_uri))
        assert manifest.kind == REWARD
        rows = run.blobs.get(manifest.inputs[0].uri)
        assert rows.count(b"\n") == one.pairs
    assert [one.model_uri for one in folds] == [one.model_uri for one in said(plain, "fold_trained")]


def test_every_pair_has_a_margin_of_both_and_the_model_of_p_wrong_reads_both(both):
    run, plain = both
    for one, other in zip(said(run, "shard_scored"), said(plain, "shard_scored"), strict=True):
        assert list(one.margin) == list(other.margin) and not other.reward_margin
        assert len(one.reward_margin) == len(one.margin) and np.ptp(one.reward_margin) > 0
    names = [{line.signal for line in said(one, "round_triaged")[0].coefficients} for one in both]
    assert names[0] - names[1] == {"fine-tuned margin"}


def test_all_that_its_models_are_made_of_is_named_by_the_run(both):
    run, _ = both
    names = set(named.of_messages([event for event, _ in run.events], run.blobs.get))
    for one in said(run, "final_trained"):
        manifest = ModelManifest.FromString(run.blobs.get(one.reward_uri))
        assert {one.reward_uri, *(file.uri for file in manifest.files), manifest.inputs[0].uri} <= names


def test_rlthf_goes_by_the_fine_tuned_margins_in_every_round_and_has_them_label_the_rest(tmp_path):
    knobs = {"subset_share": 0.5, "amplification": [2], "back_off": [0.5]}
    run = tuned(tmp_path, method="rlthf", folds=1, human_budget=20, batch_share=0.1, rlthf=knobs)
    scored = said(run, "shard_scored")
    rounds = said(run, "round_triaged")
    assert len(said(run, "fold_trained")) == len(rounds) > 1
    last = np.concatenate([one.reward_margin for one in scored[-3:]])
    target = unpack(run.blobs.get(rounds[-1].posterior_uri))["target"]
    asked = {event.pair_index for event in said(run, "task_resolved")}
    others = np.array([at not in asked for at in range(96)])
    assert ((last > 0) == (target > 0.5))[others].all() and 10 < (last > 0).sum() < 86


def known(kinds) -> dict:
    def with_kinds(make, parts: Parts) -> Service:
        return make(replace(parts, kinds=kinds))

    return {name: partial(with_kinds, make) for name, make in SERVICES.items()}


def settings_in(folder: Path) -> Settings:
    return from_environment({}, home=str(folder), listen="127.0.0.1:0", processes=0, grace_s=0.0)


class Door:
    """All services in this process, and a run of the sample on them."""

    def __init__(self, folder: Path, kinds, **flags: object) -> None:
        self.settings = settings_in(folder)
        self.running = Running(list(SERVICES), self.settings, known(kinds))
        given = the_sample.given()
        rows = given.rows[:48]
        asked = options.resolve({"method": "none", "reward_model": "a-model", **flags})
        self.config: RunConfig = options.run_config(asked, None)
        self.run_id = ids.run_id("tuned", options.semantic(self.config))
        self.channel = rpc.channel(self.running.address)
        self._pairs = [row.pair for row in rows]

    def __enter__(self) -> "Door":
        self._opened = self.channel.__enter__()
        self.runs, self.jobs = RunServiceStub(self._opened), TrainingServiceStub(self._opened)
        self.scores = ScoringServiceStub(self._opened)
        return self

    def begin(self) -> None:
        drive.begin(self.runs, self.run_id, self.config, self._pairs, "0" * 64, "tuned")

    def view(self) -> pb.RunView:
        return self.runs.GetRun(pb.GetRunRequest(run_id=self.run_id)).run

    def job(self):
        unit = Unit(stage=Stage.STAGE_FINAL)
        return self.jobs.GetJob(GetJobRequest(run_id=self.run_id, unit=unit))

    def score(self, uri: str) -> list[float]:
        return list(self.scores.ScorePairs(ScorePairsRequest(model_uri=uri, pairs=self._pairs[:8])).margin)

    def __exit__(self, *error: object) -> None:
        self.last = self.view() if error[0] is None else pb.RunView()
        self.channel.__exit__(*error)
        self.running.stop()


def test_a_run_ends_with_a_model_that_scores_for_whoever_asks(tmp_path):
    both = {"reward_knobs": "steps=2", "policy": "a-model", "policy_knobs": "steps=1,leaves=policy"}
    with Door(tmp_path, stand_in_models.KINDS, **both) as door:
        door.begin()
        until(lambda: door.view().status == pb.RUN_STATUS_FINISHED, "the run's end")
        job = door.job()
        assert job.done and job.progress.step == job.progress.of == 2
        margins = door.score(job.event.final_trained.reward_uri)
        assert len(margins) == 8 and len(set(margins)) > 1
        manifest = ModelManifest.FromString(open_blobs(door.settings).get(job.event.final_trained.reward_uri))
        assert '"steps": 2' in manifest.settings
        policy = ModelManifest.FromString(open_blobs(door.settings).get(door.view().policy_uri))
        assert policy.kind == POLICY
        learned = open_blobs(door.settings).get(policy.inputs[0].uri).splitlines()
        assert len(learned) == 48 and {"prompt", "chosen", "rejected", "p_chosen"} <= set(json.loads(learned[0]))
        with there(door.running.address) as records:
            for _ in range(2):
                made = models.write(tmp_path / "out", door.view(), records)
                assert [path.name for path in made] == ["reward-model", "policy"]
                assert (made[1] / "manifest.json").exists() and (made[1] / "weights" / "model").exists()
            other = pb.RunView(policy_uri=door.view().reward_uri)
            models.write(tmp_path / "out", other, records)
            assert json.loads((made[1] / "manifest.json").read_text())["kind"] == REWARD, (
                "another run's takes its place"
            )
            (made[1] / "manifest.json").unlink()
            with pytest.raises(InvalidInput, match="no model of an earlier run"):
                models.write(tmp_path / "out", other, records)


def kept_of(door: Door) -> set[str]:
    """The blobs of the last checkpoint of the run's final training."""
    work = work_id(door.run_id, Unit(stage=Stage.STAGE_FINAL))
    content = series.last(open_blobs(door.settings), checkpoint_name(work))[1]
    return {file.uri for file in ModelManifest.FromString(content).files}


def garbage(door: Door) -> set[str]:
    """What `concord gc` would free."""
    with removal.alone(door.settings, list(SERVICES)) as log:
        found = removal.garbage(log, open_blobs(door.settings), time.time() + 60, 0.0)
        return {blob.uri for blob in found.gone}


def pid_in(file: Path) -> int:
    until(file.exists, "the middle of the training")
    return int(file.read_text().split()[0])


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def over_in_time(pid: int) -> bool:
    """Whether the process ends within five seconds and the second in which a worker hears of it."""
    wait = threading.Event()
    for _ in range(300):
        if gone(pid):
            return True
        wait.wait(0.02)
    return False


def test_the_training_of_a_run_that_is_cancelled_ends_in_seconds_with_all_that_it_started(tmp_path):
    knobs = f"wait_for={tmp_path / 'never'},stubborn=true"
    with Door(tmp_path, stand_in_models.KINDS, reward_knobs=knobs) as door:
        door.begin()
        pid = pid_in(tmp_path / "never.begun")
        assert not door.job().done and door.job().attempts == 1
        door.runs.CancelRun(pb.CancelRunRequest(run_id=door.run_id, request_id="enough", reason="enough"))
        assert over_in_time(pid)
        assert over_in_time(int((tmp_path / "never.begun").read_text().split()[1]))


def test_a_process_that_is_told_to_stop_leaves_a_checkpoint_and_the_next_goes_on_from_it(tmp_path):
    go = tmp_path / "go"
    with Door(tmp_path, stand_in_models.KINDS, reward_knobs=f"wait_for={go}") as door:
        door.begin()
        pid = pid_in(go.with_suffix(".begun"))
    assert gone(pid)
    assert kept_of(door) and not kept_of(door) & garbage(door), "it is needed yet"
    go.with_suffix(".begun").unlink()
    go.touch()
    with Door(tmp_path, stand_in_models.KINDS, reward_knobs=f"wait_for={go}") as door:
        until(lambda: door.view().status == pb.RUN_STATUS_FINISHED, "the run's end")
        assert door.job().attempts == 2
        assert pid_in(go.with_suffix(".begun")) != pid, "from the second step on, so that it met the third again"
    assert kept_of(door) <= garbage(door), "now nobody needs it"
    model = ModelManifest.FromString(open_blobs(door.settings).get(door.last.reward_uri))
    assert not {file.uri for file in model.files} & garbage(door)
    with removal.alone(door.settings, list(SERVICES)) as log:
        removal.remove(door.settings, log, door.run_id)
    assert not kept_of(door) and not list((tmp_path / "blobs" / "markers" / "progress").iterdir())


def test_without_torch_the_run_stops_and_says_what_to_install(tmp_path):
    kinds = {**KINDS, REWARD: ModelKind("x", extra="torch", needs="a_library_that_nobody_has")}
    with Door(tmp_path, kinds) as door:
        door.begin()
        until(lambda: door.view().status == pb.RUN_STATUS_PAUSED, "the pause")
        assert "pip install 'concord-preference[torch]'" in door.view().detail


@pytest.mark.skipif(find_spec("trl") is not None, reason="TRL is installed here")
def test_a_command_says_what_to_install_before_anything_is_paid():
    for config in (RunConfig(reward_model="x"), RunConfig(policy="x")):
        with pytest.raises(InvalidInput, match=r"pip install 'concord-preference\[torch\]'"):
            equipped(config)
    equipped(RunConfig())


def test_a_run_without_it_is_what_it_was():
    asked = [options.resolve(flags) for flags in ({}, {"reward_model": "", "reward_knobs": ""}, {"reward_model": "x"})]
    without, empty, other = (options.semantic(options.run_config(one, None)) for one in asked)
    assert without == empty != other
