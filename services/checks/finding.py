"""What a checker is given and what it says: `Reference`, `Asked` and `Finding`. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What sort of answer a prompt asks for."""

    UNKNOWN = "unknown"  # nothing that a rule can check: every answer is "can't tell"
    NUMBER = "number"
    CHOICE = "choice"
    SHORT_ANSWER = "short_answer"
    LIST = "list"
    JSON = "json"
    CONSTRAINTS = "constraints"
    SYMBOLIC = "symbolic"


class Outcome(StrEnum):
    """What a checker found."""

    RIGHT = "right"
    WRONG = "wrong"
    UNKNOWN = "unknown"  # can't tell: never to be read as wrong


@dataclass(frozen=True)
class Finding:
    """One answer, checked."""

    outcome: Outcome
    why: str  # one short sentence, with no more of the texts in it than the few words that decided
    kind: Kind = Kind.UNKNOWN
    # Of a short answer, how much of the reference it says, 0 to 1; None: not measured, or it keeps a way out.
    likeness: float | None = None
    by_agreement: bool = False  # against what sampled answers agreed on, not against a reference that the row brought


@dataclass(frozen=True)
class Constraint:
    """One demand on an answer's form: a name of `constraints.CONSTRAINTS` and its settings, such as {"least": 3}."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reference:
    """What is known of a prompt's right answer; each kind of check reads what it needs of it.

    `answers` are alternatives: an answer that gives any of them is right. For a choice, a letter or an option's words.
    For a list, each is one item that must be there, with its own alternatives split by "|".
    """

    answers: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()  # the options' words in order: the first is A
    constraints: tuple[Constraint, ...] = ()
    schema: Mapping[str, Any] | None = None  # a JSON schema
    samples: tuple[str, ...] = ()  # other answers to the same prompt, for where there are no `answers`
    weights: tuple[float, ...] = ()  # how far each sample is trusted, > 0; empty: all alike
    ordered: bool = False  # a list must come in the order of `answers`


# (gold, response) → whether the response's last expression equals the gold's; None: can't tell.
Equal = Callable[[str, str], bool | None]


def untold(gold: str, response: str) -> bool | None:
    """Where nobody computes: can't tell."""
    return None


@dataclass(frozen=True)
class Asked:
    """One answer to check, with all that a checker may use. `prompt` is the text of the last turn."""

    prompt: str
    response: str
    reference: Reference = Reference()
    equal: Equal = untold
