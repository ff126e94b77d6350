"""What must hold, whatever went wrong: while the cluster runs, and of the log and the stores that it leaves."""

from collections import defaultdict
from hashlib import sha256
from random import Random

from concord.kit.ids import task_id
from concord.kit.log import Record
from concord.kit.log.topics import DEAD_LETTERS, FACTS, fact_partition
from concord.kit.loop.fold import Fold, Folded, fold_records, restore_run, start_run
from concord.preference.rights import MAY_APPEND
from concord.preference.stages import HUMAN
from concord.runs import service as runs
from concord.tasks import service as tasks
from concord.v1.events_pb2 import Event, Stage, StageManifest, TaskOutcome
from concord.v1.runs_service_pb2 import RunStatus
from concord.v1.work_pb2 import Work
from tests.simulation.people import CANCELLED
from tests.simulation.process import BY
from tests.simulation.workload import Run
from tests.simulation.world import World

# Who says which facts: services by the table that stands in docs/security.md, and what callers say through the desk.
AT_THE_DESK = frozenset(
    {"run_created", "pairs_added", "run_started", "budget_changed", "run_paused", "run_resumed", "stage_retried"}
    | {"run_cancelled", "annotation_submitted", "task_skipped", "annotation_withdrawn"}
)
BY_RULE = frozenset({"stage_opened", "stage_closed", "run_finished", "run_paused", "run_resumed"})
SAYS = {**MAY_APPEND, "runs": BY_RULE, "tasks": frozenset({"task_resolved"}), "desk": AT_THE_DESK}
UnitKey = tuple[str, int, int, int, int]
AFTER_THE_DATASET = (Stage.STAGE_SCORE_POLICY, Stage.STAGE_EVALUATE)
ENDS = {"run_finished": RunStatus.RUN_STATUS_FINISHED, "run_cancelled": RunStatus.RUN_STATUS_CANCELLED}


class Violation(AssertionError):
    """The cluster broke a promise."""


def require(holds: object, what: str) -> None:
    if not holds:
        raise Violation(what)


class SaidBeforeCommitted:
    """Whatever work a group has committed has its fact in the log already: otherwise a crash would lose it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._said: set[UnitKey] = set()
        self._read: dict[int, int] = defaultdict(int)
        self._commits: list[tuple[str, int, int, int]] = []
        world.cluster.broker.committed = lambda *commit: self._commits.append(commit)

    def check(self) -> None:
        if not self._commits:
            return
        for partition, (records, _) in self._world.cluster.broker.topics[FACTS.name].items():
            for record in records[self._read[partition] :]:
                event = Event.FromString(record.value)
                if event.HasField("unit"):
                    self._said.add(_unit_key(event))
            self._read[partition] = len(records)
        for topic, partition, old, new in self._commits:
            for record in self._world.cluster.broker.partition(topic, partition)[0][old:new]:
                work = Work.FromString(record.value)
                require(_unit_key(work) in self._said, f"{topic}/{partition}@{record.offset} is committed, not said")
        self._commits.clear()


def _unit_key(named: Event | Work) -> UnitKey:
    unit = named.unit
    return named.run_id, unit.stage, unit.round, unit.number, unit.retry


def outcome(world: World, run_id: str) -> str:
    """The dataset's hash, and with it the policy and what was said of it, where the run ends with one."""
    state = runs.fold().restore(run_id, world.cluster.store.rows("runs", run_id))
    said = [state.view.dataset_sha256, state.view.policy_uri]
    for uri in filter(None, (state.manifest(stage) for stage in AFTER_THE_DATASET)):
        kept = StageManifest.FromString(world.cluster.blobs.get(uri)).events
        said += [
            getattr(event, event.WhichOneof("kind")).SerializeToString(deterministic=True).hex()
            for event in sorted(kept, key=lambda event: event.unit.number)
        ]
    return f"{state.view.dataset_sha256} {sha256(repr(said).encode()).hexdigest()[:16]}"


def check(world: World, quiet: dict[str, str], chance: Random) -> None:
    """Everything that can be seen at the end; `quiet`: run → `outcome` of an undisturbed run."""
    dead = [
        record for at in range(DEAD_LETTERS.partitions) for record in world.cluster.log.read(DEAD_LETTERS, at, 0, 1000)
    ]
    require(not dead, f"{len(dead)} dead letters, though no unit was poisonous")
    for run in world.workload:
        records = [
            record
            for record in world.cluster.log.read(FACTS, fact_partition(run.run_id), 0, 1 << 30)
            if record.key.decode() == run.run_id
        ]
        events = _history(records)
        if run.config.most_votes and any(event.HasField("annotation_withdrawn") for event, _ in events):
            # Which votes count then depends on when that was, and people's answers on their votes.
            world.cluster.reasons[run.run_id].add("an answer was taken back where a third may be asked")
        _check_rights(events)
        _check_money(run, events)
        _check_stages(world, run, events)
        _check_people(world, run, events)
        _check_end(world, run, events, quiet)
        _check_replay(world, run, records, chance)


def _history(records: list[Record]) -> list[tuple[Event, Record]]:
    """The run's events, each once."""
    seen: set[str] = set()
    events = []
    for record in records:
        event = Event.FromString(record.value)
        if event.event_id not in seen:
            seen.add(event.event_id)
            events.append((event, record))
    return events


def _check_end(world: World, run: Run, events: list[tuple[Event, Record]], quiet: dict[str, str]) -> None:
    fold = runs.fold()
    view = restore_run(fold, run.run_id, world.cluster.store.rows("runs", run.run_id)).state.view
    why = world.cluster.reasons.get(run.run_id, set())
    ended = _end_said(events)
    require(view.status == ended, f"run {run.run_id} has status {view.status}, and what ended it gives {ended}")
    if ended == RunStatus.RUN_STATUS_CANCELLED:
        require(CANCELLED in why, f"run {run.run_id} was cancelled by nobody")
        return
    if run.steady and not why:
        came, wanted = outcome(world, run.run_id), quiet[run.run_id]
        require(came == wanted, f"run {run.run_id}: dataset and policy {came}, quiet {wanted}")
    covered = [record for _, record in events if record.offset <= view.through_offset]
    history = fold_records(fold, start_run(fold, run.run_id), covered)[0].history.hex()
    require(history == view.history_sha256, f"run {run.run_id}: the history's hash does not replay")


def _end_said(events: list[tuple[Event, Record]]) -> int:
    """The status that the first fact which ends the run gives it."""
    for event, _ in events:
        if event.WhichOneof("kind") in ENDS:
            return ENDS[event.WhichOneof("kind")]
    return RunStatus.RUN_STATUS_UNSPECIFIED


def _check_rights(events: list[tuple[Event, Record]]) -> None:
    """Nobody says what is another's to say."""
    for event, record in events:
        kind, by = event.WhichOneof("kind"), dict(record.headers).get(BY, b"").decode().rpartition("-")[0]
        require(not (kind and by) or kind in SAYS[by], f"{by} says {kind}")


def _check_money(run: Run, events: list[tuple[Event, Record]]) -> None:
    """At no moment more dollars or votes are used than the highest limit until then."""
    dollars, most_dollars, votes, most_votes, thirds = 0.0, 0.0, 0, 0, 0
    # Of what is asked where people disagree nobody knows before; it counts once it is given.
    more = max(0, run.config.most_votes - run.config.quorum) if run.config.quorum > 1 else 0
    unlimited = False
    for event, _ in events:
        dollars += event.usage.dollars
        match event.WhichOneof("kind"):
            case "run_created":
                most_dollars = run.config.dollar_budget
                unlimited = not most_dollars
            case "run_started":
                most_votes = event.run_started.human_budget
            case "stage_closed" if event.stage_closed.HasField("corpus"):
                most_votes = max(most_votes, event.stage_closed.corpus.human_budget)
            case "budget_changed":
                most_dollars = max(most_dollars, event.budget_changed.dollar_budget)
                most_votes = max(most_votes, event.budget_changed.human_budget)
                unlimited |= not event.budget_changed.dollar_budget
            case "stage_opened" if event.stage_opened.stage in HUMAN:
                thirds = more * event.stage_opened.units
            case "task_resolved":
                votes += len(event.task_resolved.annotation_ids)
        require(unlimited or dollars <= most_dollars + 1e-9, f"${dollars} of ${most_dollars} are spent")
        require(votes <= most_votes + thirds, f"{votes} votes of {most_votes} are used")


def _check_replay(world: World, run: Run, records: list[Record], chance: Random) -> None:
    """Folding the log anew, in other batches and taken up from its rows now and then, gives what the stores hold."""
    for service, fold in (("tasks", tasks.fold()), ("runs", runs.fold())):
        kept = world.cluster.store.rows(service, run.run_id)
        live, again = restore_run(fold, run.run_id, kept), replay(fold, run.run_id, records, chance)
        for part in ("state", "ids", "offset", "history"):
            same = getattr(live, part) == getattr(again, part)
            require(same, f"run {run.run_id}: the {service} store differs from the log: {part}")


def replay(fold: Fold, run_id: str, records: list[Record], chance: Random) -> Folded:
    """The run folded from the start."""
    folded, at = start_run(fold, run_id), 0
    rows: dict[str, bytes] = {}
    while at < len(records):
        size = chance.choice([1, 2, 5, 40, 1000])
        folded, changed = fold_records(fold, folded, records[at : at + size])
        rows = {name: row for name, row in {**rows, **changed}.items() if row is not None}
        at += size
        if chance.random() < 0.2:
            folded = restore_run(fold, run_id, rows)
    return restore_run(fold, run_id, rows)


def _check_stages(world: World, run: Run, events: list[tuple[Event, Record]]) -> None:
    """Every stage is opened once and closed once, in turn, and its manifest holds every unit once."""
    opened: dict[tuple[int, int], int] = {}
    closed: set[tuple[int, int]] = set()
    asked: set[int] = set()
    for event, _ in events:
        if event.WhichOneof("kind") == "stage_opened":
            said = event.stage_opened
            step = said.stage, said.round
            require(step not in opened and len(closed) == len(opened), f"{step} is opened twice, or too early")
            opened[step] = said.units
            if said.stage in HUMAN:
                require(asked.isdisjoint(said.pair_indexes), f"{asked & set(said.pair_indexes)} are asked twice")
                asked |= set(said.pair_indexes)
        if event.WhichOneof("kind") == "stage_closed":
            said = event.stage_closed
            step = said.stage, said.round
            require(step in opened and step not in closed, f"{step} is closed twice, or before it is opened")
            closed.add(step)
            manifest = StageManifest.FromString(world.cluster.blobs.get(said.manifest_uri))
            numbers = [kept.unit.number for kept in manifest.events]
            whole = sorted(set(numbers)) == numbers and len(numbers) + said.failed_units == opened[step]
            require(whole, f"{Stage.Name(step[0])}.{step[1]} has {opened[step]} units, its manifest holds {numbers}")
    never = set(opened) - closed
    require(not never or _end_said(events) == RunStatus.RUN_STATUS_CANCELLED, f"opened and never closed: {never}")


def _check_people(world: World, run: Run, events: list[tuple[Event, Record]]) -> None:
    """No task counts more answers than its quorum, and no answer that the service took in is lost."""
    answers: dict[str, dict[str, list[tuple[Event, Record]]]] = defaultdict(lambda: defaultdict(list))
    withdrawn: set[tuple[str, str]] = set()
    open_until: dict[tuple[int, int], float] = {}
    wanted: dict[tuple[int, int], list[int]] = {}
    back = TakenBack()
    # With a store its leases are gone: an answer that comes into the log late, and of which nobody was told that it is in, may then
    # find its vote with somebody else.
    forgot = any(world.cluster.faults[kind] for kind in ("store lost", "store's last transactions lost"))
    acknowledged = {
        (task_id, person.name)
        for person in world.people
        for task_id, run_id, _ in person.acknowledged
        if run_id == run.run_id
    }
    told = frozenset(acknowledged)
    for event, record in events:
        kind = event.WhichOneof("kind")
        if kind == "stage_opened" and event.stage_opened.stage in HUMAN:
            limit = run.config.annotation_deadline_s or float("inf")
            if "a clock was wrong" in world.cluster.reasons.get(run.run_id, ()):
                limit = 0.0
            opened = event.stage_opened
            open_until[opened.stage, opened.round] = record.at + limit
            again = list(opened.re_ask) or [False] * opened.units
            more = run.config.most_votes if run.config.quorum > 1 else 0
            wanted[opened.stage, opened.round] = [max(run.config.quorum + one, more) for one in again]
        if not event.HasField("unit") or event.unit.stage not in HUMAN:
            continue
        task = task_id(run.run_id, event.unit)
        # Once the stage's time is up a task is closed as it stands; and where a third opinion may be asked, the answers decide when
        # it is full.
        in_time = kind == "task_resolved" or record.at < open_until[event.unit.stage, event.unit.round]
        if in_time and not run.config.most_votes:
            back.hear(event, task, wanted[event.unit.stage, event.unit.round][event.unit.number])
        if kind == "annotation_submitted":
            answers[task][event.annotation_submitted.annotator].append((event, record))
        if kind == "task_skipped":
            answers[task].pop(event.task_skipped.annotator, None)
        if kind == "annotation_withdrawn":
            withdrawn.add((task, event.annotation_withdrawn.annotator))
        if kind == "task_resolved":
            until = open_until[event.unit.stage, event.unit.round]
            votes = wanted[event.unit.stage, event.unit.round][event.unit.number]
            excused = {who for at, who in withdrawn if at == task}
            excused |= {who for who in answers[task] if forgot and (task, who) not in told}
            _check_task(votes, event, answers[task], until, excused)
        if kind != "task_resolved":
            acknowledged.discard((task, getattr(event, kind).annotator))
    require(not acknowledged, f"answers that were taken in and are not in the log: {acknowledged}")


class TakenBack:
    """What was taken back before its task was full counts no more, whoever says so."""

    def __init__(self) -> None:
        # Task → annotator → the event that holds a vote; and by task the events taken back.
        self._held: dict[str, dict[str, tuple[int, str]]] = defaultdict(dict)
        self._gone: dict[str, set[str]] = defaultdict(set)

    def hear(self, event: Event, task: str, votes: int) -> None:
        kind, held = event.WhichOneof("kind"), self._held[task]
        if kind == "task_resolved":
            counts = self._gone[task] & set(event.task_resolved.annotation_ids)
            require(not counts, f"{event.unit} counts what was taken back: {counts}")
            return
        said = getattr(event, kind)
        if len(held) >= votes:
            return
        if kind != "annotation_withdrawn":
            held[said.annotator] = max(held.get(said.annotator, (0, "")), (said.revision, event.event_id))
        elif said.annotator in held and held[said.annotator][0] <= said.revision:
            self._gone[task].add(held.pop(said.annotator)[1])


def _check_task(
    votes: int, resolved: Event, answers: dict[str, list[tuple[Event, Record]]], until: float, excused: set[str]
) -> None:
    """`excused`: those whose answers need not count."""
    counted = set(resolved.task_resolved.annotation_ids)
    owners = {event.event_id: who for who, said in answers.items() for event, _ in said}
    require(counted <= set(owners), f"{resolved.unit} counts answers that do not stand before it")
    require(len(counted) <= votes, f"{len(counted)} answers count where {votes} were asked for")
    require(len({owners[one] for one in counted}) == len(counted), "somebody's answer counts twice")
    if resolved.task_resolved.outcome != TaskOutcome.TASK_OUTCOME_EXPIRED or counted:
        require(len(set(answers) - excused) <= votes, f"{resolved.unit}: more people answered than were asked for")
    for who, said in answers.items():
        in_time = any(record.at < until for _, record in said)
        heard = any(event.event_id in counted for event, _ in said)
        require(heard or who in excused or not in_time, f"the answer of {who} to {resolved.unit} is lost")
