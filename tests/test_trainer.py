"""A model that a program trains: kept and gone on with elsewhere, stopped with all that it started, and the same each time."""

import json
import os
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import pytest
from prometheus_client import REGISTRY

from concord.kit.blobs import FileBlobs, MemoryBlobs, folders, series
from concord.kit.blobs.folders import Filed
from concord.kit.errors import InvalidInput, Permanent
from concord.kit.ids import run_id, uri_of, work_id
from concord.kit.loop.units import Stop
from concord.reward.models import KINDS, REWARD, ModelKind
from concord.training import heard, measured, trainer
from concord.training.asked import check_knobs, knobs_of, located, seed_of
from concord.training.devices import Devices, found
from concord.training.places import place
from concord.training.trainer import Trainer, Wanted, checkpoint_name, progress_of
from concord.v1.events_pb2 import ModelManifest, Stage, Unit
from concord.v1.training_service_pb2 import TrainingProgress
from tests import stand_in_models
from tests.waiting import until

WORK = work_id(run_id("trainer", b""), Unit(stage=Stage.STAGE_TRAIN))
ROWS = [b'{"prompt": "a"}\n', b'{"prompt": "b"}\n']


@pytest.fixture(autouse=True)
def reachable(monkeypatch):
    """The stand-in is a module of the tests."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))


@pytest.fixture
def blobs(tmp_path):
    return FileBlobs(tmp_path / "blobs")


@pytest.fixture(autouse=True)
def none_goes_on():
    """Where a test fails its trainings end as well."""
    yield
    while Node.all:
        Node.all.pop().stop.ask()


class Node:
    """A machine that trains; others share its blobs."""

    all: ClassVar[list["Node"]] = []

    def __init__(self, blobs, home: Path, kinds=stand_in_models.KINDS, grace_s: float = 0.3) -> None:
        self.stop = Stop()
        self._trainer = Trainer(blobs, home, Devices((), 1), kinds, grace_s)
        self._pool = ThreadPoolExecutor(1)
        self.all.append(self)

    def train(self, seed: int = 1, **knobs: object) -> str:
        return self._trainer.train(Wanted(WORK, REWARD, "a-model", knobs, seed), ROWS, self.stop)

    def begin(self, **knobs: object):
        return self._pool.submit(lambda: self.train(**knobs))


def pids_of(file: Path) -> list[int]:
    """Of the trainer that waits for the file, and of its children."""
    begun = file.with_suffix(".begun")
    until(begun.exists, "the third step")
    return [int(word) for word in begun.read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_model_is_a_manifest_from_which_its_folder_is_made_again(blobs, tmp_path):
    uri = Node(blobs, tmp_path / "home").train(steps=2, lora_rank=8)
    manifest = ModelManifest.FromString(blobs.get(uri))
    assert (manifest.kind, manifest.seed, manifest.versions) == (REWARD, 1, {"stand-in": "1"})
    assert [(one.name, blobs.get(one.uri)) for one in manifest.inputs] == [("rows", b"".join(ROWS))]
    settings = json.loads(manifest.settings)
    assert settings == {
        "model": "a-model", "data": "rows.jsonl", "out": "model", "seed": 1, "devices": 1, "micro_batch": 4,
        "steps": 2, "lora_rank": 8,
    }  # fmt: skip
    assert [file.name for file in manifest.files] == ["manifest.json", "weights/model"]
    folders.get(blobs, [Filed(one.name, one.uri, one.size) for one in manifest.files], tmp_path / "got")
    weights = (tmp_path / "got" / "weights" / "model").read_bytes()
    assert (uri_of(weights), len(weights)) == (manifest.files[1].uri, manifest.files[1].size)


def test_the_same_unit_twice_gives_the_same_bytes_and_another_seed_others(blobs, tmp_path):
    uris = [Node(blobs, tmp_path / name).train(seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    assert uris[0] == uris[1] != uris[2]


def test_nothing_is_left_where_it_trained(blobs, tmp_path):
    Node(blobs, tmp_path / "home").train()
    assert list((tmp_path / "home" / "training").iterdir()) == []


def test_what_was_trained_when_it_was_stopped_is_gone_on_with_elsewhere_to_the_same_model(blobs, tmp_path):
    go = tmp_path / "go"
    one = Node(blobs, tmp_path / "one", grace_s=30.0)
    under_way = one.begin(wait_for=str(go))
    (pid,) = pids_of(go)
    one.stop.ask()
    with pytest.raises(CancelledError):
        under_way.result(10)
    assert not is_alive(pid)
    go.touch()
    uri = Node(blobs, tmp_path / "two").train(wait_for=str(go))
    progress = progress_of(blobs, WORK)
    assert (progress.step, progress.of) == (6, 6)
    elsewhere = FileBlobs(tmp_path / "other blobs")
    whole = Node(elsewhere, tmp_path / "three").train(wait_for=str(go))
    assert uri == whole, "as if nothing had happened"
    checkpoint = ModelManifest.FromString(series.last(blobs, checkpoint_name(WORK))[1])
    assert {file.name for file in checkpoint.files} == {"checkpoints/checkpoint-2/state"}


def test_one_that_does_not_listen_is_over_with_its_children_in_seconds(blobs, tmp_path):
    node = Node(blobs, tmp_path / "home")
    under_way = node.begin(wait_for=str(tmp_path / "never"), stubborn=True)
    pids = pids_of(tmp_path / "never")
    assert len(pids) == 2
    node.stop.ask()
    with pytest.raises(CancelledError):
        under_way.result(5)
    assert not any(map(is_alive, pids))
    assert series.last(blobs, checkpoint_name(WORK))[0] == 1, "what it had kept by itself"


def test_one_that_is_killed_fails_and_the_next_try_goes_on_from_its_checkpoint(blobs, tmp_path):
    go = tmp_path / "go"
    under_way = Node(blobs, tmp_path / "one").begin(wait_for=str(go), micro_batch=1)
    (pid,) = pids_of(go)
    os.kill(pid, 9)
    with pytest.raises(RuntimeError, match="the trainer ended with code 137: it said nothing"):
        under_way.result(10)
    go.touch()
    assert Node(blobs, tmp_path / "two").train(wait_for=str(go), micro_batch=1)


def test_whatever_goes_wrong_on_our_side_the_program_ends(blobs, tmp_path):
    """No word of how far it is can be written down: a file stands where their folder should be."""
    (tmp_path / "blobs" / "markers" / "progress").write_text("a file where a folder should be")
    node = Node(blobs, tmp_path / "home")
    under_way = node.begin(wait_for=str(tmp_path / "never"))
    (pid,) = pids_of(tmp_path / "never")
    assert is_alive(pid), "a word that cannot be written down ends no training"
    node.stop.ask()
    with pytest.raises(CancelledError):
        under_way.result(10)
    assert not is_alive(pid)


def test_a_checkpoint_of_other_settings_is_left_alone_and_so_is_one_that_is_broken(blobs, tmp_path):
    settings = json.dumps({"model": "another", "micro_batch": 2})
    series.add(blobs, checkpoint_name(WORK), ModelManifest(settings=settings).SerializeToString())
    first = Node(blobs, tmp_path / "one").train()
    node = Node(blobs, tmp_path / "two")
    kept = json.loads(ModelManifest.FromString(blobs.get(first)).settings)
    gone = ModelManifest(
        settings=json.dumps(kept), files=[{"name": "a", "uri": uri_of(b"nobody stored this"), "size": 1}]
    )
    series.add(blobs, checkpoint_name(WORK), gone.SerializeToString())
    assert node.train() == first


def test_without_room_for_a_micro_batch_half_of_it_is_tried_once(blobs, tmp_path):
    uri = Node(blobs, tmp_path / "home").train(room=2)
    assert json.loads(ModelManifest.FromString(blobs.get(uri)).settings)["micro_batch"] == 2
    with pytest.raises(RuntimeError, match="out of memory"):
        Node(blobs, tmp_path / "home").train(room=1)
    with pytest.raises(RuntimeError, match="out of memory"):
        Node(blobs, tmp_path / "home").train(room=0, micro_batch=1)


def test_what_cannot_be_helped_fails_at_once_in_the_programs_own_words(blobs, tmp_path):
    with pytest.raises(Permanent, match=r"^lora_rank: 'x' is not a whole number$"):
        Node(blobs, tmp_path / "home").train(says="lora_rank: 'x' is not a whole number", code=2)
    with pytest.raises(RuntimeError, match="the trainer ended with code 3: loss is nan"):
        Node(blobs, tmp_path / "home").train(says="loss is nan", code=3)


def test_a_folder_with_another_kind_of_model_is_none(blobs, tmp_path):
    with pytest.raises(RuntimeError, match=f"left no {REWARD} in its folder, but policy"):
        Node(blobs, tmp_path / "home").train(leaves="policy")


def test_where_a_library_is_missing_it_says_what_to_install(blobs, tmp_path):
    kinds = {REWARD: ModelKind("x", extra="torch", needs="a_library_that_nobody_has")}
    with pytest.raises(Permanent, match=r"pip install 'concord-preference\[torch\]'"):
        Node(blobs, tmp_path / "home", kinds).train()
    assert all(kind.extra == "torch" and kind.needs for kind in KINDS.values() if kind.trains)


def test_several_devices_are_several_processes_that_train_together():
    alone, together = trainer.command("a.module", 1), trainer.command("a.module", 4)
    assert alone[-3:] == ["-m", "a.module", "spec.json"]
    assert together[3:] == [
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "4",
        "-m",
        "a.module",
        "spec.json",
    ]


def test_how_far_it_is_can_be_asked_while_it_trains(blobs, tmp_path):
    node, go = Node(blobs, tmp_path / "home"), tmp_path / "go"
    under_way = node.begin(wait_for=str(go))
    pids_of(go)
    seen = until(lambda: progress_of(blobs, WORK), "its first word")
    assert seen.of == 6 and seen.heard_at > 0 and not seen.HasField("mfu")
    shown = lambda name: REGISTRY.get_sample_value(f"concord_training_{name}", {"devices": "cpu"})  # noqa: E731
    assert shown("steps") == 6 and shown("mfu") is None
    go.touch()
    under_way.result(10)
    last = progress_of(blobs, WORK)
    assert (last.step, last.of, last.loss, last.tokens_a_second, last.accuracy) == (6, 6, 1 / 6, 10.5, 0.75)
    assert not last.HasField("margin"), "NaN is no margin"
    assert shown("steps") is None, "nothing is trained any more"
    assert progress_of(blobs, "another") is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "no JSON",
        "[1]",
        '{"event": "step", "step": "x", "loss": true}',
        '{"event": ["a"], "step": 1e999}',
        "[" * 99_999,
    ],
)
def test_what_is_no_progress_is_passed_over(line):
    progress = TrainingProgress()
    heard.take_in(progress, heard.said(line), 5.0)
    assert progress == TrainingProgress(heard_at=5.0)


def test_the_share_of_the_devices_that_is_used_is_heard_and_shown_by_their_names():
    progress = TrainingProgress()
    heard.take_in(
        progress, heard.said('{"event": "step", "step": 3, "of": 9, "tokens_a_second": 5.5, "mfu": 0.41}'), 5.0
    )
    with measured.shown("0,1") as show:
        show(progress)
        told = {
            name: REGISTRY.get_sample_value(f"concord_training_{name}", {"devices": "0,1"}) for name in ("step", "mfu")
        }
    assert told == {"step": 3, "mfu": 0.41}
    assert REGISTRY.get_sample_value("concord_training_step", {"devices": "0,1"}) is None


def test_gpus_are_those_that_cuda_may_see_or_those_that_are_there(tmp_path):
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert found({}, tmp_path) == ("0", "1")
    assert found({"CUDA_VISIBLE_DEVICES": "3, GPU-5"}, tmp_path) == ("3", "GPU-5")
    assert found({"CUDA_VISIBLE_DEVICES": "-1"}, tmp_path) == found({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == ()


def test_devices_are_handed_to_none_twice_and_whoever_waits_hears_a_stop():
    devices, waiting = Devices(("0", "1", "2"), 1), Devices(("0", "1"), 2)
    with devices.taken(Stop()) as one, devices.taken(Stop()) as two, devices.taken(Stop()) as three:
        assert {one["CUDA_VISIBLE_DEVICES"], two["CUDA_VISIBLE_DEVICES"], three["CUDA_VISIBLE_DEVICES"]} == {
            "0",
            "1",
            "2",
        }
    stop, ended = Stop(), threading.Event()

    def wait() -> None:
        with pytest.raises(CancelledError), waiting.taken(stop):
            pass
        ended.set()

    with waiting.taken(Stop()) as both:
        assert both == {"CUDA_VISIBLE_DEVICES": "0,1"}
        thread = threading.Thread(target=wait)
        thread.start()
        stop.ask()
        assert ended.wait(10)
        thread.join()
    with Devices((), 8).taken(Stop()) as none:
        assert none == {"CUDA_VISIBLE_DEVICES": ""}
    with pytest.raises(InvalidInput, match="CONCORD_UNIT_DEVICES=4: there are 2 GPUs here"):
        Devices(("0", "1"), 4)


def test_what_a_process_left_behind_is_removed_by_the_next_and_what_is_in_use_is_not(tmp_path):
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / ".lock").touch()
    with place(tmp_path) as one, place(tmp_path) as two:
        assert sorted(tmp_path.iterdir()) == sorted([one, two])
    assert list(tmp_path.iterdir()) == []


def test_a_series_ends_where_it_ends_however_long_it_is():
    blobs = MemoryBlobs()
    assert series.last(blobs, "progress/x") == (0, b"")
    for number in range(1, 40):
        assert series.add(blobs, "progress/x", b"%d" % number) == number
        assert series.last(blobs, "progress/x") == (number, b"%d" % number)
    assert series.add(blobs, "progress/x", b"40", after=39) == 40
    assert list(series.names(blobs, "progress/x")) == [f"progress/x.{number}" for number in range(1, 41)]


def test_knobs_are_read_as_yaml_reads_them():
    assert knobs_of(" lora_rank=8, learning_rate=1e-4 ,too_long=leave_out,", "x") == {
        "lora_rank": 8, "learning_rate": "1e-4", "too_long": "leave_out",
    }  # fmt: skip
    assert knobs_of("", "x") == {}
    for text, says in (("lora_rank", "knob=value is expected"), ("a=[", "neither a number nor a plain text")):
        with pytest.raises(InvalidInput, match=f"policy_knobs: .*{says}"):
            knobs_of(text, "policy_knobs")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lora_rnk=8", "policy_knobs: lora_rnk=8: there is no knob 'lora_rnk'; did you mean lora_rank"),
        ("lora_rank=many", "policy_knobs: lora_rank=many: lora_rank: 'many' is not a whole number"),
        ("beta=1e9", "policy_knobs: .*beta"),
        ("beta", "policy_knobs: 'beta': knob=value is expected"),
    ],
)
def test_a_knob_that_the_program_would_refuse_is_refused_before_it_runs(text, says):
    with pytest.raises(InvalidInput, match=says):
        check_knobs("concord.training.policy", text, "policy_knobs")
    check_knobs("concord.training.policy", "lora_rank=8, beta=.5,max_steps=3", "policy_knobs")
    check_knobs("concord.training.reward", "", "reward_knobs")


def test_a_folder_is_named_by_its_whole_path_and_a_name_on_the_hub_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    assert located("mine") == str(tmp_path / "mine")
    assert located("Qwen/Qwen3-0.6B") == "Qwen/Qwen3-0.6B"
    assert seed_of(2**63) < 2**31
