"""A question whose right answer a program knows, with the slips that lead away from it. PURE."""

import re
from dataclasses import dataclass

NAMES = (
    "Amara",
    "Ben",
    "Chiara",
    "Dmitri",
    "Elena",
    "Farid",
    "Greta",
    "Hana",
    "Ivan",
    "Jun",
    "Kofi",
    "Lucia",
    "Mateo",
    "Nadia",
    "Omar",
    "Priya",
    "Quentin",
    "Rosa",
    "Samir",
    "Tove",
    "Uma",
    "Viktor",
    "Wanjiru",
    "Yuki",
    "Zofia",
)


@dataclass(frozen=True)
class Way:
    """An answer and the line of thought that ends in it, right or not."""

    answer: str
    working: str  # one to three whole sentences


@dataclass(frozen=True)
class Task:
    """One question."""

    kind: str
    prompt: str
    right: Way
    slips: tuple[Way, ...]  # plausible and wrong, at least two
    said: str  # a sentence with {} where the answer stands
    background: str  # a general remark that a talkative answer makes
    asks: str = "plain"  # "bare": the answer alone is asked for; "explain": so is the way there


def says(text: str, reference: str) -> bool:
    """Whether the reference stands in the text as it is, not as a part of a longer word or number.

    This is how a right answer is told from a wrong one in the whole sample: no wrong response says the reference.
    """
    return bool(re.search(rf"(?<![\w\-−])(?<!\d[.,:]){re.escape(reference)}(?!\w)(?![.,:]\d)", text))


def money(cents: int) -> str:
    """An amount as one writes it, without the sign: 1250 -> 12.50."""
    return f"{cents // 100}.{cents % 100:02d}"


def listed(values: list[str]) -> str:
    """The values as an English list: a, b and c."""
    return values[0] if len(values) == 1 else ", ".join(values[:-1]) + " and " + values[-1]
