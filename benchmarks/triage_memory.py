"""What a process of triage holds at most: one, two and four units at once, each of another run of 100,000 pairs.

    python -m benchmarks.triage_memory [--pairs 100000] [--quick] [--json [FILE]]

The runs are made up but as large as real ones: features of 256 components, verdicts of a judge in both orders and of a helper,
people's answers to a tenth of the pairs in four rounds, texts of 2 KB a pair. Each measure is a process of its own, with all that
a service's process imports; its units begin together, in threads, as the worker's do. Peaks are the kernel's (VmHWM).
"""

import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np

from benchmarks.measure import asked_of, circumstances, parser_of, show, spread, write
from concord import process
from concord.kit.arrays import pack
from concord.kit.blobs import FileBlobs
from concord.kit.ids import run_id
from concord.triage.service import Triage
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Event, Stage, StageManifest, TaskOutcome
from concord.v1.pairs_pb2 import Choice, Pair, PairShard, PairsManifest, Response, ShardRef
from concord.v1.work_pb2 import Work

SHARD, DIMENSIONS, ROUNDS, ASKED = 64, 256, 4, 0.1
UNITS = (1, 2, 4)
KINDS = ("triage_round", "build_dataset")
TEXT = "So it is said here, and said again in other words. " * 20


def texts(blobs: FileBlobs, pairs: int) -> str:
    """URI of the manifest of a run's pairs."""
    manifest = PairsManifest(pairs=pairs)
    for first in range(0, pairs, SHARD):
        count = min(SHARD, pairs - first)
        made = [
            Pair(pair_id=str(at), first=Response(text=f"{at} {TEXT}"), second=Response(text=f"{TEXT} {at}"))
            for at in range(first, first + count)
        ]
        shard = PairShard(first_index=first, pairs=made)
        manifest.shards.add(uri=blobs.put(shard.SerializeToString()), first_index=first, pairs=count)
    return blobs.put(manifest.SerializeToString())


def stage(blobs: FileBlobs, events: list[Event], **more: Any) -> str:
    return blobs.put(StageManifest(events=events, **more).SerializeToString())


def run_of(blobs: FileBlobs, refs: list[ShardRef], pairs: int, seed: int) -> dict[str, Work]:
    """The work items of one run's last round and of its dataset; a run of its own by its seed."""
    draw = np.random.default_rng(seed)
    labels, features, scores = [], [], []
    truth = draw.random(pairs) < 0.5
    for ref in refs:
        count, where = ref.pairs, slice(ref.first_index, ref.first_index + ref.pairs)
        said = truth[where] ^ (draw.random(count) < 0.15)
        drawn = draw.random((4, count)).astype(np.float32)
        labels.append(
            Event(
                shard_labeled={
                    "pair_index": range(where.start, where.stop),
                    "choice": [Choice.CHOICE_FIRST if one else Choice.CHOICE_SECOND for one in said],
                    "p_first": drawn[0],
                    "confidence": drawn[1],
                    "order_flipped": (drawn[2] < 0.2).astype(int),
                    "own_disagree": [-1.0] * count,
                    "length_difference": drawn[3] - 0.5,
                    "helpers": [{"judge": "helper", "disagree": drawn[2]}],
                }
            )
        )
        x = draw.normal(size=(count, DIMENSIONS)).astype(np.float16)
        group = np.arange(where.start, where.stop, dtype=np.uint64)
        content = pack({"x": x, "group": group, "domain": np.zeros(count, np.int64)})
        features.append(Event(shard_featurised={"features_uri": blobs.put(content), "pairs": count}))
        scores.append(Event(shard_scored={"first_index": where.start, "margin": draw.normal(size=count)}))
    asked = draw.permutation(pairs)[: int(ASKED * pairs)]
    answers = []
    for round_, part in enumerate(np.array_split(asked, ROUNDS), 1):
        resolved = [_answered(number, int(pair), bool(truth[pair])) for number, pair in enumerate(part)]
        audit, p_ask = [bool(n % 2) for n in range(len(part))], [0.1] * len(part)
        answers.append(
            stage(
                blobs,
                resolved,
                stage=Stage.STAGE_ANNOTATE,
                round=round_,
                pair_indexes=part.tolist(),
                audit=audit,
                p_ask=p_ask,
            )
        )
    manifest = PairsManifest(pairs=pairs, shards=refs)
    common = {
        "run_id": run_id(f"triage memory {seed}", b""),
        "pairs_uri": blobs.put(manifest.SerializeToString()),
        "config": RunConfig(method="posterior", seed=seed, quorum=1, human_weight=2, folds=5, components=DIMENSIONS),
    }
    labels_uri = stage(blobs, labels)
    round_ = {"features_uri": stage(blobs, features), "scores_uri": stage(blobs, scores), "ask": pairs // 40}
    both = {"labels_uri": labels_uri, "annotation_uris": answers}
    work = {
        "triage_round": Work(**common, unit={"stage": Stage.STAGE_TRIAGE, "round": 5}, triage_round=both | round_),
        "build_dataset": Work(**common, unit={"stage": Stage.STAGE_DATASET}, build_dataset=both),
    }
    return work


def _answered(number: int, pair: int, first: bool) -> Event:
    choice = Choice.CHOICE_FIRST if first else Choice.CHOICE_SECOND
    said = {"pair_index": pair, "outcome": TaskOutcome.TASK_OUTCOME_DECIDED, "choice": choice, "choices": [choice]}
    said |= {"annotation_ids": [run_id(str(pair), b"")], "annotators": [f"person-{pair % 20}"]}
    return Event(unit={"stage": Stage.STAGE_ANNOTATE, "number": number}, task_resolved=said)


def measure(home: Path, kind: str, units: int) -> None:
    """In a process of its own: does the units at once and says the peak in MB; with no unit what the process has by itself."""
    assert process.Running, "a service's process imports it"
    triage, together = Triage(FileBlobs(home / "blobs")), Barrier(max(1, units))
    works = [Work.FromString((home / f"{kind}-{at}").read_bytes()) for at in range(units)]

    def do(work: Work) -> Event:
        together.wait()
        return triage.do(work)

    with ThreadPoolExecutor(max(1, units)) as pool:
        done = list(pool.map(do, works))
    assert all(event.HasField("round_triaged") or event.HasField("dataset_built") for event in done)
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    print(int(found[1]) / 1024)


def peak(home: Path, kind: str, units: int) -> float:
    """Peak resident memory of one process, in MB."""
    command = [sys.executable, "-m", "benchmarks.triage_memory", "--measure", str(home), kind, str(units)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    return float(done.stdout)


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        return measure(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    parser = parser_of(__doc__, "2,000 pairs, one repeat")
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    asked = asked_of(parser)
    pairs, repeats = (2_000, 1) if asked.quick else (asked.pairs, asked.repeats)
    # As deployed: a thread of BLAS would add its own buffers.
    os.environ |= {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    figures = circumstances({"pairs": pairs, "repeats": repeats, "dimensions": DIMENSIONS, "asked": ASKED})
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        blobs = FileBlobs(home / "blobs")
        refs = list(PairsManifest.FromString(blobs.get(texts(blobs, pairs))).shards)
        for seed in range(max(UNITS)):
            for kind, work in run_of(blobs, refs, pairs, seed).items():
                (home / f"{kind}-{seed}").write_bytes(work.SerializeToString())
        peaks: dict[str, dict[str, Any]] = {"no unit": {"0": spread([peak(home, KINDS[0], 0) for _ in range(repeats)])}}
        for kind in KINDS:
            peaks[kind] = {str(n): spread([peak(home, kind, n) for _ in range(repeats)]) for n in UNITS}
    for kind, rows in peaks.items():
        show(f"{kind}, peak by units at once", rows, "MB")
    if asked.json:
        write(asked.json, {**figures, "peak_mb_by_units_at_once": peaks})


if __name__ == "__main__":
    main()
