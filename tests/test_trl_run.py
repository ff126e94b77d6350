"""Runs whose reward models and policy are fine-tuned for good: tiny models, TRL's trainers, through the services' own units."""

from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from concord.kit.blobs import FileBlobs, series
from concord.kit.ids import run_id, work_id
from concord.kit.loop.units import Stop
from concord.preference.evaluating import compared
from concord.report.figures import figures_of
from concord.reward.models import KINDS, POLICY, REWARD
from concord.scoring.units import Units
from concord.training import policy as policy_script
from concord.training.devices import Devices
from concord.training.policy import Knobs
from concord.training.service import Training
from concord.training.trainer import Trainer, Wanted, checkpoint_name
from concord.v1.events_pb2 import ModelManifest, Stage, Unit
from concord.v1.pairs_pb2 import PairShard
from tests.small_run import config_of, small_run
from tests.tiny_models import rows, saved, written
from tests.waiting import until

pytestmark = pytest.mark.trl
ROOT = Path(__file__).parent.parent
SMALL = "lora_rank=4,max_length=96,batch=8"


@pytest.fixture(autouse=True)
def reachable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return str(saved(tmp_path_factory.mktemp("tiny") / "qwen3", "qwen3"))


def test_a_whole_run_trains_scores_aligns_and_compares_with_real_models(tiny, tmp_path):
    asked = {"reward_model": tiny, "reward_knobs": f"{SMALL},max_steps=4"}
    asked |= {
        "policy": tiny,
        "policy_knobs": f"{SMALL},max_steps=4,evaluations=4,test=0.3,stop_margin=0,answer_tokens=4,learning_rate=5e-2",
    }
    config = config_of(folds=2, human_budget=10, batch_share=0.1, evaluate=12, evaluate_checkpoints=3, **asked)

    def workers(blobs):
        return Units(blobs, tmp_path), Training(blobs, Trainer(blobs, tmp_path, Devices((), 1)))

    run = small_run(config, pairs=48, workers=workers)
    said = [(event.WhichOneof("kind"), event) for event, _ in run.events]
    margins = np.concatenate([event.shard_scored.reward_margin for kind, event in said if kind == "shard_scored"])
    assert len(margins) == 48 and np.isfinite(margins).all() and np.ptp(margins) > 0
    uris = [getattr(event, kind).reward_uri for kind, event in said if kind in ("fold_trained", "final_trained")]
    uris += [event.policy_trained.model_uri for kind, event in said if kind == "policy_trained"]
    manifests = [ModelManifest.FromString(run.blobs.get(uri)) for uri in uris]
    assert [manifest.kind for manifest in manifests] == [REWARD, REWARD, REWARD, POLICY]
    for manifest in manifests:
        assert manifest.kind in KINDS and manifest.versions["trl"]
        assert {"adapter_model.safetensors", "manifest.json"} <= {file.name for file in manifest.files}
    found = figures_of(run.events, run.blobs.get, run.truth).policy
    # Every evaluation of the training, and which of them was kept.
    assert [one.step for one in found.points] == [1, 2, 3, 4] and sum(one.kept for one in found.points) == 1
    assert {one.prompts for one in found.points} == {12} and found.ended == 4
    assert all(one.reward_margin is not None and np.isfinite(one.reward_margin) for one in found.points)
    data = tmp_path / "rows.jsonl"
    data.write_bytes(run.blobs.get(manifests[-1].inputs[0].uri))
    material = policy_script.material(Knobs(tiny, str(data), "", test=0.3, answers=12, seed=config.seed))
    trained = next(event.policy_trained for kind, event in said if kind == "policy_trained")
    shards = [PairShard.FromString(run.blobs.get(one.shard.uri)) for one in compared(trained.answered)]
    asked_ = {pair.prompt[0].content for shard in shards for pair in shard.pairs}
    assert asked_ and not asked_ & {one.prompt[0]["content"] for one in (*material.learn, *material.held)}


def test_a_training_that_is_stopped_goes_on_elsewhere_to_the_same_weights(tiny, tmp_path):
    lines = written(tmp_path / "rows.jsonl", rows(64)).read_bytes().splitlines(keepends=True)
    work = work_id(run_id("trl", b""), Unit(stage=Stage.STAGE_FINAL))
    knobs = {"max_steps": 80, "evaluations": 16, "batch": 8, "micro_batch": 8, "lora_rank": 4, "max_length": 64}
    wanted, stop = Wanted(work, REWARD, tiny, knobs, 3), Stop()

    def train(node: str, blobs: FileBlobs, until_when: Stop) -> dict[str, str]:
        uri = Trainer(blobs, tmp_path / node, Devices((), 1)).train(wanted, lines, until_when)
        return {file.name: file.uri for file in ModelManifest.FromString(blobs.get(uri)).files}

    shared = FileBlobs(tmp_path / "shared")
    with ThreadPoolExecutor(1) as pool:
        one = pool.submit(train, "one", shared, stop)
        # Torch alone takes a minute to be imported on a busy machine.
        for _ in range(5):
            with suppress(AssertionError):
                until(lambda: one.done() or series.last(shared, checkpoint_name(work))[0], "its first checkpoint")
                break
        stop.ask()
        with pytest.raises(CancelledError):
            one.result(20)
    resumed, whole = train("two", shared, Stop()), train("three", FileBlobs(tmp_path / "alone"), Stop())
    assert resumed["adapter_model.safetensors"] == whole["adapter_model.safetensors"]
