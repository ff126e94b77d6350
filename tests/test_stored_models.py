"""Models in the blobs: put there once, and every node that trains or scores with one fetches it from there."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from concord.kit.blobs import FileBlobs, named
from concord.kit.errors import InvalidInput, Permanent
from concord.kit.ids import URI, run_id, work_id
from concord.kit.loop.units import Stop
from concord.reward import stored
from concord.reward.models import REWARD
from concord.scoring.models import Models, Shown
from concord.training.asked import located
from concord.training.devices import Devices
from concord.training.trainer import Trainer, Wanted
from concord.v1.events_pb2 import Event, ModelManifest, Stage, Unit
from concord.v1.pairs_pb2 import Pair, Response
from tests import stand_in_models
from tests.test_cli import concord

WORK = work_id(run_id("stored", b""), Unit(stage=Stage.STAGE_TRAIN))


@pytest.fixture(autouse=True)
def reachable(monkeypatch):
    """The stand-in is a module of the tests."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))


@pytest.fixture
def blobs(tmp_path):
    return FileBlobs(tmp_path / "blobs")


def model_in(folder: Path, weights: str = "weights") -> Path:
    (folder / ".cache").mkdir(parents=True)
    (folder / ".cache" / "lock").write_text("hidden")
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_text(weights)
    return folder


def trained(blobs, home: Path, model: str) -> str:
    """The manifest of what the stand-in makes of it on a node with this home."""
    wanted = Wanted(WORK, REWARD, model, {"steps": 2}, 1)
    return Trainer(blobs, home, Devices((), 1), stand_in_models.KINDS).train(wanted, [b"{}\n"], Stop())


def test_a_model_that_was_put_is_made_again_on_any_node_and_found_by_its_name(blobs, tmp_path):
    uri = stored.put(blobs, model_in(tmp_path / "Small 1.5B"))
    assert stored.is_stored(uri) and not stored.is_stored("Qwen/Qwen3-0.6B") and located(uri) == uri
    for node in ("one", "two"):
        (tmp_path / node / "work").mkdir(parents=True)
        path = stored.lend(blobs, uri, tmp_path / node / "bases", tmp_path / node / "work")
        assert path == "base/Small-1.5B"
        assert (tmp_path / node / "work" / path / "model.safetensors").read_text() == "weights"
        assert not (tmp_path / node / "work" / path / ".cache").exists()
        assert stored.lend(blobs, uri, tmp_path / node / "bases", tmp_path / node / "work") == path


def test_the_same_folder_is_the_same_model_and_other_weights_are_another(blobs, tmp_path):
    uris = [
        stored.put(blobs, model_in(tmp_path / at / "m", words)) for at, words in (("a", "x"), ("b", "x"), ("c", "y"))
    ]
    assert uris[0] == uris[1] != uris[2]


@pytest.mark.parametrize(
    "files", [(), ("config.json",), ("model.safetensors",), ("adapter_config.json", "adapter.bin")]
)
def test_a_folder_that_is_no_whole_model_is_refused(blobs, tmp_path, files):
    for name in files:
        (tmp_path / name).write_text("{}")
    with pytest.raises(InvalidInput, match="no whole model") as refused:
        stored.put(blobs, tmp_path)
    assert ("LoRA" in str(refused.value)) == ("adapter_config.json" in files)


def test_a_uri_that_is_no_stored_model_says_how_one_is_stored(blobs, tmp_path):
    with pytest.raises(Permanent, match="concord model put"):
        stored.lend(blobs, f"sha256:{'0' * 64}", tmp_path / "bases", tmp_path)
    for content in (b"no manifest", ModelManifest(kind=REWARD).SerializeToString()):
        with pytest.raises(Permanent, match="no model that `concord model put` stored"):
            stored.lend(blobs, blobs.put(content), tmp_path / "bases", tmp_path)


def test_of_many_bases_a_node_keeps_the_last_ones_and_fetches_the_others_again(blobs, tmp_path):
    uris = [stored.put(blobs, model_in(tmp_path / f"m{n}", str(n))) for n in range(stored.BASES_KEPT + 1)]
    work = tmp_path / "work"
    work.mkdir()
    paths = [stored.lend(blobs, uri, tmp_path / "bases", work) for uri in uris]
    assert not (work / paths[0]).exists() and (work / paths[-1]).exists()
    stored.lend(blobs, uris[0], tmp_path / "bases", work)
    assert (work / paths[0] / "model.safetensors").read_text() == "0"


def test_what_is_trained_from_it_is_the_same_on_every_node_and_names_it(blobs, tmp_path):
    uri = stored.put(blobs, model_in(tmp_path / "small"))
    made = [trained(blobs, tmp_path / home, uri) for home in ("one", "two")]
    assert made[0] == made[1]
    manifest = ModelManifest.FromString(blobs.get(made[0]))
    assert json.loads(manifest.settings)["model"] == "base/small"
    assert [(one.name, one.uri) for one in manifest.inputs if one.name == stored.BASE] == [(stored.BASE, uri)]


def test_a_node_that_scores_finds_the_base_within_the_models_folder(blobs, tmp_path):
    uri = stored.put(blobs, model_in(tmp_path / "small"))
    made = trained(blobs, tmp_path / "trains", uri)
    shutil.rmtree(tmp_path / "small")
    score = Models(blobs, tmp_path / "scores", stand_in_models.KINDS).opened(made)
    pairs = [Pair(first=Response(text="longer"), second=Response(text="short"))]
    assert score(Shown(lambda: pairs, lambda: (np.zeros((1, 0)), np.zeros(1)))) > 0
    (base,) = (tmp_path / "scores" / "models").glob("*/base/small")
    assert (base / "config.json").exists()


def test_what_a_run_calls_by_its_uri_is_named_with_its_files(blobs, tmp_path):
    uri = stored.put(blobs, model_in(tmp_path / "small"))
    event = Event(run_created={"config": {"reward_model": uri, "policy": "Qwen/Qwen3-0.6B"}})
    files = {file.uri for file in ModelManifest.FromString(blobs.get(uri)).files}
    assert {uri} | files <= set(named.of_messages([event], blobs.get))


def test_the_command_puts_a_folder_and_prints_what_runs_call_it_by(tmp_path):
    model_in(tmp_path / "small")
    done = concord(tmp_path, "model", "put", "small")
    assert done.returncode == 0 and URI.fullmatch(done.stdout.strip()), done.stderr
    assert concord(tmp_path, "model", "put", "small").stdout == done.stdout
    assert concord(tmp_path, "model", "put", "nowhere").returncode == 2
