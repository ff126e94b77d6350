"""Memory does not follow the volume of the texts: each unit in a process of its own, on short texts and on long ones."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from concord.kit.blobs import FileBlobs
from concord.labeling.service import Labeling
from concord.tasks.queue import TasksState
from concord.tasks.texts import Texts
from concord.triage.service import Triage
from concord.v1.config_pb2 import JudgeConfig, RunConfig
from concord.v1.events_pb2 import Event, ShardLabeled, StageManifest
from concord.v1.pairs_pb2 import Choice, PairShard, PairsManifest, ShardRef
from concord.v1.snapshot_pb2 import TasksSnapshot
from concord.v1.work_pb2 import BuildDataset, LabelShard, Work
from tests.small_pairs import pair

pytestmark = pytest.mark.slow


SHARDS, PAIRS = 128, 8
SHORT, LONG = 100, 32_000  # characters of each response; together 0.2 and 64 MB
ALL = SHARDS * PAIRS
CONFIG = RunConfig(human_weight=2, components=4, judge=JudgeConfig(kind="recorded", name="none"))


def store(blobs: FileBlobs, characters: int) -> tuple[PairsManifest, str]:
    """A run's pairs, and their manifest's URI."""
    manifest = PairsManifest(pairs=ALL)
    for first in range(0, ALL, PAIRS):
        texts = [
            (f"{at} yes ".ljust(characters, "a"), f"{at} no ".ljust(characters, "b"))
            for at in range(first, first + PAIRS)
        ]
        shard = PairShard(first_index=first, pairs=[pair(*both) for both in texts])
        manifest.shards.append(ShardRef(uri=blobs.put(shard.SerializeToString()), first_index=first, pairs=PAIRS))
    return manifest, blobs.put(manifest.SerializeToString(deterministic=True))


def dataset(blobs: FileBlobs, manifest: PairsManifest, uri: str) -> None:
    labeled = ShardLabeled(
        pair_index=range(ALL), choice=[Choice.CHOICE_FIRST] * ALL, p_first=[0.9] * ALL, confidence=[0.9] * ALL
    )
    labels = blobs.put(StageManifest(events=[Event(shard_labeled=labeled)]).SerializeToString())
    Triage(blobs).do(Work(pairs_uri=uri, config=CONFIG, build_dataset=BuildDataset(labels_uri=labels)))


def pilot(blobs: FileBlobs, manifest: PairsManifest, uri: str) -> None:
    """One pair of each shard."""
    task = LabelShard(shard_uris=[shard.uri for shard in manifest.shards], pair_indexes=range(0, ALL, PAIRS))
    labels = asyncio.run(Labeling(blobs, "", 1, {}).do(Work(config=CONFIG, label_shard=task))).shard_labeled
    assert list(labels.pair_index) == list(range(0, ALL, PAIRS))


def labels(blobs: FileBlobs, manifest: PairsManifest, uri: str) -> None:
    """Shard after shard."""

    async def all_of_them() -> None:
        for shard in manifest.shards:
            await labeling.do(Work(config=CONFIG, label_shard=LabelShard(shard_uris=[shard.uri])))

    labeling = Labeling(blobs, "", 1, {})
    asyncio.run(all_of_them())


def questions(blobs: FileBlobs, manifest: PairsManifest, uri: str) -> None:
    """People are shown pairs from everywhere."""
    texts = Texts(blobs)
    for index in range(0, ALL, PAIRS):
        assert texts.pair(TasksState("", TasksSnapshot(pairs_uri=uri)), index).first.text.startswith(f"{index} yes")


UNITS = {"dataset": dataset, "pilot": pilot, "labels": labels, "questions": questions}


def peak_mb(unit: str, folder: Path, uri: str) -> float:
    """Largest resident set of a process that does just this."""
    root = str(Path(__file__).parent.parent)
    paths = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.test_memory", unit, str(folder), uri]
    return float(
        subprocess.run(command, env=environment, cwd=root, check=True, stdout=subprocess.PIPE, text=True).stdout
    )


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> dict[int, tuple[Path, str]]:
    folder = tmp_path_factory.mktemp("texts")
    return {size: (folder / str(size), store(FileBlobs(folder / str(size)), size)[1]) for size in (SHORT, LONG)}


@pytest.mark.parametrize("unit", UNITS)
def test_64_mb_more_text_cost_less_than_a_third_as_much_memory(unit, stored):
    short, long = (peak_mb(unit, *stored[size]) for size in (SHORT, LONG))
    assert long - short < 64 / 3, f"{short:.0f} MB with short texts, {long:.0f} MB with long ones"


if __name__ == "__main__":
    kept = FileBlobs(Path(sys.argv[2]))
    UNITS[sys.argv[1]](kept, PairsManifest.FromString(kept.get(sys.argv[3])), sys.argv[3])
    # Not ru_maxrss, which begins with what the parent held when it forked.
    status = Path("/proc/self/status").read_text().splitlines()
    print(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024)
