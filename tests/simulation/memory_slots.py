"""The table of leases in memory: the same promises as the one in SQL, under the same contract test."""

from collections import Counter
from collections.abc import Collection, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

from concord.tasks.leases import GOLD_VOTE, SAY_AGAIN_S, Given, Open, Progress, Round, Slot, Want, most_waiting
from concord.tasks.queue import TasksState, is_closed, slots_of
from concord.v1.snapshot_pb2 import Answer, TaskSnapshot

# A slot that its owner gave back: it keeps the owner's revision and holds no vote.
GIVEN_BACK = -1


class MemorySlots:
    """Slots by (task, annotator), offered tasks by (run, number)."""

    def __init__(self, born: float) -> None:
        """`born`: when this table came to be; of leases on older tasks it knows nothing."""
        self.lose(born)

    def lose(self, born: float) -> None:
        """The table is gone; a new one stands in its place."""
        self._born = born
        self._tasks: dict[tuple[str, int], tuple[str, int, int, bool, float]] = {}
        self._slots: dict[str, dict[str, Slot]] = {}
        # (task, annotator) → (event, when it was given), for answers that are not folded yet.
        self._unsaid: dict[tuple[str, str], tuple[bytes, float]] = {}

    def kept(self) -> "MemorySlots":
        """This moment, which can be put back."""
        moment = copy(self)
        moment.put_back(self)
        return moment

    def put_back(self, moment: "MemorySlots") -> None:
        """What came after that moment was never written."""
        self._born, self._tasks, self._unsaid = moment._born, dict(moment._tasks), dict(moment._unsaid)
        self._slots = {task_id: dict(held) for task_id, held in moment._slots.items()}

    def _taken(self, task_id: str, now: float) -> list[Slot]:
        held = self._slots.get(task_id, {}).values()
        return [slot for slot in held if slot.submitted or (slot.lease_until > now and slot.vote != GIVEN_BACK)]

    def lease(
        self, annotator: str, run_id: str, now: float, lease_s: float, most: int = 1, of: Sequence[str] = ()
    ) -> list[Slot]:
        offered = [
            (number, run, task_id, pair_index, quorum, opened_at)
            for (run, number), (task_id, pair_index, quorum, offered, opened_at) in self._tasks.items()
            if offered and run_id in ("", run) and (not of or task_id in of)
        ]
        if not offered:
            return []
        runs = [] if run_id or of else self._most_waiting(now)
        offered.sort(key=lambda task: (runs.index(task[1]) if runs else 0, task[0], task[1]))
        mine = [(task_id, self._slots.get(task_id, {}).get(annotator)) for _, _, task_id, *_ in offered]
        live = [slot for task_id, slot in mine if slot in self._taken(task_id, now) and not slot.submitted][:most]
        for number, run, task_id, pair_index, quorum, opened_at in offered:
            if len(live) == most:
                break
            taken = self._taken(task_id, now)
            held = self._slots.setdefault(task_id, {})
            own = held.get(annotator)
            if len(taken) >= quorum or own in taken or (opened_at < self._born and now < self._born + lease_s):
                continue
            for name, other in held.items():
                held[name] = other if other in taken else replace(other, vote=GIVEN_BACK)
            vote = next(vote for vote in range(quorum) if all(vote != slot.vote for slot in taken))
            revision, said = (own.revision, own.said) if own is not None else (0, b"")
            held[annotator] = Slot(
                task_id, run, number, pair_index, vote, annotator, now + lease_s, now, revision, False, said
            )
            live.append(held[annotator])
        return live

    def _most_waiting(self, now: float) -> list[str]:
        rounds: dict[str, list[float]] = {}
        for (run, _), (task_id, _, quorum, offered, opened_at) in self._tasks.items():
            votes = rounds.setdefault(run, [0, 0, opened_at])
            votes[0] += quorum
            votes[1] += quorum - len(self._taken(task_id, now)) if offered else 0
        return most_waiting(Round(run, int(votes), int(left), at) for run, (votes, left, at) in rounds.items())

    def lease_together(self, wants: Sequence[Want], now: float, lease_s: float) -> list[list[Slot]]:
        return [self.lease(want.annotator, want.run_id, now, lease_s, want.most, want.of) for want in wants]

    def held_by(self, places: Collection[tuple[str, str]]) -> dict[tuple[str, str], Slot]:
        found = {place: self.held([place[0]], place[1]).get(place[0]) for place in places}
        return {place: slot for place, slot in found.items() if slot is not None}

    def progress(self, run_id: str, now: float) -> Progress:
        offered, full = 0, 0
        answered, gave, holds = Counter[str](), Counter[str](), Counter[str]()
        for held in self._slots.values():
            answered.update(who for who, slot in held.items() if slot.submitted and slot.run_id == run_id)
        for (run, _), (task_id, _, quorum, is_offered, _) in self._tasks.items():
            if run != run_id or not is_offered:
                continue
            taken = self._taken(task_id, now)
            is_full = len(taken) >= quorum
            offered, full = offered + 1, full + is_full
            gave.update(slot.annotator for slot in taken if slot.submitted and not is_full)
            holds.update(slot.annotator for slot in taken if not slot.submitted and is_full)
        return Progress(offered, full, answered, gave, holds)

    def held(self, task_ids: Sequence[str], annotator: str) -> dict[str, Slot]:
        offered = {task[0] for task in self._tasks.values()}
        mine = {task_id: self._slots.get(task_id, {}).get(annotator) for task_id in task_ids if task_id in offered}
        return {task_id: slot for task_id, slot in mine.items() if slot is not None and slot.vote != GIVEN_BACK}

    def submit(self, answers: Sequence[Given], now: float) -> list[bool]:
        return [self._submit(*answer, now) for answer in answers]

    def _submit(self, slot: Slot, revision: int, said: bytes, now: float) -> bool:
        mine = self._slots.get(slot.task_id, {}).get(slot.annotator)
        if mine is None or mine.vote != slot.vote or mine.revision >= revision:
            return mine is not None and (mine.submitted, mine.vote, mine.revision, mine.said) == (
                True,
                slot.vote,
                revision,
                said,
            )
        self._slots[slot.task_id][slot.annotator] = replace(mine, revision=revision, submitted=True, said=said)
        self._unsaid[slot.task_id, slot.annotator] = said, now
        return True

    def _give_back(self, task_id: str, annotator: str, revision: int) -> None:
        mine = self._slots.get(task_id, {}).get(annotator)
        if mine is not None and mine.submitted and mine.revision <= revision:
            given = replace(mine, vote=GIVEN_BACK, submitted=False, lease_until=0.0)
            self._slots[task_id][annotator] = given
            self._unsaid.pop((task_id, annotator), None)

    def return_(self, task_ids: Sequence[str], annotator: str, run_id: str = "") -> None:
        for task_id in task_ids:
            mine = self._slots.get(task_id, {}).get(annotator)
            if mine is not None and not mine.submitted and run_id in ("", mine.run_id):
                self._slots[task_id][annotator] = replace(mine, vote=GIVEN_BACK, lease_until=0.0)

    def gold(self, annotator: str, run_id: str, task_ids: Sequence[str], now: float, lease_s: float) -> Slot | None:
        known = {task_id: (number, pair) for (run, number), (task_id, pair, *_) in self._tasks.items() if run == run_id}
        for task_id in known:
            mine = self._slots.get(task_id, {}).get(annotator)
            if mine and mine.vote >= GOLD_VOTE and not mine.submitted and mine.lease_until > now:
                return mine
        for task_id in task_ids:
            held = self._slots.setdefault(task_id, {})
            if annotator not in held:
                vote = max([GOLD_VOTE - 1, *(slot.vote for slot in held.values())]) + 1
                number, pair = known[task_id]
                held[annotator] = Slot(task_id, run_id, number, pair, vote, annotator, now + lease_s, now, 0, False)
                return held[annotator]
        return None

    def extend(self, task_ids: Sequence[str], annotator: str, run_id: str, now: float, until: float) -> list[str]:
        live = [
            slot
            for task_id in task_ids
            for slot in self._taken(task_id, now)
            if slot.annotator == annotator and not slot.submitted and run_id in ("", slot.run_id)
        ]
        for slot in live:
            self._slots[slot.task_id][annotator] = replace(slot, lease_until=until)
        return [slot.task_id for slot in live]

    def of_annotator(self, run_id: str, annotator: str, now: float) -> tuple[int, int]:
        mine = {
            task_id: held[annotator]
            for task_id, held in self._slots.items()
            if annotator in held and held[annotator].run_id == run_id
        }
        gave = {task_id for task_id, slot in mine.items() if slot.submitted}
        left = 0
        for (run, _), (task_id, _, quorum, offered, _) in self._tasks.items():
            taken = self._taken(task_id, now)
            may = len(taken) < quorum or mine.get(task_id) in taken
            left += run == run_id and offered and task_id not in gave and may
        return len(gave), left

    def open(self, run_id: str, now: float, after: int, most: int) -> list[Open]:
        found = []
        for (run, number), (task_id, pair_index, quorum, offered, _) in sorted(self._tasks.items()):
            if offered and run_id in ("", run) and number > after:
                taken = self._taken(task_id, now)
                answered = tuple(slot.annotator for slot in taken if slot.submitted)
                leased = tuple(slot.annotator for slot in taken if not slot.submitted)
                found.append(Open(task_id, number, pair_index, quorum, answered, leased))
        return found[:most]

    def unsaid(self, now: float) -> Sequence[tuple[str, bytes]]:
        known = {task[0] for task in self._tasks.values()}
        return [
            (self._slots[task_id][annotator].run_id, said)
            for (task_id, annotator), (said, at) in self._unsaid.items()
            if at < now - SAY_AGAIN_S and task_id in known
        ]

    def project(self, connection: Any, changes: Sequence[tuple[str, frozenset[str], TasksState | None]]) -> None:
        for run_id, touched, state in changes:
            if state is None or "run" in touched:
                self._offer(run_id, state)
            for name in touched:
                if state is not None and name.startswith("task/"):
                    self._mend(state, int(name[5:]))

    def _offer(self, run_id: str, state: TasksState | None) -> None:
        self._tasks = {place: task for place, task in self._tasks.items() if place[0] != run_id}
        if state is None or not state.tasks:
            gone = [key for key in self._unsaid if self._slots[key[0]][key[1]].run_id == run_id]
            for key in gone if state is not None else []:
                del self._unsaid[key]
            return
        for number, task in state.tasks.items():
            offered = not (task.resolved or state.run.paused)
            row = (task.task_id, task.pair_index, slots_of(state, task), offered, state.run.opened_at)
            self._tasks[run_id, number] = row

    def _mend(self, state: TasksState, number: int) -> None:
        task = state.tasks.get(number)
        if task is None:
            return
        known = dict(self._slots.get(task.task_id, {}))
        for answer in task.answers:
            mine = known.get(answer.annotator)
            if mine is None or mine.revision < answer.revision:
                self._restore(state.run_id, number, task, answer)
            elif mine.submitted and answer.withdrawn:
                self._give_back(task.task_id, answer.annotator, answer.revision)
            elif mine.submitted and mine.revision == answer.revision:
                self._unsaid.pop((task.task_id, answer.annotator), None)
        row = self._tasks.get((state.run_id, number))
        if row is not None:
            self._tasks[state.run_id, number] = (*row[:2], slots_of(state, task), *row[3:])
        if task.resolved:
            row = self._tasks.get((state.run_id, number))
            if row is not None:
                self._tasks[state.run_id, number] = (*row[:3], False, row[4])
        if is_closed(state, task):
            for key in [key for key in self._unsaid if key[0] == task.task_id]:
                del self._unsaid[key]

    def _restore(self, run_id: str, number: int, task: TaskSnapshot, answer: Answer) -> None:
        held, who = self._slots.setdefault(task.task_id, {}), answer.annotator
        blank = Slot(task.task_id, run_id, number, task.pair_index, GIVEN_BACK, who, 0.0, 0.0, answer.revision, False)
        held[who] = replace(held.get(who, blank), revision=answer.revision)
        if answer.withdrawn:
            self._give_back(task.task_id, who, answer.revision)
            return
        for name, other in held.items():
            if other.vote == answer.vote and name != who:
                held[name] = replace(other, vote=GIVEN_BACK, submitted=False, lease_until=0.0)
                self._unsaid.pop((task.task_id, name), None)
        held[who] = replace(held[who], vote=answer.vote, submitted=True)
        self._unsaid.pop((task.task_id, who), None)

    def counts(self, run_id: str, now: float) -> tuple[int, int]:
        open_tasks = [task[0] for (run, _), task in self._tasks.items() if run == run_id and task[3]]
        live = [s for held in self._slots.values() for s in held.values() if s.run_id == run_id and not s.submitted]
        return len(open_tasks), sum(slot.lease_until > now for slot in live)
