"""Other criteria for a run's judge: what it is asked again, on the pairs that people decided, and what comes of it. Pure.

Whoever asks the judge hands in a function that does a unit of work.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from concord.kit.errors import InvalidInput
from concord.preference import call_costs
from concord.preference.call_costs import Expected
from concord.preference.judges import JUDGE_KINDS, named, networked
from concord.preference.pairs import utf8_bytes
from concord.report.disagreement import Answered
from concord.report.history import History
from concord.report.paired import Paired, paired
from concord.v1.config_pb2 import JudgeConfig, RunConfig
from concord.v1.events_pb2 import Event, Stage, Usage
from concord.v1.pairs_pb2 import Choice
from concord.v1.work_pb2 import Work

# Pairs of one unit of work.
AT_ONCE = 64
SIDES = {Choice.CHOICE_FIRST: "first", Choice.CHOICE_SECOND: "second"}


@dataclass(frozen=True)
class Trial:
    """The judge with other criteria on the pairs that people decided."""

    agreement: Paired
    drawn: Paired | None  # on those that were drawn at random; None where there are none
    silent: int  # pairs without a usable verdict now
    mended: tuple[int, ...]  # indexes of pairs
    broken: tuple[int, ...]


def revised(config: RunConfig, criteria: str) -> RunConfig:
    """The run's configuration with other criteria and the labelling judge alone. Raises InvalidInput where it reads none."""
    judge = config.judge
    if not networked(judge):
        spellings = [kind.spelling for kind in JUDGE_KINDS.values() if kind.networked]
        raise InvalidInput(
            f"the judge of this run is {named(judge.kind, judge.name)}, which reads no criteria: only {' or '.join(spellings)} does"
        )
    out = RunConfig()
    out.CopyFrom(config)
    del out.helpers[:]
    out.ClearField("parent")
    # Somebody waits for this: no batches.
    out.judge.criteria, out.judge.batch = criteria, False
    out.checks_off = True
    return out


def expected(history: History, found: Sequence[Answered], judge: JudgeConfig) -> Expected:
    """What asking the judge about these pairs will cost, as far as the run shows."""
    used = Usage()
    for event, _ in history.events:
        if event.unit.stage == Stage.STAGE_GENERATE:
            continue
        for field in Usage.DESCRIPTOR.fields:
            setattr(used, field.name, getattr(used, field.name) + getattr(event.usage, field.name))
    size = sum(ref.text_bytes for ref in history.shards)
    config = history.created.config
    judged = int((history.labels.choice != 0).sum())
    rates = call_costs.learned((config.judge, *config.helpers), used, size / max(1, history.pairs), judged)
    texts = sum(_bytes(one) for one in found)
    return call_costs.expected((judge,), texts, len(found), rates)


def asked_again(
    history: History, config: RunConfig, found: Sequence[Answered], do: Callable[[Work], Event]
) -> Iterator[tuple[Event, int]]:
    """What the judge says under this configuration of these pairs: (fact, pairs so far), unit by unit."""
    firsts = np.array([ref.first_index for ref in history.shards])
    for start in range(0, len(found), AT_ONCE):
        indexes = [one.index for one in found[start : start + AT_ONCE]]
        work = Work(run_id=history.run_id, unit={"stage": Stage.STAGE_LABEL, "number": start // AT_ONCE}, config=config)
        places = sorted({int(np.searchsorted(firsts, index, side="right")) - 1 for index in indexes})
        work.label_shard.shard_uris.extend(history.shards[at].uri for at in places)
        work.label_shard.pair_indexes.extend(indexes)
        yield do(work), start + len(indexes)


def trial(found: Sequence[Answered], events: Sequence[Event]) -> Trial:
    """What the new verdicts come to beside the old ones, over the same pairs."""
    now = {
        index: choice
        for event in events
        for index, choice in zip(event.shard_labeled.pair_index, event.shard_labeled.choice, strict=True)
    }
    before = [one.judge == one.people for one in found]
    after = [now.get(one.index, 0) == one.people for one in found]
    drawn = [at for at, one in enumerate(found) if one.drawn]
    return Trial(
        agreement=paired(before, after),
        drawn=paired([before[at] for at in drawn], [after[at] for at in drawn]) if drawn else None,
        silent=sum(now.get(one.index, 0) not in SIDES for one in found),
        mended=tuple(one.index for one, was, is_ in zip(found, before, after, strict=True) if is_ and not was),
        broken=tuple(one.index for one, was, is_ in zip(found, before, after, strict=True) if was and not is_),
    )


def _bytes(one: Answered) -> int:
    texts = (*(turn.content for turn in one.pair.prompt), one.pair.first.text, one.pair.second.text)
    return sum(utf8_bytes(text) for text in texts)
