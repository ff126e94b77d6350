"""A run's facts told by stage, in the order of the log: when, what came of it, what is odd about it. PURE."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from concord.kit import usage
from concord.kit.enums import word
from concord.kit.ids import unit_name
from concord.kit.loop.events import Fact
from concord.kit.plural import many
from concord.preference import answer_faults, checked, deviating, order_flips
from concord.preference.answer_faults import FaultyAnswers
from concord.preference.stages import HUMAN, JUDGING, step_name
from concord.report import alarms, drift
from concord.report.changepoints import bars
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Event, PauseReason, ShardGenerated, ShardLabeled, Stage, TaskOutcome, Unit, Usage
from concord.v1.pairs_pb2 import Choice

# A silence that is told: work that is silent for so long is issued again.
SILENT_S = 120.0
# Characters of an answer that shows what is odd.
QUOTED = 160
OUTCOMES = {
    "decided": TaskOutcome.TASK_OUTCOME_DECIDED,
    "tied": TaskOutcome.TASK_OUTCOME_TIE,
    "skipped": TaskOutcome.TASK_OUTCOME_SKIPPED,
    "expired": TaskOutcome.TASK_OUTCOME_EXPIRED,
}


@dataclass(frozen=True)
class Odd:
    """Something to look at: since when, what, in which unit (empty: no single one), a picture of it."""

    offset: int
    at: float
    says: str
    unit: str = ""
    picture: str = ""
    # A stranger's text that shows it.
    quote: str = ""


@dataclass(frozen=True)
class Chapter:
    """A stage, or what happened between stages (then `stage` is empty)."""

    stage: str
    first: int
    last: int
    began: float
    ended: float
    says: str
    usage: Usage = field(default_factory=Usage)
    odd: tuple[Odd, ...] = ()
    closed: bool = True


def tell(facts: Sequence[Fact]) -> list[Chapter]:
    """The chapters, in order. `facts` are one run's, duplicates left out."""
    config = next((fact.event.run_created.config for fact in facts if fact.kind == "run_created"), RunConfig())
    judge: dict[int, int] = {}
    chapters: list[Chapter] = []
    open_: list[Fact] = []
    for fact in facts:
        if fact.kind == "stage_opened" or (open_ and not _belongs(open_, fact)):
            chapters += _chapter(open_, config, judge)
            open_ = []
        open_.append(fact)
        if fact.kind == "stage_closed":
            chapters += _chapter(open_, config, judge)
            open_ = []
    return _with_alarms([*chapters, *_chapter(open_, config, judge)], alarms.of_rounds([fact.event for fact in facts]))


def _with_alarms(chapters: Sequence[Chapter], found: Sequence[alarms.Alarm]) -> list[Chapter]:
    """Each alarm at the last stage of the round that it begins with."""
    last = {int(round_): at for at, one in enumerate(chapters) if (round_ := one.stage.partition(".")[2]).isdecimal()}
    odd: dict[int, list[Odd]] = {}
    for one in found:
        at = last.get(one.round or 0, len(chapters) - 1)
        odd.setdefault(at, []).append(Odd(chapters[at].last, chapters[at].ended, one.says))
    return [replace(one, odd=(*one.odd, *odd.get(at, ()))) for at, one in enumerate(chapters)]


def _belongs(open_: Sequence[Fact], fact: Fact) -> bool:
    """Facts of an open stage stay with it; outside of stages one kind of fact is one chapter."""
    return open_[0].kind == "stage_opened" or open_[0].kind == fact.kind


def _chapter(facts: Sequence[Fact], config: RunConfig, judge: dict[int, int]) -> list[Chapter]:
    if not facts:
        return []
    if facts[0].kind != "stage_opened":
        return [_between(facts)]
    opened = facts[0].event.stage_opened
    mine = [f for f in facts if (f.event.unit.stage, f.event.unit.round) == (opened.stage, opened.round)]
    if opened.stage in JUDGING:
        for said in (fact.event.shard_labeled for fact in mine if fact.kind == "shard_labeled"):
            judge.update(zip(said.pair_index, said.choice, strict=False))
    says = ", ".join(filter(None, (_units(opened.units, opened.stage, mine), _came(opened.stage, mine, judge))))
    odd = [*_failures(mine), *_deferrals(mine), *_commands(facts), *_silence(opened.stage, facts)]
    if opened.stage in JUDGING:
        odd += [*_breaks(_last_tries(mine), config), *_faults(_last_tries(mine)), *_one_sided(_last_tries(mine))]
    found = _made(facts, says, odd)
    return [replace(found, stage=_stage(facts[0].event), closed=facts[-1].kind == "stage_closed")]


def _made(facts: Sequence[Fact], says: str, odd: Sequence[Odd] = ()) -> Chapter:
    spent = Usage()
    for fact in facts:
        usage.add(spent, fact.event.usage)
    in_order = tuple(sorted(odd, key=lambda one: one.offset))
    return Chapter("", facts[0].offset, facts[-1].offset, facts[0].at, facts[-1].at, says, spent, in_order)


def _stage(event: Event) -> str:
    opened = event.stage_opened
    return step_name(opened.stage, opened.round) if opened.stage in Stage.values() else f"stage {opened.stage}"


def _unit_name(unit: Unit) -> str:
    """A newer version's stage, or one that somebody altered, goes by its number: the story goes on."""
    return unit_name(unit) if unit.stage in Stage.values() else f"stage {unit.stage}/{unit.number}"


def _reason(reason: int) -> str:
    return word(PauseReason, reason) if reason in PauseReason.values() else str(reason)


def _between(facts: Sequence[Fact]) -> Chapter:
    """A run's own facts outside of stages."""
    event, kind = facts[-1].event, facts[0].kind
    match kind:
        case "run_created":
            return _made(facts, f"created from {event.run_created.input_name or 'an input without a name'}")
        case "pairs_added":
            return _made(
                facts, f"{many(sum(s.pairs for f in facts for s in f.event.pairs_added.shards), 'pair')} came in"
            )
        case "run_started":
            return _made(facts, f"started with a budget of {many(event.run_started.human_budget, 'vote')}")
        case "run_finished":
            return _made(facts, f"finished: dataset {event.run_finished.dataset_sha256[:12]}…")
        case _:
            odd = list(_commands(facts))
            return _made(facts, "" if odd else f"{many(len(facts), 'late or unknown fact')} ({kind})", odd)


def _units(units: int, stage: int, mine: Sequence[Fact]) -> str:
    settled = {fact.event.unit.number for fact in mine if fact.kind not in ("unit_deferred", *_VOTES)}
    whole = many(units, "question" if stage in HUMAN else "unit")
    return whole if len(settled) >= units else f"{len(settled):,} of {whole} settled"


_VOTES = ("annotation_submitted", "task_skipped", "annotation_withdrawn")


def _came(stage: int, mine: Sequence[Fact], judge: dict[int, int]) -> str:
    """What came of the stage, from its units' facts."""
    if stage in JUDGING:
        return _verdicts(_last_tries(mine))
    if stage in HUMAN:
        return _people(mine, judge)
    if stage == Stage.STAGE_GENERATE:
        return _generated([fact.event.shard_generated for fact in mine if fact.kind == "shard_generated"])
    last = next((fact.event for fact in reversed(mine) if fact.kind not in ("unit_failed", "unit_deferred")), None)
    if last is None:
        return ""
    match last.WhichOneof("kind"):
        case "round_triaged":
            said = last.round_triaged
            audited = f", audited {said.audited_error:.1%}" if said.HasField("audited_error") else ""
            flipped = f"{many(said.flipped, 'label')} flipped"
            # Without trust it is what was assumed before anybody answered.
            error = f", estimated error {said.expected_error:.1%}" if said.trust else ""
            enough = f"; enough: {said.enough}" if said.enough else ""
            alarms = "".join(f"; alarm: annotator {deviating.words(one)}" for one in said.deviations)
            return f"{len(said.asked):,} to ask, {flipped}{error}{audited}{enough}{alarms}"
        case "pairs_selected":
            kept = last.pairs_selected
            why = "".join(f", {one.pairs:,} left out: {one.why}" for one in kept.left_out)
            return f"{many(kept.pairs, 'pair')} to label{why}"
        case "policy_trained":
            answered = last.policy_trained.answered
            steps = len({one.step for one in answered})
            pairs = sum(one.shard.pairs for one in answered)
            return (
                f"{many(pairs, 'pair')} of answers to compare, at {many(steps, 'step')} of the training"
                if answered
                else ""
            )
        case "policy_scored" | "policy_judged":
            return _compared([fact.event for fact in mine])
        case "dataset_built":
            made = last.dataset_built
            sure = f", estimated accuracy {made.estimated_accuracy:.1%}" if made.HasField("estimated_accuracy") else ""
            rows, ties = many(made.rows, "row"), many(made.ties, "tie")
            checks = f"{made.from_checks:,} by checks, " if made.from_checks else ""
            return f"{rows}: {made.from_people:,} by people, {checks}{made.flipped:,} flipped, {ties}{sure}"
    return ""


def _compared(events: Sequence[Event]) -> str:
    """How the policy fares against its start, step by step."""
    steps: dict[tuple[int, bool], Counter[str]] = {}
    for event in events:
        scored, judged = event.policy_scored, event.policy_judged
        said = judged if event.HasField("policy_judged") else scored
        of = len(judged.labels.pair_index) or len(scored.margin)
        count = steps.setdefault((said.step, said.kept), Counter())
        count.update(of=of, wins=judged.wins + scored.preferred, losses=judged.losses)
    told = []
    for (step, kept), count in sorted(steps.items()):
        if count["of"]:
            losses = f" and loses {count['losses']:,}" if count["losses"] else ""
            name = f"step {step:,} (kept)" if kept else f"step {step:,}"
            told.append(f"{name} wins {count['wins']:,}{losses} of {count['of']:,}")
    return "; ".join(told)


def _generated(shards: Sequence[ShardGenerated]) -> str:
    asked, prompts = sum(one.answers for one in shards), sum(one.prompts for one in shards)
    why = Counter[str]()
    for dropped in (one for shard in shards for one in shard.dropped):
        why[dropped.why] += dropped.answers
    gone = "".join(f", {count:,} dropped: {reason}" for reason, count in why.most_common())
    pairs = many(sum(one.shard.pairs for one in shards), "candidate pair")
    return f"{many(asked, 'answer')} to {many(prompts, 'prompt')}{gone}; {pairs}"


def _last_tries(mine: Sequence[Fact]) -> list[Fact]:
    """The shards' verdicts that count: a shard that was judged anew has those of its last try."""
    last = {fact.event.unit.number: fact for fact in mine if fact.kind == "shard_labeled"}
    return sorted(last.values(), key=lambda fact: fact.offset)


def _verdicts(shards: Sequence[Fact]) -> str:
    said = [choice for fact in shards for choice in fact.event.shard_labeled.choice]
    first, second = said.count(Choice.CHOICE_FIRST), said.count(Choice.CHOICE_SECOND)
    none = len(said) - first - second
    kinds = checked.by_kind(fact.event.shard_labeled for fact in shards)
    return f"{many(len(said), 'pair')}: {first:,} first, {second:,} second" + (
        (f", {none:,} without a verdict" if none else "") + (f"; {checked.words(kinds)}" if kinds else "")
    )


def _people(mine: Sequence[Fact], judge: dict[int, int]) -> str:
    tasks = [fact.event.task_resolved for fact in mine if fact.kind == "task_resolved"]
    counts = {word: sum(task.outcome == outcome for task in tasks) for word, outcome in OUTCOMES.items()}
    out = ", ".join(f"{count:,} {word}" for word, count in counts.items() if count)
    told = [t for t in tasks if t.outcome == TaskOutcome.TASK_OUTCOME_DECIDED and judge.get(t.pair_index)]
    agree = sum(judge[task.pair_index] == task.choice for task in told)
    return out + (f"; people agree with the judge on {agree:,} of {len(told):,}" if told else "")


def _failures(mine: Sequence[Fact]) -> Iterator[Odd]:
    for fact in mine:
        if fact.kind == "unit_failed":
            said = fact.event.unit_failed
            yield Odd(fact.offset, fact.at, f"failed after {said.attempts}: {said.error}", _unit_name(fact.event.unit))


def _deferrals(mine: Sequence[Fact]) -> Iterator[Odd]:
    """One for each unit, however often it was put off."""
    put_off = [fact for fact in mine if fact.kind == "unit_deferred"]
    for name in dict.fromkeys(_unit_name(fact.event.unit) for fact in put_off):
        own = [fact for fact in put_off if _unit_name(fact.event.unit) == name]
        times = many(len(own), "time") if len(own) > 1 else "once"
        yield Odd(own[0].offset, own[0].at, f"put off {times}: {own[-1].event.unit_deferred.reason}", name)


def _commands(facts: Sequence[Fact]) -> Iterator[Odd]:
    for fact in facts:
        if says := _command(fact):
            by = f" (by {fact.event.actor})" if fact.event.actor else ""
            yield Odd(fact.offset, fact.at, f"{says}{by}")


def _command(fact: Fact) -> str:
    """What somebody, or the run itself, ordered, in words; empty for another kind of fact."""
    event = fact.event
    match fact.kind:
        case "run_paused":
            return f"paused ({_reason(event.run_paused.reason)}): {event.run_paused.detail}"
        case "run_resumed":
            return "resumed"
        case "stage_retried":
            why = f": {event.stage_retried.reason}" if event.stage_retried.reason else ""
            return f"what failed or stayed without a verdict is tried anew{why}"
        case "budget_changed":
            said = event.budget_changed
            return f"budget now {many(said.human_budget, 'vote')}, ${said.dollar_budget:,.2f} (0: no limit)"
        case "run_cancelled":
            return f"cancelled: {event.run_cancelled.reason or 'no reason given'}"
        case "access_revoked":
            revoked = event.access_revoked
            return f"{revoked.name} is let in no more: {revoked.reason or 'no reason given'}"
        case "erased":
            gone, actor = event.erased, event.actor or "somebody with this machine's rights"
            kept = f", {many(gone.kept, 'fact')} could not be changed" if gone.kept else ""
            return (
                f"a {gone.what} was erased by {actor}: words are gone from {many(len(gone.blobs), 'blob')} and "
                f"{many(len(gone.offsets), 'fact')}{kept}; {gone.reason or 'no reason given'}"
            )
        case _:
            return ""


def _silence(stage: int, facts: Sequence[Fact]) -> Iterator[Odd]:
    """The longest time in which nothing happened; people may take their time."""
    if stage in HUMAN or len(facts) < 2:
        return
    longest, at = max((facts[at].at - facts[at - 1].at, at) for at in range(1, len(facts)))
    if longest >= SILENT_S:
        yield Odd(facts[at - 1].offset, facts[at - 1].at, f"after this nothing happened for {longest:,.0f} s")


def _faults(shards: Sequence[Fact]) -> Iterator[Odd]:
    """Answers that are no verdict, by cause, at the first shard that has them."""
    for found in answer_faults.collected(fact.event.shard_labeled for fact in shards):
        first = next(fact for fact in shards if _has(fact.event.shard_labeled, found))
        quote = answer_faults.short(found.examples[0].text, QUOTED) if found.examples else ""
        says = f"{found.words}: {found.cause.do}"
        yield Odd(first.offset, first.at, says, _unit_name(first.event.unit), quote=quote)


def _has(said: ShardLabeled, found: FaultyAnswers) -> bool:
    return any((one.judge, one.fault) == (found.judge, found.fault) for one in (*said.faults, *said.kept_answers))


def _one_sided(shards: Sequence[Fact]) -> Iterator[Odd]:
    """A judge that follows the place of an answer."""
    flips = order_flips.flips_of(fact.event.shard_labeled for fact in shards)
    if flips.one_sided:
        yield Odd(shards[0].offset, shards[0].at, f"{order_flips.words(flips)}: more than a coin would change")


def _breaks(shards: Sequence[Fact], config: RunConfig) -> Iterator[Odd]:
    """Where the judge became another one, as far as its verdicts show it."""
    for signal in drift.signals([fact.event for fact in shards], config):
        for jump in alarms.alarming(signal):
            here, full = shards[jump.at], shards[jump.full]
            yield Odd(here.offset, here.at, alarms.words(jump), _unit_name(full.event.unit), bars(signal))
