"""How fast a run's state comes out of the log, beside its own floor and beside pyeventsourcing's aggregate replay.

    python -m benchmarks.replay [--data DIR] [--quick] [--json [FILE]]

100,000 facts of one run (facts.py: the state machines' own, 6 % of 600,000 pairs answered), in a SQLite log. `ours` is
what `concord replay` does: read the partition, keep the run's records, decode, drop duplicates, chain the history's hash,
evolve. `bare` has the same bytes in memory, decodes them and calls the same `evolve`: no log, no duplicates, no hash.
pyeventsourcing reads one aggregate of as many small events from its own SQLite tables.
"""

import gc
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from benchmarks.facts import SHARD, facts, kinds
from benchmarks.measure import asked_of, circumstances, interleaved, parser_of, ratio, seconds, show, spread, write
from concord.kit.log import Entry
from concord.kit.log.sqlite import SqliteLog
from concord.kit.log.topics import FACTS, fact_partition
from concord.operate import run_log
from concord.runs import service as runs
from concord.v1.events_pb2 import Event

SEED = 7
PAIRS_A_FACT = 6
BATCH = 500
WANTED = {"bare decode and fold": 0.5, "eventsourcing, aggregate": 1.0}


class Replay:
    """The sides; each returns facts a second."""

    def __init__(self, folder: Path, values: Sequence[bytes]) -> None:
        self._values = values
        self._run_id = Event.FromString(values[0]).run_id
        place, key = fact_partition(self._run_id), self._run_id.encode()
        self._log = SqliteLog(folder / "log.sqlite")
        for at in range(0, len(values), BATCH):
            self._log.append([Entry(FACTS, place, key, value) for value in values[at : at + BATCH]])
        self._folder, self._aggregate = folder, None

    def ours(self) -> float:
        """Facts a second of `history.fold`, which reads, hashes and folds; more is better, as everywhere here."""

        def replay() -> None:
            assert len(run_log.fold(self._log, self._run_id).ids) == len(self._values)

        return self._rate(replay)

    def bare(self) -> float:
        """Facts a second of decoding and folding alone, from memory, without reading and checking."""
        fold = runs.fold()

        def replay() -> None:
            decoded = [(Event.FromString(value), 1.7e9) for value in self._values]
            fold.evolve(fold.initial(self._run_id), decoded)

        return self._rate(replay)

    def eventsourcing(self) -> float:
        """Events a second of its repository, which reads, decodes and applies as many events to an aggregate."""
        application, run_id = self._aggregate or self._save_aggregate()

        def replay() -> None:
            assert application.repository.get(run_id).version == len(self._values) + 1

        return self._rate(replay)

    def _save_aggregate(self):
        from eventsourcing.application import Application
        from eventsourcing.domain import Aggregate, event

        class LabelledRun(Aggregate):
            def __init__(self) -> None:
                self.labels: dict[int, int] = {}

            @event("Labelled")
            def label(self, pair: int, choice: int, confidence: float) -> None:
                self.labels[pair] = choice

        path = str(self._folder / "eventsourcing.sqlite")
        application = Application(env={"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": path})
        run = LabelledRun()
        for pair in range(len(self._values)):
            run.label(pair, pair % 2, 0.75)
            if pair % BATCH == BATCH - 1:
                application.save(run)
        application.save(run)
        self._aggregate = application, run.id
        return self._aggregate

    def _rate(self, replay) -> float:
        gc.collect()
        return len(self._values) / seconds(replay)


def main() -> None:
    given = asked_of(parser_of(__doc__, "a tenth of the facts, three repeats"))
    count, repeats = (10_000, 3) if given.quick else (100_000, 9)
    values = list(islice(facts(count * PAIRS_A_FACT, SEED), count))
    settings = {
        "facts": count,
        "mix": kinds(values),
        "pairs": count * PAIRS_A_FACT,
        "pairs_a_shard": SHARD,
        "bytes_a_fact": sum(map(len, values)) / count,
        "folded_at_once": run_log.BATCH,
        "seed": SEED,
        "sqlite": "WAL, synchronous=FULL",
        "folder": tempfile.gettempdir(),
    }
    figures = circumstances(settings)
    with tempfile.TemporaryDirectory() as folder:
        replay = Replay(Path(folder), values)
        measures = {
            "ours": replay.ours,
            "bare decode and fold": replay.bare,
            "eventsourcing, aggregate": replay.eventsourcing,
        }
        found = interleaved(measures, repeats)
    show("Replay", {name: spread(rates) for name, rates in found.items()}, "facts/s")
    ratios = {name: ratio(found["ours"], found[name]) for name in WANTED}
    show("  ours divided by", ratios, "times")
    figures |= {
        "facts_per_second": {name: spread(rates) for name, rates in found.items()},
        "ours_divided_by": {
            n: row | {"wanted": WANTED[n], "met": row["median"] >= WANTED[n]} for n, row in ratios.items()
        },
    }
    if given.json:
        write(given.json, figures)


if __name__ == "__main__":
    main()
