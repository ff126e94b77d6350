"""Why a judge's answers are no verdicts: one table from the cause to words and to what to do, and what facts hold of them. PURE.

Whoever tells of such answers (the gate, `replay`, the report, `doctor`, `judge try`) takes both from here.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from concord.preference.stages import JUDGING
from concord.v1.events_pb2 import AnswerFault, Event, KeptAnswer, ShardLabeled

# Of each judge and cause, over the whole run.
MOST_KEPT = 3


@dataclass(frozen=True)
class Cause:
    """One cause."""

    # Behind a number of answers: "12 answers were cut …".
    words: str
    do: str


CAUSES: Mapping[int, Cause] = {
    AnswerFault.ANSWER_FAULT_CUT: Cause(
        "cut by the limit on tokens before the verdict",
        "let it write more: a larger `max_tokens` in the settings file; a model that thinks needs thousands",
    ),
    AnswerFault.ANSWER_FAULT_REFUSED: Cause(
        "declined by the model",
        "say in --criteria that judging is not agreeing, or take another model for these texts",
    ),
    AnswerFault.ANSWER_FAULT_FILTERED: Cause(
        "stopped by the endpoint's content filter",
        "loosen the filter at the endpoint, or leave these pairs to people",
    ),
    AnswerFault.ANSWER_FAULT_EMPTY: Cause(
        "empty",
        "look at the model's chat template and at its server's log; a model that thinks may need a larger `max_tokens`",
    ),
    AnswerFault.ANSWER_FAULT_NOT_UNDERSTOOD: Cause(
        "a text in which no verdict is found",
        "read the examples: a chat model that follows instructions is needed, and criteria that do not ask for another form",
    ),
    AnswerFault.ANSWER_FAULT_CONTRADICTING: Cause(
        "naming both responses as the better one",
        "read the examples: a small model that copies the form answers so; take a larger one",
    ),
    AnswerFault.ANSWER_FAULT_REJECTED: Cause(
        "refused or failed by the endpoint for this pair alone",
        "read what the endpoint says: mostly the pair is longer than the model's window",
    ),
}
# Of a newer version.
_UNKNOWN = Cause("without a verdict, for a cause that this version does not know", "look at them with a newer version")


@dataclass(frozen=True)
class FaultyAnswers:
    """Answers of one judge that are no verdict, for one cause; `examples` are strangers' texts."""

    judge: str
    fault: int
    answers: int
    examples: Sequence[KeptAnswer] = field(default_factory=tuple)

    @property
    def cause(self) -> Cause:
        """The table's entry."""
        return CAUSES.get(self.fault, _UNKNOWN)

    @property
    def name(self) -> str:
        """`cut`, `not understood`."""
        return (
            AnswerFault.Name(self.fault).removeprefix("ANSWER_FAULT_").replace("_", " ").lower()
            if (self.fault in AnswerFault.values())
            else "unknown"
        )

    @property
    def words(self) -> str:
        """`12 answers were cut by the limit on tokens before the verdict`."""
        return f"{self.answers:,} answer{' was' if self.answers == 1 else 's were'} {self.cause.words}"


def collected(labeled: Iterable[ShardLabeled]) -> tuple[FaultyAnswers, ...]:
    """By judge and cause, the most frequent first."""
    counts: Counter[tuple[str, int]] = Counter()
    kept: dict[tuple[str, int], list[KeptAnswer]] = {}
    for said in labeled:
        for count in said.faults:
            counts[count.judge, count.fault] += count.answers
        for answer in said.kept_answers:
            kept.setdefault((answer.judge, answer.fault), []).append(answer)
    counts.update({key: len(answers) for key, answers in kept.items() if key not in counts})
    return tuple(
        FaultyAnswers(judge, fault, answers, tuple(kept.get((judge, fault), ())[:MOST_KEPT]))
        for (judge, fault), answers in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


def standing(events: Iterable[Event]) -> list[ShardLabeled]:
    """The verdicts that count now: of the stage that judges all pairs, before it of the pilot; of each unit the last try."""
    last: dict[int, dict[int, Event]] = {stage: {} for stage in JUDGING}
    for event in events:
        if event.HasField("shard_labeled") and event.unit.stage in last:
            last[event.unit.stage][event.unit.number] = event
    units = next((last[stage] for stage in reversed(JUDGING) if last[stage]), {})
    return [units[number].shard_labeled for number in sorted(units)]


def lines(found: Sequence[FaultyAnswers], names: Mapping[int, str], most: int = 2, characters: int = 160) -> list[str]:
    """For a terminal: each cause with what to do, and up to `most` examples in all, each on one line and shortened.

    `names`: what the pairs of the examples are called, by their index in the run.
    """
    out, left = [], most
    several = len({answers.judge for answers in found}) > 1
    for answers in found:
        out.append(f"{answers.judge + ': ' if several else ''}{answers.words}: {answers.cause.do}")
        for example in answers.examples[:1] if len(found) > 1 else answers.examples:
            if left:
                where = f"{names[example.pair_index]}{', orders swapped' if example.swapped else ''}"
                out.append(f"  pair {where}: {short(example.text, characters)}")
                left -= 1
    return out


def short(text: str, characters: int) -> str:
    """The text on one line, its middle left out where it is longer than this."""
    flat = " ".join(text.split()) or "(nothing)"
    if len(flat) <= characters:
        return flat
    half = (characters - 3) // 2
    return f"{flat[:half]} … {flat[-half:]}"
