"""A judge's requests as batches: handed in for a whole unit, waited for without a worker, read into the answer cache.

A batch goes by the unit's name, so that whoever takes the unit up again, in whatever process, finds it: in the notes, or among
the endpoint's last batches where the process that handed it in died before it wrote the note. Once a batch is read, the unit is
judged as any other; what the batch did not answer is asked live.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import structlog

from concord.kit.errors import ConcordError, Deferred, Permanent
from concord.kit.plural import many
from concord.labeling.batch_notes import BatchNotes, Note
from concord.labeling.batch_wire import BatchWire, Standing
from concord.labeling.refusal import Trouble
from concord.labeling.reply import Reply, reply_of
from concord.labeling.spending import Spent, usage
from concord.v1 import config_pb2 as cfg
from concord.v1 import events_pb2 as ev
from concord.v1 import pairs_pb2 as pb

log = structlog.get_logger()


class Batched(Protocol):
    """A model whose requests go into batches: a judge of pairs, or one that answers prompts."""

    @property
    def config(self) -> cfg.JudgeConfig:
        """As it was asked for."""

    async def combined(self, pair: pb.Pair, seed: int, spent: Spent) -> object:
        """What it says of the pair, asked live where nothing is kept."""

    async def missing(self, pairs: Sequence[pb.Pair], seed: int) -> dict[str, Mapping[str, Any]]:
        """The requests about these pairs that nothing usable is kept of, by their keys in the cache."""

    async def keep(self, key: str, reply: Reply) -> object:
        """Keeps an answer, where it is worth that."""


# A batch that ended without all its answers is handed in anew so often; then the rest is asked live.
TRIES = 3
LOOK_S = 60.0


class Batches:
    """All batches of a process. For one asyncio loop."""

    def __init__(
        self, notes: BatchNotes, wire_of: Callable[[cfg.JudgeConfig], BatchWire], look_s: float = LOOK_S
    ) -> None:
        self._notes, self._new_wire, self._look_s = notes, wire_of, look_s
        self._wires: dict[tuple[str, str, str], BatchWire] = {}

    async def close(self) -> None:
        for wire in self._wires.values():
            await wire.close()
        self._notes.close()

    def _wire_of(self, judge: cfg.JudgeConfig) -> BatchWire:
        place = (judge.url, judge.name, judge.api_key_env)
        if place not in self._wires:
            self._wires[place] = self._new_wire(judge)
        return self._wires[place]

    async def gather(self, judge: Batched, run_id: str, unit: str, pairs: Sequence[pb.Pair], seed: int) -> ev.Usage:
        """Returns, once the unit's answers are in the cache as far as batches give them, what reading them cost.

        To be called again with the same `unit` as long as it raises Deferred; Permanent where the endpoint takes no batches.
        What was spent before stands in the error's `usage`.
        """
        spent = Spent()
        try:
            for number in range(TRIES):
                name = batch_name(unit, judge.config, number)
                if await self._is_answered(judge, run_id, name, pairs, seed, spent):
                    break
        except ConcordError as error:
            error.usage = usage(spent, judge.config)
            raise
        return usage(spent, judge.config)

    async def _is_answered(
        self, judge: Batched, run_id: str, name: str, pairs: Sequence[pb.Pair], seed: int, spent: Spent
    ) -> bool:
        """Whether no further batch is needed: this one is read, or none is missing. Raises Deferred while it is under way."""
        note = await asyncio.to_thread(self._notes.of, name)
        if note is None:
            await self._hand_in(judge, run_id, name, pairs, seed, spent)
            return True
        if note.over:
            return False
        wire = self._wire_of(judge.config)
        seen = await wire.look(note.batch_id)
        if not seen.over:
            raise self._later(judge, seen)
        asked = await judge.missing(pairs, seed)
        for key, line in await wire.answers(seen):
            if key in asked and (reply := _reply(line, asked[key], wire.secrets, spent)):
                await judge.keep(key, reply)
        # Last, so that after a crash it is read again: the ledger may count it twice, and never not at all.
        await asyncio.to_thread(self._notes.end, name)
        if seen.status == "failed" and not seen.files:
            raise Permanent(
                f"the batch {seen.id} failed{': ' if seen.why else ''}{seen.why}; --resume hands in another"
            )
        log.info("batch_read", batch=seen.id, judge=judge.config.name, status=seen.status)
        return seen.status == "completed"

    async def _hand_in(
        self, judge: Batched, run_id: str, name: str, pairs: Sequence[pb.Pair], seed: int, spent: Spent
    ) -> None:
        """Returns where everything is in the cache; else raises Deferred, once the batch is handed in and noted."""
        # The first pair live: what the endpoint does not know is found out by a question that is needed anyway.
        for pair in pairs:
            if await judge.missing([pair], seed):
                await judge.combined(pair, seed, spent)
                break
        if not (requests := await judge.missing(pairs, seed)):
            return
        wire = self._wire_of(judge.config)
        seen = await wire.find(name) or await wire.hand_in(name, requests)
        if not seen.id:
            raise Permanent("the endpoint gave a batch without an id; without --judge-batch it is asked one by one")
        await asyncio.to_thread(self._notes.add, Note(name, run_id, seen.id, judge.config))
        log.info("batch_handed_in", batch=seen.id, judge=judge.config.name, requests=len(requests))
        raise self._later(judge, seen)

    def _later(self, judge: Batched, seen: Standing) -> Deferred:
        far = f", {seen.done:,} of {many(seen.total, 'request is', 'requests are')} answered" if seen.total else ""
        return Deferred(f"the judge {judge.config.name!r} works on batch {seen.id}{far}", self._look_s)

    async def sweep(self, is_cancelled: Callable[[str], bool]) -> int:
        """Cancels what is under way for runs that were cancelled; how many batches. An endpoint that is away is asked next time."""
        ended = 0
        for note in await asyncio.to_thread(self._notes.open):
            if not await asyncio.to_thread(is_cancelled, note.run_id):
                continue
            try:
                wire = self._wire_of(note.judge)
                if not (await wire.look(note.batch_id)).over:
                    await wire.cancel(note.batch_id)
            except ConcordError as error:
                log.warning("batch_not_cancelled", batch=note.batch_id, run=note.run_id, why=str(error))
                if isinstance(error, Deferred):
                    continue
            await asyncio.to_thread(self._notes.end, note.name)
            ended += 1
        return ended


def batch_name(unit: str, judge: cfg.JudgeConfig, number: int) -> str:
    """The name of the unit's batch number `number` at this judge: 64 hex digits."""
    parts = (unit, judge.url, judge.name, judge.criteria, str(number))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _reply(line: Mapping[str, Any], request: Mapping[str, Any], secrets: Sequence[str], spent: Spent) -> Reply | None:
    """What one line of a batch's answers holds, counted where it was paid; None where it is of no use."""
    response = line.get("response")
    body = response.get("body") if isinstance(response, dict) and response.get("status_code") == 200 else None
    if not isinstance(body, dict):
        return None
    try:
        reply = reply_of(json.dumps(body).encode(), secrets)
    except Trouble as trouble:
        if trouble.paid:
            spent.add(request, None)
        return None
    spent.add(request, reply)
    return reply
