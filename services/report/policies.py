"""A run's policy beside the model that it began as, on prompts that its training held out: reward, judge and satisfaction. Pure.

A policy that is trained further than its reward model knows writes what that model likes and nobody else does (Gao et al. 2023,
arXiv 2210.10760): the reward rises and the judge's win rate falls. So both stand beside each other, at the steps that are compared,
with an alarm where they part beyond chance. The prompts taught the policy nothing and chose none of its checkpoints.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from concord.preference.evaluating import POLICY, START
from concord.report import contests, measures
from concord.report.contests import Answers, Contest, Rate
from concord.report.history import Answered, History
from concord.report.measures import LEVEL_Z, Measures
from concord.report.satisfaction import marks, safe
from concord.report.shares import Share, share_of
from concord.v1.pairs_pb2 import PairShard

Array = np.ndarray
Read = Callable[[str], bytes]


@dataclass(frozen=True)
class Point:
    """The policy at one step of its training, against its start; rates are above one half where it is preferred."""

    step: int
    kept: bool  # whether this is the policy: the best checkpoint
    prompts: int  # that it was asked, those with the very same answers among them
    reward: Rate | None  # by the final reward model
    reward_margin: float | None  # the policy's reward minus its start's, in logits, the mean
    judge: Rate | None
    judge_at_equal_length: Rate | None
    satisfaction: Share  # answers of it that are correct and acceptable, where that is known


@dataclass(frozen=True)
class PolicyEvaluation:
    """What came of the comparison."""

    asked: int  # prompts that were asked for; more than were held out are not there
    contest: Contest | None  # of the policy itself; None where too few pairs
    reward: Rate | None
    panel: Rate | None  # judge and helpers together, each pair the mean of what they say; None without helpers
    # Of people, who saw some of these pairs, drawn at random, and neither names nor verdicts; None where nobody was asked.
    people: "ByPeople | None"
    points: tuple[Point, ...]  # by step
    ended: int  # the step of the last one: where the training ended
    start_satisfaction: Share
    alarms: tuple[str, ...]  # in words


@dataclass(frozen=True)
class ByPeople:
    """What people said of the policy's answers beside its start's."""

    asked: int  # questions
    answered: int  # those that somebody answered
    votes: int
    # The policy wins; a tie is half a win. None where too few answered.
    rate: Rate | None
    says: str  # who wins by their answers, in words; empty where too few answered
    # Where people and the judge both say which one is better: how often they say the same.
    agree: Share
    satisfaction: Share  # the policy's answers that they marked as acceptable, of those that they marked
    start_satisfaction: Share


@dataclass(frozen=True, eq=False)
class _Said:
    """All pairs of one step; shapes [pairs]."""

    names: Sequence[str]
    answers: Answers
    reward: Array  # reward of the policy's answer minus its start's, NaN not scored
    panel: Array  # the policy's score by judge and helpers together, NaN nobody said anything
    good: Array  # of the policy's answer: 1 correct and acceptable, 0 not, NaN not known
    start_good: Array
    alike: int
    marks: tuple[Array, Array]  # people's of the first and the second answer: 1 acceptable, 0 not, NaN nobody said

    @property
    def judge(self) -> Array:
        """The policy's scores by the judge."""
        return contests.mine(self.answers.judge, self.answers.is_first)


def policy(history: History, read: Read) -> PolicyEvaluation | None:
    """None where nothing was compared, or nobody has judged it yet."""
    if not any(one.judged for one in history.answered):
        return None
    steps = sorted({one.shard.step for one in history.answered})
    kept = next((one.shard.step for one in history.answered if one.shard.kept), steps[-1])
    said = {
        step: _said(
            [one for one in history.answered if one.shard.step == step], read, history if step == kept else None
        )
        for step in steps
    }
    mine = said[kept]
    enough = len(mine.names) >= contests.LEAST
    return PolicyEvaluation(
        asked=history.created.config.evaluate,
        contest=contests.compared(POLICY, START, mine.answers, mine.alike) if enough else None,
        reward=contests.rated(_wins(mine.reward)),
        panel=contests.rated(mine.panel) if history.created.config.helpers else None,
        people=_by_people(history, mine),
        points=tuple(_point(step, step == kept, said[step]) for step in steps),
        ended=steps[-1],
        start_satisfaction=_share(mine.start_good),
        alarms=tuple(_alarms(said, kept)),
    )


def _by_people(history: History, said: _Said) -> ByPeople | None:
    """What people said of the policy's own answers."""
    if not history.compared:
        return None
    people, judge = said.answers.people, said.answers.judge
    both = np.isin(people, (0.0, 1.0)) & np.isin(judge, (0.0, 1.0))
    first, second = said.marks
    rate = contests.rated(contests.mine(people, said.answers.is_first))
    return ByPeople(
        asked=len(history.compared),
        answered=sum(answer.given for answer in history.compared),
        votes=sum(len(answer.annotation_ids) for answer in history.compared),
        rate=rate,
        says=f"by people: {contests.says(POLICY, START, rate, None)}" if rate else "",
        agree=share_of(int((people == judge)[both].sum()), int(both.sum())),
        satisfaction=_share(np.where(said.answers.is_first, first, second)),
        start_satisfaction=_share(np.where(said.answers.is_first, second, first)),
    )


def _said(shards: Sequence[Answered], read: Read, history: History | None) -> _Said:
    """The shards of one step, those that were judged; `history`: where people may have been asked about them."""
    alike, judged = sum(one.shard.alike for one in shards), [one for one in shards if one.judged]
    held = [PairShard.FromString(read(one.shard.shard.uri)).pairs for one in judged]
    # Of the texts themselves: a fact that says otherwise is about none of them.
    counts, pairs = list(map(len, held)), [pair for shard in held for pair in shard]
    is_first = np.array([pair.first.model == POLICY for pair in pairs], bool)

    nobody = np.full(len(pairs), np.nan)

    def column(name: str, unsaid: float) -> Array:
        said = [getattr(one.judged.labels, name) for one in judged if one.judged]
        parts = [_whole(column_, count, unsaid) for column_, count in zip(said, counts, strict=True)]
        return np.concatenate([np.zeros(0), *parts])

    judge = contests.judged(column("choice", 0), column("order_flipped", -1))
    people, marked = _heard(history, _numbers(shards, counts, history.pairs)) if history else (nobody, (nobody, nobody))
    first, second = measures.good(
        column("verified", 0),
        *marked,
        (safe(column("conduct_first", 0)), safe(column("conduct_second", 0))),
    )
    reward = [
        _whole((one.scored.reward_margin or one.scored.margin) if one.scored else (), count, np.nan)
        for one, count in zip(judged, counts, strict=True)
    ]
    return _Said(
        names=[pair.pair_id for pair in pairs],
        answers=Answers(is_first, judge, people, column("length_difference", 0), first, second),
        reward=np.where(is_first, 1, -1) * np.concatenate([np.zeros(0), *reward]),
        panel=contests.mine(_panel(judged, counts, judge), is_first),
        good=np.where(is_first, first, second),
        start_good=np.where(is_first, second, first),
        alike=alike,
        marks=marked,
    )


def _numbers(shards: Sequence[Answered], counts: Sequence[int], behind: int) -> Array:
    """The indexes of the judged shards' `counts` pairs as people were asked about them; [pairs]."""
    at, numbers, left = behind, [np.zeros(0, np.int64)], list(counts)
    for one in shards:
        if one.judged:
            numbers.append(np.arange(at, at + left.pop(0)))
        at += one.shard.shard.pairs
    return np.concatenate(numbers)


def _heard(history: History, numbers: Array) -> tuple[Array, tuple[Array, Array]]:
    """What people said of these pairs: the first answer's score as `contests.judged` has it, and their marks of both."""
    count = int(numbers.max(initial=history.pairs - 1)) + 1 - history.pairs
    score = np.full(count, np.nan)
    for answer in history.compared:
        if answer.given and not answer.set_aside and history.pairs <= answer.pair < history.pairs + count:
            score[answer.pair - history.pairs] = contests.score_of(answer.choice)
    first, second = marks(history, history.compared, history.pairs, count)
    at = numbers - history.pairs
    return score[at], (first[at], second[at])


def _whole(said: Sequence[float], pairs: int, unsaid: float) -> Array:
    """A column of that many pairs; one that nobody filled says nothing."""
    return np.array(said, float) if len(said) == pairs else np.full(pairs, unsaid)


def _panel(judged: Sequence[Answered], counts: Sequence[int], judge: Array) -> Array:
    """The first answer's score by judge and helpers, the mean of those who say something; NaN where nobody does."""
    seats, at = [judge], 0
    names = sorted({column.judge for one in judged if one.judged for column in one.judged.labels.helpers})
    helpers = {name: np.full(len(judge), np.nan) for name in names}
    for one, count in zip(judged, counts, strict=True):
        for column in one.judged.labels.helpers if one.judged else ():
            against = _whole(column.disagree, count, -1)
            label = contests.judged(_whole(one.judged.labels.choice, count, 0), np.zeros(count)) if one.judged else ()
            told = np.where(label == 1, 1 - against, np.where(label == 0, against, np.nan))
            helpers[column.judge][at : at + count] = np.where(against < 0, np.nan, told)
        at += count
    table = np.array([*seats, *helpers.values()])
    known = (~np.isnan(table)).sum(0)
    return np.divide(np.nansum(table, 0), known, out=np.full(len(judge), np.nan), where=known > 0)


def _point(step: int, kept: bool, said: _Said) -> Point:
    scored = said.reward[~np.isnan(said.reward)]
    return Point(
        step=step,
        kept=kept,
        prompts=len(said.names) + said.alike,
        reward=contests.rated(_wins(said.reward)),
        reward_margin=float(scored.mean()) if len(scored) else None,
        judge=contests.rated(said.judge),
        judge_at_equal_length=contests.at_equal_length(
            said.judge, np.where(said.answers.is_first, 1, -1) * said.answers.length
        ),
        satisfaction=_share(said.good),
    )


def _wins(margin: Array) -> Array:
    """1 where the margin is for the policy, 0 where it is against, 1/2 where it is neither; NaN stays."""
    return np.where(np.isnan(margin), np.nan, (np.sign(margin) + 1) / 2)


def _share(good: Array) -> Share:
    known = good[~np.isnan(good)]
    return share_of(int(known.sum()), len(known))


def _alarms(said: dict[int, _Said], kept: int) -> list[str]:
    """Where reward rises beyond chance and the judge's preference, or satisfaction, falls beyond chance."""
    out = []
    for step, one in said.items():
        reward, judge = contests.rated(_wins(one.reward)), contests.rated(one.judge)
        name = "the policy" if step == kept else f"the checkpoint of step {step:,}"
        if reward and judge and reward.low > 0.5 > judge.high:
            out.append(
                f"the reward model prefers the answers of {name} to the start's ({reward.rate:.0%}), and the judge does not "
                f"({judge.rate:.0%}): it learned what the reward model likes, and that is not what the judge does"
            )
        if reward and reward.low > 0.5 and (fell := _less_good(one)):
            out.append(
                f"the reward model prefers the answers of {name} ({reward.rate:.0%}), and fewer of them are correct and acceptable "
                f"({100 * fell:+.1f} points)"
            )
    steps = list(said)
    for before, after in pairwise(steps):
        if _rises(said[before], said[after]):
            out.append(
                f"from step {before:,} to step {after:,} the reward of the answers rises and the judge likes them less: train no "
                f"further than {before:,}"
            )
    return out


def _less_good(one: _Said) -> float:
    """How much lower the share of good answers is than the start's, beyond chance; 0 where it is not."""
    wins = contests.rated(_wins(one.reward))
    if wins is None:
        return 0.0
    won = share_of(round(wins.rate * wins.of), wins.of)
    lost = share_of(wins.of - won.count, wins.of)
    found = measures.alarm(Measures(_share(one.start_good), lost), Measures(_share(one.good), won))
    return found.satisfaction_change if found else 0.0


def _rises(before: _Said, after: _Said) -> bool:
    """Whether on the same prompts the reward grew and the judge's score fell, both beyond chance."""
    at = {name: place for place, name in enumerate(before.names)}
    both = [(at[name], place) for place, name in enumerate(after.names) if name in at]
    if len(both) < contests.LEAST:
        return False
    old, new = (list(side) for side in zip(*both, strict=True))
    return _z(after.reward[new] - before.reward[old]) > LEVEL_Z and _z(after.judge[new] - before.judge[old]) < -LEVEL_Z


def _z(difference: Array) -> float:
    """The mean in its standard errors, which are not 0 where all differ alike; 0 where too little is known."""
    known = difference[~np.isnan(difference)]
    if len(known) < contests.LEAST:
        return 0.0
    return float(known.mean() / max(known.std(ddof=1) / np.sqrt(len(known)), 1e-9))
