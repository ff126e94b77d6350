"""The facts of one run of any size, made by the real state machines from invented results: what a replay reads.

Stages, units, ids, order and manifests are what `due` of runs and tasks says; only what units and people answer is drawn
at random, in the shape that workers give it: a labelled shard holds 64 pairs with every column, a score 64 margins.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from concord.kit.ids import event_id, result_id, run_id, unit_name, uri_of
from concord.kit.log import Record
from concord.kit.loop.fold import Append, Context, Dispatch, Fold, fold_records, start_run
from concord.runs import service as runs
from concord.tasks import service as tasks
from concord.tasks.queue import TasksState
from concord.v1.config_pb2 import JudgeConfig, RunConfig
from concord.v1.events_pb2 import Event, Usage
from concord.v1.pairs_pb2 import Choice, ShardRef

SHARD = 64
CHOICES = (Choice.CHOICE_FIRST, Choice.CHOICE_SECOND)
CONFIG = RunConfig(
    method="posterior",
    judge=JudgeConfig(kind="llm", name="judge", both_orders=True),
    annotators="recorded",
    quorum=1,
    pilot=-1,
    human_budget_share=0.06,
    batch_share=0.01,
    audit_share=0.1,
    folds=4,
    shard_pairs=SHARD,
    window=16,
    components=256,
)


def facts(pairs: int, seed: int) -> Iterator[bytes]:
    """The run's facts in order, as they would stand in the log."""
    return _World(pairs, seed).say_all()


def kinds(values: Sequence[bytes]) -> dict[str, int]:
    """How many facts of each kind."""
    return dict(Counter(Event.FromString(value).WhichOneof("kind") for value in values).most_common())


class _World:
    def __init__(self, pairs: int, seed: int) -> None:
        self.pairs, self.draw, self.offset = pairs, np.random.default_rng(seed), 0
        self.run_id = run_id(f"{pairs}/{seed}", CONFIG.SerializeToString(deterministic=True))
        self.runs, self.tasks = start_run(runs.fold(), self.run_id), start_run(tasks.fold(), self.run_id)
        self.issued: dict[str, float] = {}

    def say_all(self) -> Iterator[bytes]:
        """Every fact until no more is due, each said from what was folded before it."""
        yield from self._fold(self._beginning())
        while runs.fold().active(self.runs.state):
            said = [self._answered(output) for output in self._due(runs.fold(), self.runs)]
            yield from self._fold(said or self._annotations())
            while resolved := [
                output.event for output in self._due(tasks.fold(), self.tasks) if isinstance(output, Append)
            ]:
                yield from self._fold(resolved)

    def _due(self, fold: Fold, folded) -> Sequence[Append | Dispatch]:
        outputs = fold.due(folded.state, Context(float(self.offset), self.issued, folded.offset, folded.history.hex()))
        self.issued |= {output.work.work_id: 1e18 for output in outputs if isinstance(output, Dispatch)}
        return outputs

    def _fold(self, events: Sequence[Event]) -> Iterator[bytes]:
        records = []
        for event in events:
            event.run_id = self.run_id
            value = event.SerializeToString(deterministic=True)
            records.append(Record("facts", 0, self.offset, b"", value, 1.7e9 + self.offset))
            self.offset += 1
            yield value
        self.runs, _ = fold_records(runs.fold(), self.runs, records)
        self.tasks, _ = fold_records(tasks.fold(), self.tasks, records)

    def _beginning(self) -> list[Event]:
        added = []
        for at in range(0, self.pairs, 64 * SHARD):
            refs = [self._shard(first) for first in range(at, min(at + 64 * SHARD, self.pairs), SHARD)]
            added.append(Event(event_id=event_id(self.run_id, "pairs", at), pairs_added={"shards": refs}))
        budget = round(CONFIG.human_budget_share * self.pairs)
        started = {"pairs_uri": uri_of(b"pairs"), "pairs": self.pairs, "human_budget": budget}
        created = {"config": CONFIG, "input_sha256": "0" * 64, "input_name": "invented"}
        return [
            Event(event_id=event_id(self.run_id, "created"), run_created=created),
            *added,
            Event(event_id=event_id(self.run_id, "started"), run_started=started),
        ]

    def _shard(self, first: int) -> ShardRef:
        uri = uri_of(str(first).encode())
        return ShardRef(uri=uri, first_index=first, pairs=min(SHARD, self.pairs - first), text_bytes=80_000)

    def _answered(self, output: Append | Dispatch) -> Event:
        """What the worker makes of the unit."""
        if isinstance(output, Append):
            return output.event
        work = output.work
        event = UNITS[work.WhichOneof("task")](self, work)
        event.event_id = result_id(self.run_id, work.unit)
        event.unit.CopyFrom(work.unit)
        return event

    def _label(self, work) -> Event:
        indexes = list(work.label_shard.pair_indexes) or self._indexes(work.unit.number)
        count = len(indexes)
        # People answer "first" everywhere, so that they agree with the judge on three pairs of four.
        p_first = np.where(self.draw.random(count) < 0.75, 1, -1) * 0.5 * self.draw.random(count) + 0.5
        columns = {
            "pair_index": indexes,
            "choice": [CHOICES[int(p < 0.5)] for p in p_first],
            "p_first": p_first,
            "confidence": np.maximum(p_first, 1 - p_first),
            "order_flipped": (self.draw.random(count) < 0.15).astype(int),
            "own_disagree": [-1.0] * count,
            "verified": [0] * count,
            "length_difference": self.draw.standard_normal(count),
        }
        used = Usage(
            calls=2 * count, prompt_tokens=1_200 * count, completion_tokens=80 * count, dollars=0.01, seconds=9.5
        )
        return Event(shard_labeled=columns, usage=used)

    def _indexes(self, number: int) -> list[int]:
        return list(range(number * SHARD, min((number + 1) * SHARD, self.pairs)))

    def _fit(self, work) -> Event:
        fitted = {"basis_uri": self._uri(), "texts": 20_000, "dimensions": 268}
        return Event(features_fitted=fitted, usage=Usage(seconds=8.1))

    def _features(self, work) -> Event:
        made = {"features_uri": self._uri(), "pairs": len(self._indexes(work.unit.number))}
        return Event(shard_featurised=made, usage=Usage(seconds=0.02))

    def _fold_trained(self, work) -> Event:
        trained = {"fold": work.unit.number, "model_uri": self._uri(), "pairs": self.pairs * 3 // 4}
        return Event(fold_trained=trained, usage=Usage(seconds=2.0))

    def _score(self, work) -> Event:
        first = work.score_shard.first_index
        margin = self.draw.standard_normal(len(self._indexes(work.unit.number)))
        return Event(shard_scored={"first_index": first, "margin": margin}, usage=Usage(seconds=0.01))

    def _triage(self, work) -> Event:
        asked = self.draw.choice(self.pairs, work.triage_round.ask, replace=False)
        signals = [
            {"signal": f"signal {n}", "value": float(value)} for n, value in enumerate(self.draw.standard_normal(12))
        ]
        decided = {
            "asked": asked,
            "p_ask": np.full(len(asked), 0.3),
            "audit": self.draw.random(len(asked)) < 0.1,
            "posterior_uri": self._uri(),
            "trust": 2,
            "flipped": 900,
            "coefficients": signals,
            "expected_error": 0.1,
        }
        return Event(round_triaged=decided, usage=Usage(seconds=1.0))

    def _final(self, work) -> Event:
        return Event(final_trained={"model_uri": self._uri(), "pairs": self.pairs}, usage=Usage(seconds=3.0))

    def _dataset(self, work) -> Event:
        built = {"dataset_uri": self._uri(), "dataset_sha256": "0" * 64, "rows": self.pairs}
        return Event(dataset_built=built, usage=Usage(seconds=4.0))

    def _uri(self) -> str:
        return uri_of(self.draw.bytes(8))

    def _annotations(self) -> list[Event]:
        """Eight people's next answers."""
        state: TasksState = self.tasks.state
        if not state.tasks:
            raise RuntimeError(f"the run stands still: {self.runs.state.view}")
        waiting = [task for task in state.tasks.values() if not task.resolved][:8]
        return [self._annotation(task, f"annotator-{at}") for at, task in enumerate(waiting)]

    def _annotation(self, task, annotator: str) -> Event:
        said = {
            "pair_index": task.pair_index,
            "annotator": annotator,
            "revision": 1,
            "vote": 0,
            "choice": Choice.CHOICE_FIRST,
            "seconds": 21.5,
        }
        own = event_id(self.run_id, f"judged/{annotator}/1", unit_name(task.unit))
        return Event(event_id=own, unit=task.unit, annotation_submitted=said)


UNITS = {
    "label_shard": _World._label,
    "fit_features": _World._fit,
    "featurise_shard": _World._features,
    "train_fold": _World._fold_trained,
    "score_shard": _World._score,
    "triage_round": _World._triage,
    "train_final": _World._final,
    "build_dataset": _World._dataset,
}
