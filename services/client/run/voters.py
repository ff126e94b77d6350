"""Who has a vote ready for an open question: a file as far as it is written, functions, an earlier run, nobody."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from concord.client.run import answers
from concord.client.run.answers import NO_MARKS, SKIP, Choice, Marks
from concord.kit.errors import InvalidInput
from concord.preference.pairs import Row, pair_hash

# People whose answers come by other ways than a file: in a terminal or over gRPC, or on the pages that stand beside the run.
PEOPLE, WEB = LIVE = ("people", "web")
# (hash of the pair, number of the vote) -> what was answered before.
Reused = Mapping[tuple[str, int], Choice]


class Vote(NamedTuple):
    """One annotator's answer, found out when it is wanted: a person may be asked then. SKIP: cannot be decided."""

    annotator: str
    says: Callable[[], Choice]
    # What the annotator says of each answer by itself.
    marks: Marks = NO_MARKS


class Voters(Protocol):
    """Whoever answers what is asked."""

    @property
    def at_once(self) -> int:
        """How many answers may be waited for before the first of them is handed in."""

    def votes(self, pair: int, quorum: int) -> Sequence[Vote]:
        """The votes that there are on the pair with this index; those that are missing may come later."""

    def news(self) -> bool:
        """Whether there may be votes that were not there before. May raise InvalidInput."""


def _known(choice: Choice) -> Choice:
    return choice


class Written:
    """A file of answers, which may grow; without a path, answers that come by other ways."""

    at_once = 64

    def __init__(self, path: Path | None, rows: Sequence[Row], most: int = 99) -> None:
        """`most`: votes that one line may stand for where it does not say whose it is: the run's quorum. A question that is
        asked again takes another person's. Raises InvalidInput where the file is there and cannot be read."""
        self._path, self._ids, self._most = path, [row.pair.pair_id for row in rows], most
        self._seen = self._state()
        self.answers = answers.read(path) if path else answers.Answers(Path())

    def votes(self, pair: int, quorum: int) -> Sequence[Vote]:
        name = self._ids[pair]
        said = self.answers.votes(name, min(quorum, self._most))
        return [Vote(who, partial(_known, choice), self.answers.marks_of(name, who)) for who, choice in said]

    def news(self) -> bool:
        """Whether the file changed since it was read; it is read again then."""
        if self._path is None or (now := self._state()) == self._seen:
            return False
        # What cannot be read is told once, not until it is mended.
        self._seen = now
        self.answers = answers.read(self._path)
        return True

    def _state(self) -> tuple[int, int] | None:
        """What a change of the file changes."""
        try:
            stat = self._path.stat() if self._path else None
        except OSError:
            return None
        return (stat.st_mtime_ns, stat.st_size) if stat else None


@dataclass(frozen=True)
class Asked:
    """Functions that answer, by the names that they go by: each one annotator, asked one pair at a time."""

    functions: Mapping[str, Callable[[int], Choice]]  # index of the pair → choice
    at_once = 1

    def votes(self, pair: int, quorum: int) -> Sequence[Vote]:
        return [Vote(name, partial(ask, pair)) for name, ask in self.functions.items()]

    def news(self) -> bool:
        return False


@dataclass(frozen=True)
class Reusing:
    """What was answered before on the very same pair; the others for the rest."""

    voters: Voters
    reused: Reused
    hashes: Sequence[str]  # of the run's pairs, by index

    @property
    def at_once(self) -> int:
        return self.voters.at_once

    def votes(self, pair: int, quorum: int) -> Sequence[Vote]:
        said = [(vote, self.reused.get((self.hashes[pair], vote))) for vote in range(quorum)]
        before = [Vote(f"reused-{vote}", partial(_known, choice)) for vote, choice in said if choice is not None]
        return (*before, *self.voters.votes(pair, quorum))

    def news(self) -> bool:
        return self.voters.news()


@dataclass(frozen=True)
class Skipping:
    """Whatever the others do not answer is skipped."""

    voters: Voters

    @property
    def at_once(self) -> int:
        return self.voters.at_once

    def votes(self, pair: int, quorum: int) -> Sequence[Vote]:
        return (
            *self.voters.votes(pair, quorum),
            *(Vote(f"nobody-{vote}", partial(_known, SKIP)) for vote in range(quorum)),
        )

    def news(self) -> bool:
        return self.voters.news()


def reusing(voters: Voters, reused: Reused, rows: Iterable[Row]) -> Voters:
    """These voters behind what was answered before, where anything was."""
    return Reusing(voters, reused, [pair_hash(row.pair) for row in rows]) if reused else voters


def written(spec: str, rows: Sequence[Row], quorum: int = 99) -> Written | None:
    """The voters that `file:PATH`, `people` or `web` names; None for another spec. Raises InvalidInput."""
    kind, _, path = spec.partition(":")
    if kind == "file" and path:
        return Written(Path(path), rows, quorum)
    if spec in LIVE:
        return Written(None, rows, quorum)
    return None


def asked(
    functions: Mapping[str, Callable[[str, str, str], object]], rows: Sequence[Row], quorum: int, re_ask: float = 0.0
) -> Asked:
    """Functions `(prompt, first, second) -> "first" | "second" | "tie" | None` as voters; None skips the pair.

    Raises InvalidInput where there are fewer of them than votes a task needs, a second person's (`re_ask`) included.
    """
    if re_ask and quorum == 1 and len(functions) < 2:
        raise InvalidInput("re_ask: one function answers, and a second one is needed, which is another person")
    if len(functions) < quorum:
        raise InvalidInput(
            f"quorum {quorum}: {len(functions)} functions answer, and each has one vote; name more of them, or a "
            "smaller quorum"
        )

    def of(name: str, function: Callable[[str, str, str], object]) -> Callable[[int], Choice]:
        def ask(index: int) -> Choice:
            pair = rows[index].pair
            said = function(prompt_text(pair.prompt), pair.first.text, pair.second.text)
            try:
                return SKIP if said is None else answers.choice_of(said)
            except ValueError:
                raise InvalidInput(
                    f'annotators {name!r}: the function answered {said!r:.100} on pair {pair.pair_id!r}; "first", '
                    '"second", "tie" or None is expected'
                ) from None

        return ask

    return Asked({name: of(name, function) for name, function in functions.items()})


def prompt_text(prompt: Iterable) -> str:
    """A prompt as a function is given it: a single message of the user as it is, more with their roles."""
    messages = list(prompt)
    if len(messages) == 1 and messages[0].role == "user":
        return messages[0].content
    return "\n\n".join(f"{message.role}: {message.content}" for message in messages)
