"""How long a backup and its restoration take, beside copying the same files and beside a plain read of the log.

    python -m benchmarks.restore [--quick] [--json [FILE]]

A home with 100,000 facts of one run (facts.py) and 2,000 blobs of 100 KB. `first` is `concord backup` to an empty folder, `again`
the same with nothing new, `restore` puts it into an empty home, `refold` is what services do then, and `cp` copies the files alone,
without looking at what is in them.
"""

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.facts import facts
from benchmarks.measure import asked_of, circumstances, parser_of, seconds, show, spread, write
from concord.kit.log import Entry
from concord.kit.log.topics import FACTS, fact_partition
from concord.kit.settings import Settings, from_environment, open_blobs, open_log
from concord.operate import backup, run_log
from concord.v1.events_pb2 import Event

SEED = 7
PAIRS_A_FACT = 6
BATCH = 500
BLOB_BYTES = 100_000


def home(folder: Path) -> Settings:
    return from_environment({}, home=str(folder))


def filled(settings: Settings, values: Sequence[bytes], blobs: int) -> str:
    """The run's id; its facts and as many random blobs stand in the home."""
    run_id = Event.FromString(values[0]).run_id
    with closing(open_log(settings)) as log:
        for at in range(0, len(values), BATCH):
            part = values[at : at + BATCH]
            log.append([Entry(FACTS, fact_partition(run_id), run_id.encode(), value) for value in part])
    store, rng = open_blobs(settings), np.random.default_rng(SEED)
    for _ in range(blobs):
        store.put(rng.bytes(BLOB_BYTES))
    return run_id


def measured(values: Sequence[bytes], blobs: int, repeats: int) -> dict[str, dict[str, float]]:
    """Seconds of each step, over the repeats."""
    taken: dict[str, list[float]] = {name: [] for name in ("first", "again", "restore", "refold", "cp")}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = home(folder / "home")
        run_id = filled(settings, values, blobs)
        for at in range(repeats):
            copy, new = folder / f"copy{at}", home(folder / f"new{at}")
            taken["first"].append(seconds(lambda copy=copy: backup.made(settings, copy)))
            taken["again"].append(seconds(lambda copy=copy: backup.made(settings, copy)))
            taken["restore"].append(seconds(lambda copy=copy, new=new: backup.restored(copy, new)))
            with closing(open_log(new)) as log:
                taken["refold"].append(seconds(lambda log=log: run_log.fold(log, run_id)))
            taken["cp"].append(seconds(lambda at=at: shutil.copytree(folder / "home", folder / f"cp{at}")))
            for gone in (copy, Path(new.home), folder / f"cp{at}"):
                shutil.rmtree(gone)
    return {name: spread(each) for name, each in taken.items()}


def main() -> None:
    parser = parser_of(__doc__, "a twentieth of the facts and blobs")
    parser.add_argument("--repeats", type=int, default=3)
    asked = asked_of(parser)
    count, blobs = (5_000, 100) if asked.quick else (100_000, 2_000)
    values = list(islice(facts(count * PAIRS_A_FACT, SEED), count))
    settings = {"facts": count, "blobs": blobs, "bytes_a_blob": BLOB_BYTES, "seed": SEED}
    figures = circumstances(settings) | {"seconds": measured(values, blobs, asked.repeats)}
    show(f"Backup and restoration of {count:,} facts and {blobs:,} blobs", figures["seconds"], "s")
    if asked.json:
        write(asked.json, figures)


if __name__ == "__main__":
    main()
