"""100,000 answers embedded and the pairs to label chosen: the units of EMBED and SELECT beside a straight script.

    python -m benchmarks.choose_scale [--data DIR] [--quick] [--repeats N] [--json [FILE]]

50,000 pairs of HH text (`loop.py`'s corpus), `drop-similar`, half of them kept. The script reads JSON lines, fits the same basis on
the same texts, embeds, chooses by the same rule and writes what is kept and what is left out; the units do that through their
blobs, shard by shard. Each is a process of its own with one thread; wall clock and largest resident set, in turns. What comes
out is the same pairs, or there are no figures. --quick: 1,000 pairs, one repeat.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.loop import ONE_THREAD
from benchmarks.loop_scale import peak_mb
from benchmarks.measure import asked_of, circumstances, parser_of, ratio, spread, write

ROOT = Path(__file__).resolve().parent.parent
PAIRS, QUICK_PAIRS, SHARD, SEED, SHARE, COMPONENTS = 50_000, 1_000, 256, 0, 0.5, 256
TEXTS = 20_000


def prepare(folder: Path, pairs: int) -> None:
    """The same pairs as JSON lines and as shards in blobs."""
    from benchmarks import loop
    from concord.kit.blobs import FileBlobs
    from concord.preference import shards

    blobs, rows = FileBlobs(folder / "blobs"), loop.job_of("virtual", pairs).given.rows
    with (folder / "pairs.jsonl").open("w") as lines:
        for row in rows:
            pair = row.pair
            lines.write(json.dumps({"id": pair.pair_id, "first": pair.first.text, "second": pair.second.text}) + "\n")
    cut = range(0, len(rows), SHARD)
    refs = [shards.put_shard(at, [row.pair for row in rows[at : at + SHARD]], blobs.put) for at in cut]
    (folder / "pairs.uri").write_text(shards.put_manifest(refs, len(rows), blobs.put))


def units(folder: Path) -> list[str]:
    """The pairs that the services' own units keep."""
    from concord.kit.blobs import FileBlobs
    from concord.scoring.units import Units
    from concord.triage.service import Triage
    from concord.v1.config_pb2 import RunConfig
    from concord.v1.events_pb2 import Event, StageManifest
    from concord.v1.pairs_pb2 import PairShard, PairsManifest
    from concord.v1.work_pb2 import Work

    blobs, uri = FileBlobs(folder / "blobs"), (folder / "pairs.uri").read_text()
    config = RunConfig(seed=SEED, components=COMPONENTS, shard_pairs=SHARD, select="drop-similar", select_share=SHARE)
    work = Work(config=config, pairs_uri=uri)
    scoring = Units(blobs)

    def asked(unit: str, **task: object) -> Work:
        made = Work()
        made.CopyFrom(work)
        getattr(made, unit).SetInParent()
        for name, value in task.items():
            setattr(getattr(made, unit), name, value)
        return made

    basis = scoring.do(asked("fit_features", max_texts=TEXTS)).features_fitted.basis_uri
    embedded: list[Event] = []
    for ref in PairsManifest.FromString(blobs.get(uri)).shards:
        embedded.append(scoring.do(asked("embed_shard", shard_uri=ref.uri, basis_uri=basis)))
    closed = blobs.put(StageManifest(events=embedded).SerializeToString())
    chosen = Triage(blobs).do(asked("select_pairs", embeddings_uri=closed)).pairs_selected
    kept = (PairShard.FromString(blobs.get(ref.uri)) for ref in chosen.shards)
    return [pair.pair_id for shard in kept for pair in shard.pairs]


def script(folder: Path) -> list[str]:
    """The same by a straight script."""
    from concord.reward import features
    from concord.triage.dissimilarity import Candidates, choose

    path = folder / "pairs.jsonl"
    with path.open() as lines:
        count = sum(1 for _ in lines)
    drawn = set(np.random.default_rng([SEED, 1]).choice(count, min(count, TEXTS // 2), replace=False).tolist())
    texts = [text for at, row in enumerate(_read(path)) if at in drawn for text in (row["first"], row["second"])]
    basis = features.fit(texts, COMPONENTS, SEED)
    del texts
    cosine, length, batch = [], [], list[dict]()

    def embed() -> None:
        first, second = ([row[side] for row in batch] for side in ("first", "second"))
        vectors = features.embeddings(basis, [*first, *second]).astype(np.float16).astype(np.float32)
        said = [bool(a.strip()) and bool(b.strip()) for a, b in zip(first, second, strict=True)]
        alike = (vectors[: len(batch)] * vectors[len(batch) :]).sum(axis=1)
        cosine.append(np.where(said, alike, np.nan))
        log = np.array([np.log1p(len(a)) - np.log1p(len(b)) for a, b in zip(first, second, strict=True)], np.float32)
        length.append(log.astype(float))

    for row in _read(path):
        batch.append(row)
        if len(batch) == SHARD:
            embed()
            batch.clear()
    if batch:
        embed()
    alike = np.concatenate(cosine)
    chosen = choose(Candidates(np.arange(count), alike, np.concatenate(length)), "drop-similar", SEED, share=SHARE)
    names = []
    with (folder / "kept.jsonl").open("w") as kept, (folder / "left.jsonl").open("w") as left:
        for row, keep, why in zip(_read(path), chosen.kept, chosen.why, strict=True):
            if keep:
                names.append(row["id"])
                kept.write(json.dumps(row) + "\n")
            else:
                left.write(json.dumps({"pair_id": row["id"], "why": why}) + "\n")
    return names


def _read(path: Path) -> Iterator[dict]:
    with path.open() as lines:
        yield from map(json.loads, lines)


WAYS = {"units": units, "script": script}


def in_process(folder: Path, way: str) -> dict:
    """Seconds, largest resident set in MB and the pairs kept, of one way in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.choose_scale", "--way", way, "--folder", str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | ONE_THREAD)
    return json.loads(done.stdout)


def carried_out(way: str, folder: Path) -> None:
    """One way in this process; its figures on standard output."""
    began = time.perf_counter()
    names = WAYS[way](folder)
    took = time.perf_counter() - began
    # Not getrusage's: that holds what the process was before it became this program.
    peak = peak_mb(os.getpid())
    print(json.dumps({"seconds": took, "peak_mb": peak, "kept": names}))


def main() -> None:
    parser = parser_of(__doc__, "1,000 pairs, one repeat")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help="one way alone, on what lies in --folder")
    parser.add_argument("--folder", type=Path)
    asked = asked_of(parser)
    if asked.way:
        return carried_out(asked.way, asked.folder)
    pairs, repeats = (QUICK_PAIRS, 1) if asked.quick else (PAIRS, asked.repeats)
    found: dict[str, list[dict]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory(prefix="choose-") as name:
        prepare(Path(name), pairs)
        for turn in range(repeats):
            for way in sorted(WAYS, reverse=bool(turn % 2)):
                found[way].append(in_process(Path(name), way))
    kept = {tuple(one.pop("kept")) for ones in found.values() for one in ones}
    if len(kept) != 1:
        sys.exit("the units and the script keep different pairs: there is nothing to compare")
    figures = circumstances({"pairs": pairs, "share": SHARE, "blas_threads": 1}) | {"kept": len(kept.pop())}
    for measure in ("seconds", "peak_mb"):
        ours, theirs = ([one[measure] for one in found[way]] for way in ("units", "script"))
        figures[measure] = {"units": spread(ours), "script": spread(theirs), "ratio": ratio(ours, theirs)}
        print(f"{measure}: units {spread(ours)}, script {spread(theirs)}, ratio {ratio(ours, theirs)}")
    if asked.json:
        write(asked.json, figures)


if __name__ == "__main__":
    main()
