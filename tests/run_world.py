"""One run folded in memory for the tests of the loop: facts go in, what is due comes out, no cluster around it."""

from collections.abc import Callable, Iterable

from concord.kit.ids import event_id, result_id, run_id, unit_name
from concord.kit.log import Record
from concord.kit.log.topics import FACTS
from concord.kit.loop.fold import Append, Context, Dispatch, Fold, Folded, fold_records, start_run
from concord.preference.budget import human_budget
from concord.runs import service as runs
from concord.v1.config_pb2 import JudgeConfig, RunConfig
from concord.v1.events_pb2 import Event, PairsSelected, Stage, StageManifest, TaskOutcome
from concord.v1.pairs_pb2 import Choice, ShardRef
from concord.v1.runs_service_pb2 import RunView
from concord.v1.work_pb2 import Work

RUN = run_id("input", b"config")
SHARD_PAIRS = 4
MADE_PAIRS = 6


def config(**more: object) -> RunConfig:
    """A small run of the method `random`; `more` overrules."""
    base = {
        "method": "random",
        "seed": 7,
        "quorum": 1,
        "human_budget": 6,
        "pilot": 0,
        "batch_share": 0.15,
        "folds": 2,
        "shard_pairs": SHARD_PAIRS,
        "window": 8,
        "components": 1,
        "judge": JudgeConfig(kind="sample"),
    }
    return RunConfig(**{**base, **more})


class FoldedRun:
    """The runs service's fold of one run, and a log of its facts; blobs are kept by hash."""

    def __init__(self, given: RunConfig, pairs: int = 20, start: bool = True, fold: Fold | None = None) -> None:
        self.fold = fold or runs.fold(reissue_after_s=120.0)
        self.records: list[Record] = []
        self.folded: Folded = start_run(self.fold, RUN)
        self.now = 1_000.0
        self.issued: dict[str, float] = {}
        self.blobs: dict[str, bytes] = {}
        self.say("created", run_created={"config": given})
        self.say("pairs", pairs_added={"shards": shards_of(pairs)})
        if start:
            budget = human_budget(given, pairs)
            self.say("started", run_started={"pairs_uri": "pairs", "pairs": pairs, "human_budget": budget})

    @property
    def state(self):
        return self.folded.state

    @property
    def view(self) -> RunView:
        return self.state.view

    def hear(self, *events: Event) -> None:
        """The facts stand in the log and are folded, as one batch."""
        fresh = [
            Record(FACTS.name, 0, len(self.records) + n, RUN.encode(), event.SerializeToString(), self.now)
            for n, event in enumerate(events)
        ]
        self.records += fresh
        self.folded, _ = fold_records(self.fold, self.folded, fresh)

    def say(self, name: str, **kind: object) -> None:
        self.hear(Event(event_id=event_id(RUN, name), run_id=RUN, **kind))

    def due(self) -> list[Append | Dispatch]:
        """What is due now; nothing is done about it."""
        context = Context(self.now, self.issued, self.folded.offset, self.folded.history.hex())
        return list(self.fold.due(self.state, context))

    def turn(self) -> list[Work]:
        """Says what is due to be said until nothing is; returns the work that is asked for then."""
        for _ in range(100):
            outputs = self.due()
            said = [output for output in outputs if isinstance(output, Append)]
            asked = [output.work for output in outputs if isinstance(output, Dispatch)]
            self.issued |= {work.work_id: self.now for work in asked}
            for say in said:
                self.blobs |= {f"{len(self.blobs)}": content for content in say.blobs}
                self.hear(say.event)
            if not said:
                return asked
        raise AssertionError("it never stops saying things")

    def manifests(self) -> list[StageManifest]:
        """Of all stages closed so far, in order."""
        return [StageManifest.FromString(content) for content in self.blobs.values()]

    def go_to(self, stage: Stage.ValueType, round_: int = 0) -> list[Work]:
        """Does all that comes before the stage; returns the work it asks for first."""
        asked = self.turn()
        while (self.state.open.stage, self.state.open.round) != (stage, round_):
            self.hear(*(self.results_of_people() if not asked else [result(work) for work in asked]))
            asked = self.turn()
        return asked

    def finish(self) -> RunView:
        """Does everything that is left."""
        asked = self.turn()
        while self.state.open is not None:
            self.hear(*(self.results_of_people() if not asked else [result(work) for work in asked]))
            asked = self.turn()
        return self.view

    def results_of_people(self) -> list[Event]:
        """Every task of the open stage resolved, as the even pairs' first and the odd pairs' second response."""
        opened = self.state.open
        return [resolved(opened.stage, opened.round, number, pair) for number, pair in enumerate(self.state.asked)]


def resolved(stage: int, round_: int, number: int, pair: int, choice: int | None = None) -> Event:
    event = Event(run_id=RUN, unit={"stage": stage, "round": round_, "number": number})
    event.event_id = event_id(RUN, "resolved", unit_name(event.unit))
    said = Choice.CHOICE_FIRST + pair % 2 if choice is None else choice
    event.task_resolved.pair_index, event.task_resolved.choice = pair, said
    event.task_resolved.outcome = TaskOutcome.TASK_OUTCOME_DECIDED
    event.task_resolved.annotation_ids.append(event_id(RUN, "judged", unit_name(event.unit)))
    return event


def result(work: Work, **more: object) -> Event:
    """A result that fits the work item; its contents name the unit, so that a mix-up shows."""
    event = Event(event_id=result_id(RUN, work.unit), run_id=RUN, unit=work.unit, **more)
    RESULTS[work.WhichOneof("task")](work, event)
    return event


def failure(work: Work, error: str = "it broke") -> Event:
    event = Event(event_id=event_id(RUN, "failed", unit_name(work.unit)), run_id=RUN, unit=work.unit)
    event.unit_failed.error, event.unit_failed.attempts = error, 3
    return event


def deferral(work: Work, times: int = 1, retry_after_s: float = 30.0) -> Event:
    event = Event(event_id=event_id(RUN, f"deferred-{times}", unit_name(work.unit)), run_id=RUN, unit=work.unit)
    event.unit_deferred.reason, event.unit_deferred.retry_after_s = "the LLM is down", retry_after_s
    event.unit_deferred.times = times
    return event


def _label(work: Work, event: Event) -> None:
    first = int(work.label_shard.shard_uris[0].removeprefix("shard-")) * SHARD_PAIRS
    pairs: Iterable[int] = work.label_shard.pair_indexes or range(first, first + SHARD_PAIRS)
    event.shard_labeled.pair_index.extend(pairs)
    event.shard_labeled.choice.extend(Choice.CHOICE_FIRST + pair % 2 for pair in pairs)


def _triage(work: Work, event: Event) -> None:
    first = (work.unit.round - 1) * 3
    event.round_triaged.asked.extend(range(first, first + work.triage_round.ask))
    event.round_triaged.p_ask.extend([0.5] * work.triage_round.ask)
    event.round_triaged.posterior_uri = f"posterior-{work.unit.round}"


def shards_of(pairs: int) -> list[ShardRef]:
    """So many pairs as shards."""
    sizes = [min(SHARD_PAIRS, pairs - at) for at in range(0, pairs, SHARD_PAIRS)]
    return [
        ShardRef(uri=f"shard-{n}", first_index=n * SHARD_PAIRS, pairs=size, text_bytes=100)
        for n, size in enumerate(sizes)
    ]


def _generate(work: Work, event: Event) -> None:
    """Six candidate pairs of every shard of prompts."""
    made = event.shard_generated
    made.prompts, made.answers, made.kept = SHARD_PAIRS, 2 * SHARD_PAIRS, 2 * SHARD_PAIRS
    made.shard_uri = f"made-{work.unit.number}"
    made.shard.CopyFrom(ShardRef(uri=made.shard_uri, pairs=MADE_PAIRS, text_bytes=300))


def _select(work: Work, event: Event) -> None:
    """The first two shards of a run's pairs."""
    chosen = shards_of(2 * SHARD_PAIRS)
    event.pairs_selected.CopyFrom(PairsSelected(pairs_uri="chosen", pairs=2 * SHARD_PAIRS, shards=chosen))


RESULTS: dict[str, Callable[[Work, Event], None]] = {
    "label_shard": _label,
    "fit_features": lambda work, event: setattr(event.features_fitted, "basis_uri", "basis"),
    "featurise_shard": lambda work, event: setattr(event.shard_featurised, "features_uri", f"f{work.unit.number}"),
    "generate_shard": _generate,
    "embed_shard": lambda work, event: setattr(event.shard_embedded, "embeddings_uri", f"e{work.unit.number}"),
    "select_pairs": _select,
    "teach_shard": lambda work, event: event.shard_taught.SetInParent(),
    "train_fold": lambda work, event: setattr(event.fold_trained, "model_uri", f"m{work.unit.number}"),
    "score_shard": lambda work, event: event.shard_scored.margin.append(work.unit.number),
    "triage_round": _triage,
    "train_final": lambda work, event: setattr(event.final_trained, "model_uri", "final"),
    "build_dataset": lambda work, event: setattr(event.dataset_built, "dataset_sha256", "d" * 64),
}
