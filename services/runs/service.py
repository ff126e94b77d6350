"""The front door: commands become facts, queries read the store."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import yaml
from google.protobuf.message import DecodeError

from concord.kit import caller, tracing
from concord.kit.blobs import Blobs
from concord.kit.enums import word
from concord.kit.errors import InvalidInput, NotFound, Refused, Unavailable
from concord.kit.ids import event_id
from concord.kit.log import Log, topics
from concord.kit.loop.commands import append_and_wait, wait_for
from concord.kit.loop.fold import Fold, restore_run, start_run
from concord.kit.loop.run_records import places, records_at
from concord.kit.plural import many
from concord.kit.rpc import Servicer, Stream, holds_no_thread
from concord.kit.store import Store
from concord.preference import datasets
from concord.preference.budget import human_budget
from concord.preference.shards import put_manifest, put_shard
from concord.runs import cancelled, dead_letters, limits, loop, state, teams
from concord.runs.bearing import Bearing
from concord.runs.evolve import evolve
from concord.runs.state import ENDED, RunState
from concord.runs.teams import Teams
from concord.runs.watching import News, Watcher, Watching
from concord.v1 import runs_service_pb2 as pb
from concord.v1 import runs_service_pb2_grpc
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Event, PauseReason, StageRetried
from concord.v1.pairs_pb2 import PairShard

SERVICE = "runs"
MOST_PAIRS_A_CALL = 5_000
CHUNK = 512 * 1024
PAGE = 100
PUTS = 8
# Beyond so many pairs, reading their ids again would take longer than a call may.
MOST_NAMES = 200_000
MOST_RUNS_A_PAGE = 1_000
MOST_LETTERS = 200
READ_AT_ONCE = 100
# A page ends with the run that exceeds it: messages stay under gRPC's 4 MB, whatever the runs' texts.
MOST_PAGE_BYTES = 1_000_000
# Each is told of every change of its run: what that takes grows with them.
MOST_WATCHERS = 500
# The rows of a run that its view is made of; those of single units and of all ids are not read for a caller.
HEADER = ("state", "round", "~folded")
OVER = (*ENDED, pb.RUN_STATUS_CORRUPT)
# In a list of runs the last round's account would be most of what is sent.
BRIEF = ("state", "~folded")


def fold(reissue_after_s: float = 120.0) -> Fold[RunState]:
    """The pure functions of this reactor."""

    def due(run: RunState, context):
        return loop.due(run, context, reissue_after_s)

    return Fold(state.VERSION, state.initial, evolve, state.row, state.restore, due, state.active)


def restored(store: Store, run_id: str, names: Sequence[str]) -> RunState:
    """What these of its rows say of a run: UNSPECIFIED where nobody created it, CORRUPT where a fact cannot be folded, or
    where the rows are not what was stored."""
    return _state_of(run_id, store.rows(SERVICE, run_id, names))


def briefs(store: Store, run_ids: Sequence[str]) -> list[pb.RunView]:
    """The views of these runs, in their order, as a list shows them; of all at once, for there may be thousands."""
    rows = store.rows_of(SERVICE, run_ids, BRIEF)
    return [_state_of(run_id, rows.get(run_id, {})).view for run_id in run_ids]


def _seen(store: Store, run_ids: Sequence[str]) -> dict[str, News]:
    """What those who watch these runs are told."""
    rows = store.rows_of(SERVICE, run_ids, HEADER)
    return {run_id: _news(_state_of(run_id, rows.get(run_id, {})).view) for run_id in run_ids}


def _news(view: pb.RunView) -> News:
    """Equal views are equal bytes: a change is found by comparing them."""
    answer = pb.WatchRunResponse(run=view).SerializeToString(deterministic=True)
    return News(answer, view.status in OVER)


def _state_of(run_id: str, rows: Mapping[str, bytes]) -> RunState:
    try:
        run = restore_run(fold(), run_id, rows)
    except (DecodeError, ValueError, LookupError) as error:
        why = (
            f"its rows in the store are damaged ({error}); the log still has it: delete the store, and it is made again"
        )
        run = replace(start_run(fold(), run_id), corrupt=why)
    view = run.state.view
    if run.corrupt:
        view.status, view.detail = pb.RUN_STATUS_CORRUPT, run.corrupt
    # A run of an earlier version may hold words of any length; who asks for it, or for all runs, gets an answer all the same.
    view.detail = limits.shortened(view.detail)
    view.refused[:] = map(limits.shortened, view.refused)
    return run.state


class Runs(runs_service_pb2_grpc.RunServiceServicer):
    """RunService on a log, a store and blobs; stateless, so any replica answers for any run."""

    def __init__(self, log: Log, store: Store, blobs: Blobs, teams: Teams, bearing: Bearing) -> None:
        self._log, self._store, self._blobs, self._teams = log, store, blobs, teams
        self._bearing = bearing
        # Each waits for the disk.
        self._puts = ThreadPoolExecutor(PUTS, "shards")
        self._watchers = threading.BoundedSemaphore(MOST_WATCHERS)
        self._watching = Watching(store, SERVICE, lambda run_ids: _seen(store, run_ids))

    def _state(self, run_id: str, *more: str) -> RunState:
        """The run's header, and the rows named in `more`; raises NotFound where nobody created the run."""
        limits.check_run_id(run_id)
        run = restored(self._store, run_id, (*HEADER, *more))
        if run.view.status == pb.RUN_STATUS_UNSPECIFIED:
            raise NotFound(f"no run {run_id}; `concord runs` lists them")
        return run

    def _ordered(self, request: Any, *more: str) -> RunState:
        """The run that a command is for; the command has a name of its own."""
        limits.check_request_id(request.request_id)
        return self._state(request.run_id, *more)

    def _command(self, run_id: str, name: str, **kind: object) -> pb.RunView:
        """Says one fact and returns the run; a refusal by the fold comes back as Refused."""
        event = Event(event_id=event_id(run_id, name), run_id=run_id, actor=caller.actor(), **kind)
        append_and_wait(self._log, self._store, SERVICE, [event])
        return self._taken(run_id, [event.event_id])

    def _taken(self, run_id: str, event_ids: Sequence[str]) -> pb.RunView:
        """The run after these were folded. Raises Refused where it refused one of them."""
        view = self._state(run_id).view
        for refusal in view.refused:
            if refusal.startswith(tuple(event_ids)):
                raise Refused(refusal.split(": ", 1)[1])
        return view

    def CreateRun(self, request: pb.CreateRunRequest, context: grpc.ServicerContext) -> pb.CreateRunResponse:
        limits.check_run_id(request.run_id)
        limits.check_config(request.config)
        limits.check_text("input_sha256", request.input_sha256, limits.MOST_NAME)
        limits.check_text("input_name", request.input_name, limits.MOST_URL)
        if request.side_of:
            self._check_side_of(request)
        if self._is_new(request.run_id):
            team = teams.chosen(self._teams, request.config.team, caller.actor())
            with self._alone(team):
                # The same call, tried again, may have been heard while this one waited.
                if self._is_new(request.run_id):
                    self._create(request, team)
        return pb.CreateRunResponse(run=self._state(request.run_id).view)

    def _is_new(self, run_id: str) -> bool:
        return restored(self._store, run_id, HEADER).view.status == pb.RUN_STATUS_UNSPECIFIED

    def _create(self, request: pb.CreateRunRequest, team: str) -> None:
        created = {
            "config": self._of_a_team(request.config, team),
            "input_sha256": request.input_sha256,
            "input_name": request.input_name,
            "side_of": request.side_of,
        }
        tracing.began(request.run_id)
        self._command(request.run_id, "created", run_created=created)

    def _alone(self, team: str) -> AbstractContextManager[object]:
        """Looks at a team's quota one after the other, each once the store has what was granted before; nothing without a team."""
        return self._store.alone(f"team {team}") if team else nullcontext()

    def _of_a_team(self, config: RunConfig, name: str) -> RunConfig:
        """The configuration with the team that the run is of. Raises Denied and Refused as `teams` says."""
        if not self._teams:
            return config
        teams.check_keys(self._teams, name, config)
        teams.check_quota(self._teams[name], briefs(self._store, self._store.runs(SERVICE)), config.dollar_budget)
        own = RunConfig()
        own.CopyFrom(config)
        own.team = name
        return own

    def _check_side_of(self, request: pb.CreateRunRequest) -> None:
        """A side run hangs on a run in its own right: else it would be listed nowhere."""
        if request.side_of == request.run_id or self._state(request.side_of).view.side_of:
            raise InvalidInput(
                f"side_of {request.side_of} is a side run itself, or this very run; name the run that it belongs to"
            )

    def SubmitPairs(self, request: pb.SubmitPairsRequest, context: grpc.ServicerContext) -> pb.SubmitPairsResponse:
        run = self._ordered(request)
        size = run.view.config.shard_pairs
        if run.view.pairs >= request.first_index + len(request.pairs):
            return pb.SubmitPairsResponse(pairs=run.view.pairs)
        limits.check_pairs(request.pairs, MOST_PAIRS_A_CALL)
        limits.check_names(pair.pair_id for pair in request.pairs)
        starts = range(0, len(request.pairs), size)
        put = lambda at: put_shard(request.first_index + at, request.pairs[at : at + size], self._blobs.put)  # noqa: E731
        shards = list(self._puts.map(put, starts)) if len(starts) > 1 else [put(at) for at in starts]
        view = self._command(request.run_id, f"pairs/{request.request_id}", pairs_added={"shards": shards})
        return pb.SubmitPairsResponse(pairs=view.pairs)

    def _shard(self, uri: str) -> PairShard:
        return PairShard.FromString(self._blobs.get(uri))

    def StartRun(self, request: pb.StartRunRequest, context: grpc.ServicerContext) -> pb.StartRunResponse:
        run = self._ordered(request, "shards")
        if run.view.status != pb.RUN_STATUS_CREATED:
            return pb.StartRunResponse(run=run.view)
        if not run.view.pairs:
            raise Refused("the run has no pairs yet; submit some before starting it")
        pairs = run.view.pairs
        config = run.view.config
        if config.parent.pairs > pairs:
            raise Refused(
                f"the run has {many(pairs, 'pair')}, fewer than the {config.parent.pairs:,} of the run it goes on from"
            )
        if pairs <= MOST_NAMES:
            limits.check_names(pair.pair_id for ref in run.shards for pair in self._shard(ref.uri).pairs)
        budget = human_budget(config, pairs)
        started = {
            "pairs_uri": put_manifest(run.shards, pairs, self._blobs.put),
            "pairs": pairs,
            "human_budget": budget,
        }
        return pb.StartRunResponse(run=self._command(request.run_id, f"started/{pairs}", run_started=started))

    def PauseRun(self, request: pb.PauseRunRequest, context: grpc.ServicerContext) -> pb.PauseRunResponse:
        self._ordered(request)
        paused = {"reason": PauseReason.PAUSE_REASON_CALLER, "detail": request.detail}
        view = self._command(request.run_id, f"pause/{request.request_id}", run_paused=paused)
        return pb.PauseRunResponse(run=view)

    def ResumeRun(self, request: pb.ResumeRunRequest, context: grpc.ServicerContext) -> pb.ResumeRunResponse:
        self._ordered(request)
        view = self._command(request.run_id, f"resume/{request.request_id}", run_resumed={})
        return pb.ResumeRunResponse(run=view)

    def SetBudget(self, request: pb.SetBudgetRequest, context: grpc.ServicerContext) -> pb.SetBudgetResponse:
        run = self._ordered(request)
        limits.check_budget(request.human_budget, request.dollar_budget)
        changed = {"human_budget": request.human_budget, "dollar_budget": request.dollar_budget}
        team = self._teams.get(run.view.config.team)
        with self._alone(team.name if team else ""):
            if team:
                all_runs = briefs(self._store, self._store.runs(SERVICE))
                teams.check_quota(team, all_runs, request.dollar_budget, request.run_id)
            view = self._command(request.run_id, f"budget/{request.request_id}", budget_changed=changed)
        return pb.SetBudgetResponse(run=view)

    def RetryStage(self, request: pb.RetryStageRequest, context: grpc.ServicerContext) -> pb.RetryStageResponse:
        opened = self._ordered(request).open
        if opened is None:
            raise Refused("no stage of the run is open, so nothing can be retried")
        retried = StageRetried(stage=opened.stage, round=opened.round)
        view = self._command(request.run_id, f"retry/{request.request_id}", stage_retried=retried)
        return pb.RetryStageResponse(run=view)

    def ListDeadLetters(
        self, request: pb.ListDeadLettersRequest, context: grpc.ServicerContext
    ) -> pb.ListDeadLettersResponse:
        steps = self._steps(request.run_id)
        return pb.ListDeadLettersResponse(
            letters=map(_letter_view, reversed(steps[-MOST_LETTERS:])), left_off=max(0, len(steps) - MOST_LETTERS)
        )

    def _steps(self, run_id: str, order: dead_letters.Order | None = None) -> list[dead_letters.Step]:
        """What putting back each of the run's dead letters would come to, the oldest first."""
        self._state(run_id)
        letters = dead_letters.latest(self._log, run_id)
        units = {state.unit_row(letter.unit.number) for letter in letters if letter.unit is not None}
        run = self._state(run_id, *units)
        return dead_letters.plan(letters, lambda _: run, order)

    def RequeueDeadLetters(
        self, request: pb.RequeueDeadLettersRequest, context: grpc.ServicerContext
    ) -> pb.RequeueDeadLettersResponse:
        """As a crash may come between, it is not the request's id but each letter's mark that keeps it from going back twice."""
        view = self._ordered(request).view
        steps = self._steps(request.run_id, dead_letters.Order(caller.actor(), request.reason))
        entries = [entry for step in steps for entry in step.entries]
        offsets = self._log.append(entries) if entries else ()
        facts = {offset: entry for entry, offset in zip(entries, offsets, strict=True) if entry.topic == topics.FACTS}
        if facts:
            wait_for(self._store, SERVICE, topics.fact_partition(request.run_id), max(facts))
            view = self._taken(request.run_id, [Event.FromString(entry.value).event_id for entry in facts.values()])
        return pb.RequeueDeadLettersResponse(run=view, put_back=sum(bool(step.entries) for step in steps))

    def CancelRun(self, request: pb.CancelRunRequest, context: grpc.ServicerContext) -> pb.CancelRunResponse:
        self._ordered(request)
        view = self._command(request.run_id, f"cancel/{request.request_id}", run_cancelled={"reason": request.reason})
        return pb.CancelRunResponse(run=view)

    def RevokeAccess(self, request: pb.RevokeAccessRequest, context: grpc.ServicerContext) -> pb.RevokeAccessResponse:
        self._ordered(request)
        if not request.name:
            raise InvalidInput("name is empty; whose access is to end?")
        revoked = {"name": request.name, "reason": request.reason}
        view = self._command(request.run_id, f"revoked/{request.request_id}", access_revoked=revoked)
        return pb.RevokeAccessResponse(run=view)

    def GetRun(self, request: pb.GetRunRequest, context: grpc.ServicerContext) -> pb.GetRunResponse:
        return pb.GetRunResponse(run=self._state(request.run_id).view)

    def ListRuns(self, request: pb.ListRunsRequest, context: grpc.ServicerContext) -> pb.ListRunsResponse:
        known = self._store.runs(SERVICE)
        if request.page_token and not (request.page_token.isascii() and request.page_token.isdecimal()):
            raise InvalidInput(f"page_token {request.page_token!r} is none that ListRuns gave; leave it out to begin")
        start = int(request.page_token or 0)
        end = min(len(known), start + min(request.page_size or PAGE, MOST_RUNS_A_PAGE))
        views: list[pb.RunView] = []
        size, at = 0, start
        while at < end and size < MOST_PAGE_BYTES:
            for view in briefs(self._store, known[at : min(end, at + READ_AT_ONCE)]):
                at += 1
                if view.status != pb.RUN_STATUS_UNSPECIFIED:
                    views.append(view)
                    size += view.ByteSize()
                if size >= MOST_PAGE_BYTES:
                    break
        return pb.ListRunsResponse(runs=views, next_page_token=str(at) if at < len(known) else "")

    def FindCancelled(
        self, request: pb.FindCancelledRequest, context: grpc.ServicerContext
    ) -> pb.FindCancelledResponse:
        self._bearing.hear(request.worker, ((one.url, one.window, one.most) for one in request.paces))
        return pb.FindCancelledResponse(run_ids=sorted(cancelled.in_store(self._store)(request.run_ids)))

    @holds_no_thread
    def WatchRun(self, request: pb.WatchRunRequest, context: grpc.ServicerContext, stream: Stream) -> None:
        news = _news(self._state(request.run_id).view)
        if not self._watchers.acquire(blocking=False):
            raise Unavailable(f"too many watchers: {MOST_WATCHERS} are served at once; ask GetRun now and then instead")
        watcher = Watcher(request.run_id, stream.send, stream.end)

        def hung_up() -> None:
            self._watching.leave(watcher)
            self._watchers.release()

        self._watching.watch(watcher, news)
        if not stream.on_hang_up(hung_up):
            hung_up()

    def ReadDataset(
        self, request: pb.ReadDatasetRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ReadDatasetResponse]:
        view = self._state(request.run_id).view
        if not view.dataset_uri:
            raise Refused(f"the run has no dataset yet: it is {word(pb.RunStatus, view.status)} {view.detail}")
        for part in datasets.parts(view.dataset_uri, self._blobs.get):
            for at in range(0, len(part), CHUNK):
                yield pb.ReadDatasetResponse(chunk=part[at : at + CHUNK])

    def ReadFacts(self, request: pb.ReadFactsRequest, context: grpc.ServicerContext) -> Iterator[pb.ReadFactsResponse]:
        self._state(request.run_id)
        answer, size = pb.ReadFactsResponse(), 0
        parts = places(self._log, self._store, SERVICE, request.run_id)
        for record in records_at(self._log, request.run_id, parts):
            if size + len(record.value) > CHUNK and answer.facts:
                yield answer
                answer, size = pb.ReadFactsResponse(), 0
            answer.facts.add(offset=record.offset, at=record.at, event=record.value)
            size += len(record.value)
        if answer.facts:
            yield answer

    def ReadBlob(self, request: pb.ReadBlobRequest, context: grpc.ServicerContext) -> Iterator[pb.ReadBlobResponse]:
        for piece in self._blobs.pieces(request.uri):
            for at in range(0, len(piece), CHUNK):
                yield pb.ReadBlobResponse(chunk=piece[at : at + CHUNK])


def _letter_view(step: dead_letters.Step) -> pb.DeadLetterView:
    letter, said = step.letter, step.letter.said
    return pb.DeadLetterView(
        name=letter.name,
        service=next((topic.group for topic in topics.ALL if topic.name == said.topic), ""),
        unit=letter.unit,
        attempts=said.attempts,
        error=said.error,
        at=letter.at,
        put_back_at=letter.back_at or 0.0,
        goes_back=bool(step.entries),
        says=letter.back_says or step.says,
    )


def read_teams(path: str) -> Teams:
    """The teams of the file, none without one. Raises InvalidInput that names file, team and field."""
    if not path:
        return {}
    try:
        return teams.parsed(yaml.safe_load(Path(path).read_text()), path)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"CONCORD_TEAMS_FILE={path}: cannot be read: {error}") from None


def servicer(
    log: Log, store: Store, blobs: Blobs, known: Teams | None = None, bearing: Bearing | None = None
) -> Servicer:
    """RunService, ready to be served; `known`: the teams that runs belong to; what workers tell goes into `bearing`."""
    add: Callable = runs_service_pb2_grpc.add_RunServiceServicer_to_server
    return Servicer("concord.v1.RunService", add, Runs(log, store, blobs, known or {}, bearing or Bearing()))
