"""A run as its facts say it is: the state, how facts change it, how it is kept. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from concord.kit.ids import uri_of
from concord.preference.budget import human_budget
from concord.preference.shards import manifest_bytes
from concord.preference.stages import LABELLING, Step
from concord.runs import plan
from concord.v1.events_pb2 import Corpus, Event, PairsSelected, RoundTriaged, Stage, StageOpened
from concord.v1.pairs_pb2 import PairsManifest, ShardRef
from concord.v1.runs_service_pb2 import RunStatus, RunView
from concord.v1.snapshot_pb2 import Deferral, OpenStage, Pilot, RunSnapshot

VERSION = 1
# What a run may hold: beyond it its numbers would not fit into its view.
MOST_PAIRS = 100_000_000
ENDED = (RunStatus.RUN_STATUS_FINISHED, RunStatus.RUN_STATUS_CANCELLED)


@dataclass
class RunState:
    """A value: only `evolve` writes, and only on a copy that it just made."""

    view: RunView
    shards: list[ShardRef] = field(default_factory=list)
    # The open stage, the units of it that are settled, and the pairs it is about.
    open: OpenStage | None = None
    settled: dict[int, Event] = field(default_factory=dict)
    asked: Sequence[int] = ()
    p_ask: Sequence[float] = ()
    audit: Sequence[bool] = ()
    resumes: int = 0
    deferral: Deferral | None = None
    pilot: Pilot | None = None
    gate_overruled: bool = False
    pause_id: str = ""
    resumed_at: float = 0.0

    def plan(self) -> tuple[Step, ...]:
        """All stages of the run, opened ones first."""
        opened = [(view.stage, view.round) for view in self.view.stages]
        return plan.stages(self.view.config, self.view.pairs, self.view.human_budget, opened, bool(self.view.enough))

    def manifest(self, stage: int, round_: int = 0) -> str:
        """URI of the closed stage's manifest; empty where the plan has no such stage."""
        for view in self.view.stages:
            if (view.stage, view.round) == (stage, round_):
                return view.manifest_uri
        return ""

    def latest(self, stage: int) -> str:
        """URI of the manifest of the last closed stage of this kind; empty where there is none."""
        return next((v.manifest_uri for v in reversed(self.view.stages) if v.stage == stage and v.closed), "")

    def annotations(self) -> list[str]:
        """Manifests of the closed stages in which people labelled pairs, in order."""
        return [view.manifest_uri for view in self.view.stages if view.stage in LABELLING and view.closed]


def chosen(state: RunState) -> PairsSelected | None:
    """The pairs that the open stage made or chose, where it is settled and is one that does."""
    if state.open is None:
        return None
    if state.open.stage == Stage.STAGE_GENERATE:
        return candidates(state)
    if state.open.stage != Stage.STAGE_SELECT or 0 not in state.settled:
        return None
    said = state.settled[0]
    return said.pairs_selected if said.HasField("pairs_selected") else None


def candidates(state: RunState) -> PairsSelected | None:
    """The pairs of all shards that the open GENERATE has answered, one shard behind the other; None where there is none."""
    made = PairsManifest()
    for _, event in sorted(state.settled.items()):
        shard = event.shard_generated.shard
        if shard.pairs and made.pairs + shard.pairs <= MOST_PAIRS:
            made.shards.add().CopyFrom(shard)
            made.shards[-1].first_index = made.pairs
            made.pairs += shard.pairs
    if not made.pairs:
        return None
    return PairsSelected(pairs_uri=uri_of(manifest_bytes(made)), pairs=made.pairs, shards=made.shards)


def selected(state: RunState) -> Corpus | None:
    """The pairs that the run is about once the open stage closes; None where it chooses none.

    A budget that is a share of the pairs is one of those that are left, unless somebody changed it meanwhile.
    """
    if (said := chosen(state)) is None:
        return None
    config, votes = state.view.config, state.view.human_budget
    if votes == human_budget(config, state.view.pairs):
        votes = human_budget(config, said.pairs)
    return Corpus(pairs_uri=said.pairs_uri, pairs=said.pairs, human_budget=votes)


def initial(run_id: str) -> RunState:
    """A run of which nothing is known."""
    return RunState(RunView(run_id=run_id))


def active(state: RunState) -> bool:
    """Whether `due` may ever say anything again."""
    return state.view.status not in ENDED


# What is kept: one row for the run, one for its shards, one for the last round, one for the open stage's pairs, and one
# for each settled unit of the open stage, so that a batch of facts writes what it changed and not the whole run.
def unit_row(number: int) -> str:
    """Name of a settled unit's row."""
    return f"unit/{number:08}"


def row(state: RunState, name: str) -> bytes | None:
    """The content of a row; None where there is nothing to keep (any more)."""
    if name.startswith("unit/"):
        event = state.settled.get(int(name.removeprefix("unit/")))
        return event.SerializeToString() if event is not None else None
    if name == "shards":
        return PairsManifest(shards=state.shards).SerializeToString()
    if name == "round":
        return state.view.last_round.SerializeToString()
    if name == "asked":
        return StageOpened(pair_indexes=state.asked, p_ask=state.p_ask, audit=state.audit).SerializeToString()
    return snapshot(state).SerializeToString()


def snapshot(state: RunState) -> RunSnapshot:
    """The run without what has rows of its own."""
    kept = RunSnapshot(
        view=state.view,
        open=state.open,
        resumes=state.resumes,
        deferral=state.deferral,
        pilot=state.pilot,
        gate_overruled=state.gate_overruled,
        pause_id=state.pause_id,
        resumed_at=state.resumed_at,
    )
    kept.view.ClearField("last_round")
    return kept


def restore(run_id: str, rows: Mapping[str, bytes]) -> RunState:
    """The state that these rows were made of."""
    if "state" not in rows:
        return initial(run_id)
    kept = RunSnapshot.FromString(rows["state"])
    if "round" in rows:
        kept.view.last_round.CopyFrom(RoundTriaged.FromString(rows["round"]))
    asked = StageOpened.FromString(rows.get("asked", b""))
    units = {int(name[5:]): Event.FromString(value) for name, value in rows.items() if name.startswith("unit/")}
    return RunState(
        view=kept.view,
        shards=list(PairsManifest.FromString(rows.get("shards", b"")).shards),
        open=kept.open if kept.HasField("open") else None,
        settled=units,
        asked=tuple(asked.pair_indexes),
        p_ask=tuple(asked.p_ask),
        audit=tuple(asked.audit),
        resumes=kept.resumes,
        deferral=kept.deferral if kept.HasField("deferral") else None,
        pilot=kept.pilot if kept.HasField("pilot") else None,
        gate_overruled=kept.gate_overruled,
        pause_id=kept.pause_id,
        resumed_at=kept.resumed_at,
    )
