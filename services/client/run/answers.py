"""A file of people's answers: what each annotator says of each pair, as far as it is written by now."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from concord.client.intake.delimited import ENDINGS
from concord.client.intake.sources import Item, Source, items
from concord.client.intake.text_lines import lines_of
from concord.kit.errors import InvalidInput
from concord.kit.plural import many
from concord.v1 import pairs_pb2 as pb
from concord.v1.events_pb2 import Event

Choice: TypeAlias = pb.Choice.ValueType
# Whether the first and the second answer is acceptable, each by itself.
Marks: TypeAlias = tuple[pb.Mark.ValueType, pb.Mark.ValueType]
NO_MARKS: Marks = (pb.MARK_UNSPECIFIED, pb.MARK_UNSPECIFIED)
# A pair that this annotator cannot decide.
SKIP = pb.CHOICE_UNSPECIFIED
# How a choice may be spelled, in any case; the numbers are those of data sets, which count from 0.
CHOICES: Mapping[object, Choice] = {
    "first": pb.CHOICE_FIRST,
    "second": pb.CHOICE_SECOND,
    "tie": pb.CHOICE_TIE,
    "a": pb.CHOICE_FIRST,
    "b": pb.CHOICE_SECOND,
    "skip": SKIP,
    0: pb.CHOICE_FIRST,
    1: pb.CHOICE_SECOND,
}
WORDS: Mapping[Choice, str] = {
    pb.CHOICE_FIRST: "first",
    pb.CHOICE_SECOND: "second",
    pb.CHOICE_TIE: "tie",
    SKIP: "skip",
}
# An answer of which nothing says whose it is speaks for all whose answers are not there.
_ALL = ""
_MOST_NAME = 200
_DIGITS = 6


@dataclass
class Answers:
    """What a file says. Of an annotator who answers a pair twice the later answer counts."""

    path: Path
    # Pair id → annotator → choice, in the order of the file.
    said: dict[str, dict[str, Choice]] = field(default_factory=dict)
    # Pair id → annotator → what they say of each answer by itself, where they do.
    marks: dict[str, dict[str, Marks]] = field(default_factory=dict)
    line_of: dict[str, int] = field(default_factory=dict)  # the first one that names the pair
    again: dict[str, int] = field(default_factory=dict)  # pair id → line of an answer that took an earlier one's place

    def votes(self, pair_id: str, quorum: int) -> list[tuple[str, Choice]]:
        """(annotator, choice) of each vote that is there, the first ones in the file first; more than the quorum needs
        may be there."""
        votes = dict(self.said.get(pair_id, ()))
        everyone = votes.pop(_ALL, None)
        if everyone is not None:
            for number in range(quorum):
                if len(votes) < quorum:
                    votes.setdefault(unnamed(number), everyone)
        return list(votes.items())

    def marks_of(self, pair_id: str, who: str) -> Marks:
        """What this voter says of each answer by itself; who stands for everybody says it for each."""
        named = who if who in self.said.get(pair_id, ()) else _ALL
        return self.marks.get(pair_id, {}).get(named, NO_MARKS)

    def notes(self, known: Iterable[str], aside: Iterable[str], quorum: int) -> tuple[str, ...]:
        """What the user should hear of the file, given the ids of the run's pairs and of those set aside."""
        known, aside = set(known), set(aside)
        strange = [name for name in self.said if name not in known and name not in aside]
        unused = sum(name in aside and name not in known for name in self.said)
        beyond = sum(max(0, len(self.said[name]) - quorum) for name in self.said if name in known)
        told = (
            (len(strange), "answered pair is", "answered pairs are", "not in the input, such as {}: not used", strange),
            (unused, "answer is", "answers are", "for rows set aside: not used", ()),
            (
                len(self.again),
                "pair is",
                "pairs are",
                "answered again by the same annotator, such as {}: the later answer counts (several people's "
                "answers need an `annotator` each)",
                list(self.again),
            ),
            (
                beyond,
                "answer is",
                "answers are",
                f"beyond the quorum of {quorum}: the first ones in the file count (--quorum)",
                (),
            ),
        )
        if not self.said:
            return (f"{self.path}: no answers yet; people are asked round by round",)
        return tuple(
            f"{self.path}: {many(count, one, more)} {words.format(self._shown(such))}"
            for count, one, more, words, such in told
            if count
        )

    def _shown(self, names: Sequence[str]) -> str:
        if not names:
            return ""
        return f"{names[0][:100]!r} (line {self.again.get(names[0], self.line_of[names[0]])})"


def unnamed(vote: int) -> str:
    """The annotator of an answer of which a file says at most the vote."""
    return f"file-{vote}"


def read(path: Path) -> Answers:
    """The answers in a file of JSON Lines: {"pair_id": …, "choice": …, "annotator": optional, "vote": optional, from 0}, and
    with `first_acceptable` and `second_acceptable` (true or false) what they say of each answer by itself.

    A JSON list of the same and a table (.csv, .tsv) with such columns are read as well. No file, or one without a line, is
    one without answers yet. Raises InvalidInput with file and line.
    """
    answers = Answers(path)
    if not path.exists():
        return answers
    for item in _items(path):
        try:
            name, who, choice, marks = _answer(item.raw if item.is_line else item.record)
        except ValueError as error:
            raise InvalidInput(f"{item.place}: {error}") from None
        of_pair = answers.said.setdefault(name, {})
        answers.line_of.setdefault(name, item.at)
        if who in of_pair:
            answers.again[name] = item.at
        of_pair[who] = choice
        if marks != NO_MARKS:
            answers.marks.setdefault(name, {})[who] = marks
    return answers


def _items(path: Path) -> Iterator[Item]:
    """The rows of the file. A single object is a line of JSON Lines, whatever else could be meant by it elsewhere."""
    if path.suffix.lower() in ENDINGS or _begins_a_list(path):
        yield from items(Source(path, (path,)))
        return
    for number, raw in lines_of(path):
        if raw.strip():
            yield Item(number, path, number, raw)


def _begins_a_list(path: Path) -> bool:
    first = next((raw for _, raw in lines_of(path) if raw.strip()), b"")
    return first.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")


def choice_of(said: object) -> Choice:
    """What a spelling means; raises ValueError with a reason fit for the user."""
    known = said.strip().lower() if isinstance(said, str) else said
    if type(known) not in (str, int) or known not in CHOICES:
        raise ValueError('`choice` must be "first" or "A" (or 0), "second" or "B" (or 1), "tie", or "skip"')
    return CHOICES[known]


def _answer(row: object) -> tuple[str, str, Choice, Marks]:
    """Pair id, annotator, choice and marks of one row, a line or a record; raises ValueError with a reason fit for the user."""
    said = _decoded(row) if isinstance(row, bytes) else row
    if isinstance(said, Exception):
        raise ValueError(str(said))
    if not isinstance(said, Mapping):
        raise ValueError('an answer must be an object such as {"pair_id": "row-1", "choice": "first"}')
    name = said.get("pair_id")
    if isinstance(name, bool) or not isinstance(name, str | int) or name == "":
        raise ValueError("no `pair_id`")
    marks = (mark(said, "first_acceptable"), mark(said, "second_acceptable"))
    return str(name), _who(said), choice_of(said.get("choice")), marks


def mark(said: Mapping[str, object], name: str) -> pb.Mark.ValueType:
    """Whether what is said under this name calls an answer acceptable; raises ValueError with a reason fit for the user."""
    value = said.get(name)
    word = value.strip().lower() if isinstance(value, str) else value
    for mark, spellings in ((pb.MARK_ACCEPTABLE, ("true", "yes")), (pb.MARK_NOT_ACCEPTABLE, ("false", "no"))):
        if word in spellings or word is (mark == pb.MARK_ACCEPTABLE):
            return mark
    if word not in (None, ""):
        raise ValueError(f"`{name}` must be true or false, or left out")
    return pb.MARK_UNSPECIFIED


def _decoded(raw: bytes) -> object:
    try:
        return json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"invalid UTF-8 at byte {error.start + 1} of the line") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"broken JSON: {str(error)[:200]}") from None


def _who(said: Mapping[str, object]) -> str:
    """Whose answer it is: the annotator's; else the vote's; else everybody's."""
    vote, who = said.get("vote", ""), said.get("annotator")
    who = _ALL if who is None else who
    # A table holds texts alone, and empty ones where nothing is said.
    vote = int(vote) if isinstance(vote, str) and vote.isascii() and vote.isdigit() and len(vote) < _DIGITS else vote
    if vote == "":
        return str(who).strip() if _is_name(who) else _ALL
    if type(vote) is not int or vote < 0:
        raise ValueError("`vote` must be a whole number from 0 on")
    return str(who).strip() if _is_name(who) else unnamed(vote)


def _is_name(who: object) -> bool:
    """Whether somebody is named; raises ValueError for what can be nobody's name."""
    if isinstance(who, bool) or not isinstance(who, str | int) or len(str(who)) > _MOST_NAME or "\0" in str(who):
        raise ValueError(f"`annotator` must be a name of at most {_MOST_NAME} characters")
    return bool(str(who).strip())


def contradicted(answers: Answers, ids: Sequence[str], quorum: int, events: Iterable[Event]) -> str:
    """What to tell of answers that say otherwise than what the run has recorded; empty where none does.

    `ids`: of the run's pairs, by index; `events`: the run's facts.
    """
    recorded: dict[int, dict[str, Choice]] = {}
    settled: dict[int, Choice] = {}
    for event in events:
        match event.WhichOneof("kind"):
            case "annotation_submitted":
                said = event.annotation_submitted
                recorded.setdefault(said.pair_index, {})[said.annotator] = said.choice
            case "annotation_withdrawn":
                taken = event.annotation_withdrawn
                recorded.get(taken.pair_index, {}).pop(taken.annotator, None)
            case "task_resolved" if event.task_resolved.choice:
                settled[event.task_resolved.pair_index] = event.task_resolved.choice
    differing = [
        (ids[pair], before, now)
        for pair in sorted(recorded)
        # The answers of the run's policy stand behind its pairs, and in no file of them.
        if pair < len(ids)
        for who, now in answers.votes(ids[pair], quorum)
        if (before := recorded[pair].get(who, settled.get(pair))) not in (None, now)
    ]
    if not differing:
        return ""
    name, before, now = differing[0]
    return (
        f"{answers.path}: {many(len(differing), 'answer differs', 'answers differ')} from those recorded in this run, such as "
        f"{name[:100]!r} "
        f"({WORDS[before or SKIP]} is recorded, {WORDS[now]} is in the file): what is recorded stays; --new WORD begins "
        "another run with the file as it is"
    )
