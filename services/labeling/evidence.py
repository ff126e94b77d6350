"""Why an answer of a judge is no verdict, and the few that are kept so that somebody can look at them. PURE."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from concord.labeling.judge import Combined, Miss
from concord.labeling.refusal import Trouble
from concord.labeling.reply import Reply
from concord.labeling.verdict import Reading, answer_at, thinks_aloud
from concord.v1 import events_pb2 as ev
from concord.v1.events_pb2 import AnswerFault

# Kept of each judge and cause in a shard.
KEPT = 3
MOST_KEPT = 4_000
# Characters kept in one shard, all judges together: the fact travels through the log and lies in the stage's manifest.
MOST_IN_A_SHARD = 40_000

_DECLINES = re.compile(
    r"\W*(?:i['’]?m sorry|sorry|i apologi[sz]e|as an ai|i (?:can(?:no|['’])t|can not|will not|won['’]t|am unable|['’]?m unable|"
    r"must decline|would rather not))",
    re.IGNORECASE,
)


def missed(reply: Reply, reading: Reading, swapped: bool) -> Miss:
    """The answer that is no verdict, with its cause."""
    # A model may think unseen: then its tokens are used up and nothing is there.
    thinks = bool(reply.reasoning) or thinks_aloud(reply.text) or not reply.text.strip()
    return Miss(_fault(reply, reading), swapped, _shown(reply), thinks, reply.room)


def rejected(trouble: Trouble, swapped: bool) -> Miss:
    """The request that the endpoint refuses or fails on while it answers others."""
    fault = AnswerFault.ANSWER_FAULT_FILTERED if trouble.words.filtered else AnswerFault.ANSWER_FAULT_REJECTED
    status = f"{trouble.detail}: " if trouble.words.message else ""
    return Miss(fault, swapped, (status + trouble.said)[:MOST_KEPT])


def faults(judges: Iterable[tuple[str, Sequence[Combined]]]) -> list[ev.FaultCount]:
    """Judge by judge (name, what it said of each pair) and cause: how many answers came to nothing."""
    counts = Counter((name, miss.fault) for name, said in judges for one in said for miss in one.misses)
    return [ev.FaultCount(judge=name, fault=fault, answers=count) for (name, fault), count in counts.items()]


def kept(indexes: Sequence[int], judges: Iterable[tuple[str, Sequence[Combined]]]) -> list[ev.KeptAnswer]:
    """The first `KEPT` of each judge and cause; `indexes` are the pairs' in the run, shape [pairs]."""
    left, out = MOST_IN_A_SHARD, []
    for name, index, miss in _firsts(indexes, judges):
        # Half a surrogate pair, which JSON may hold and a fact may not.
        text = miss.text[: min(MOST_KEPT, left)].encode(errors="replace").decode()
        left -= len(text)
        out.append(ev.KeptAnswer(judge=name, fault=miss.fault, pair_index=index, swapped=miss.swapped, text=text))
    return out


def _firsts(
    indexes: Sequence[int], judges: Iterable[tuple[str, Sequence[Combined]]]
) -> Iterator[tuple[str, int, Miss]]:
    seen: Counter[tuple[str, AnswerFault.ValueType]] = Counter()
    for name, said in judges:
        for index, one in zip(indexes, said, strict=True):
            for miss in one.misses:
                seen[name, miss.fault] += 1
                if seen[name, miss.fault] <= KEPT:
                    yield name, index, miss


def _fault(reply: Reply, reading: Reading) -> AnswerFault.ValueType:
    if reply.filtered:
        return AnswerFault.ANSWER_FAULT_FILTERED
    if reply.refusal:
        return AnswerFault.ANSWER_FAULT_REFUSED
    if reading.contradicting:
        return AnswerFault.ANSWER_FAULT_CONTRADICTING
    answer = reply.text[answer_at(reply.text) :].strip()
    # Thinking that never ends was cut, whatever the endpoint calls it.
    if reply.cut or (not answer and reply.text.strip()):
        return AnswerFault.ANSWER_FAULT_CUT
    if not answer:
        return AnswerFault.ANSWER_FAULT_EMPTY
    if _DECLINES.match(answer):
        return AnswerFault.ANSWER_FAULT_REFUSED
    return AnswerFault.ANSWER_FAULT_NOT_UNDERSTOOD


def _shown(reply: Reply) -> str:
    """What it wrote, else what it said instead, else what it thought."""
    return (reply.text.strip() or reply.refusal.strip() or reply.reasoning.strip())[:MOST_KEPT]
