"""Labels that are against the reward models with a pattern: the judge's, and people's, by the words of their prompts. PURE."""

from collections.abc import Callable

import numpy as np

from concord.kit.plural import many
from concord.preference import orders
from concord.report import marked
from concord.report.alarms import Alarm
from concord.report.history import Array, History
from concord.v1.pairs_pb2 import Choice, PairShard

PATTERN = "labels against the reward models, by a word or a domain"
# So many pairs are read, whole shards of the corpus at equal distances: enough for a mark on one of a hundred.
MOST_PAIRS = 20_000
ORDERS = "answers that give orders to the judge"
MOST_READ_FOR_ORDERS, QUOTED = 2_000, 120
_READ_THEM = (
    "read them, and look where these answers come from; with other words more of them may have reached the judge"
)


def patterns(history: History, read: Callable[[str], bytes]) -> tuple[Alarm, ...]:
    """An alarm for each word or domain whose labels stand out; none before a reward model has scored."""
    margin = history.margin
    if margin is None or not history.shards:
        return ()
    marks = _marks(history, read)
    sides = {"the judge's labels": history.given, "people's answers": _people(history)}
    return tuple(alarm for what, label in sides.items() for alarm in _alarms(what, label, margin, marks))


def bribes(history: History, read: Callable[[str], bytes]) -> tuple[Alarm, ...]:
    """An alarm where answers give orders to the judge; of long corpora a part is read."""
    every = max(1, -(-history.pairs // MOST_READ_FOR_ORDERS))
    seen, found = 0, list[str]()
    for ref in history.shards[::every]:
        for pair in PairShard.FromString(read(ref.uri)).pairs:
            seen += 2
            conversation = "\n\n".join(turn.content for turn in pair.prompt)
            first, second = pair.first.text, pair.second.text
            found += [
                text[slice(*next(orders.orders(text)))]
                for text, other in ((first, second), (second, first))
                if orders.shown(text, conversation, other) is not text
            ]
    if not found:
        return ()
    answers = f"{many(len(found), 'answer')} of {seen:,} {'gives' if len(found) == 1 else 'give'} orders to the judge"
    says = f"{answers}, which it was not shown: “{found[0].strip()[:QUOTED]}”"
    return (Alarm(ORDERS, "", None, 0.0, len(found) / seen, "", says, _READ_THEM),)


def _alarms(what: str, label: Array, margin: Array, marks: dict[int, frozenset[str]]) -> list[Alarm]:
    read = np.array(sorted(marks), np.int64)
    label, margin = label[read], margin[read]
    told = np.isin(label, (Choice.CHOICE_FIRST, Choice.CHOICE_SECOND)) & ~np.isnan(margin) & (margin != 0)
    against = np.where(label == Choice.CHOICE_FIRST, -margin, margin)[told]
    found = marked.marked([marks[int(pair)] for pair in read[told]], against)
    return [
        Alarm(PATTERN, "", None, one.usual, one.against / one.pairs, "", marked.words(one, what), marked.DO)
        for one in found
    ]


def _people(history: History) -> Array:
    """What people decided, a Choice, 0 where they did not; [pairs]."""
    said = np.zeros(history.pairs, np.int8)
    for answer in history.answers:
        if answer.decided:
            said[answer.pair] = answer.choice
    return said


def _marks(history: History, read: Callable[[str], bytes]) -> dict[int, frozenset[str]]:
    """Pair index → its marks, of the shards that are read."""
    every = -(-history.pairs // MOST_PAIRS)
    marks = {}
    for ref in history.shards[::every]:
        for at, pair in enumerate(PairShard.FromString(read(ref.uri)).pairs):
            marks[ref.first_index + at] = marked.marks_of(pair.prompt, pair.domain)
    return marks
