"""A reward model trained from a model in the blobs on one node scores on another, which never saw the model's folder."""

import shutil

import numpy as np
import pytest

from concord.kit.blobs import FileBlobs
from concord.kit.ids import run_id, work_id
from concord.kit.loop.units import Stop
from concord.reward import stored
from concord.reward.models import REWARD
from concord.scoring.models import Models, Shown
from concord.training.devices import Devices
from concord.training.trainer import Trainer, Wanted
from concord.v1.events_pb2 import Stage, Unit
from concord.v1.pairs_pb2 import Message, Pair, Response
from tests.tiny_models import rows, saved, written

pytestmark = pytest.mark.trl
KNOBS = {"max_steps": 30, "batch": 16, "micro_batch": 16, "lora_rank": 4, "max_length": 64, "learning_rate": 1e-2}


def test_a_base_in_the_blobs_serves_nodes_that_share_nothing_else(tmp_path):
    blobs, held = FileBlobs(tmp_path / "blobs"), rows(120)
    uri = stored.put(blobs, saved(tmp_path / "tiny", "llama", width=0.2))
    shutil.rmtree(tmp_path / "tiny")
    lines = written(tmp_path / "rows.jsonl", held).read_bytes().splitlines(keepends=True)
    wanted = Wanted(work_id(run_id("trl", b""), Unit(stage=Stage.STAGE_FINAL)), REWARD, uri, KNOBS, 3)
    made = Trainer(blobs, tmp_path / "trains", Devices((), 1)).train(wanted, lines, Stop())
    shutil.rmtree(tmp_path / "trains")
    text = lambda row, name: row[name][0]["content"]  # noqa: E731
    pairs = [
        Pair(
            prompt=[Message(role="user", content=text(row, "prompt"))],
            first=Response(text=text(row, "chosen")),
            second=Response(text=text(row, "rejected")),
        )
        for row in rows(60, seed=1)
    ]
    margins = Models(blobs, tmp_path / "scores").opened(made)(Shown(lambda: pairs, lambda: (np.zeros(0), np.zeros(0))))
    assert np.isfinite(margins).all() and (margins > 0).mean() > 0.7
