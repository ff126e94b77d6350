"""What the rows of a dataset teach a trainer: texts, targets, weights, and which of them are held out. Pure.

A row is one of `dataset.jsonl` or of an export as `trl` or `trl-conversational`: `prompt`, `chosen` and `rejected` as texts or
messages, `p_chosen` and `weight`. Rows of other tools, without the last two, are taken as certain.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

from concord.kit.errors import InvalidInput

# A text, or chat messages.
Words = str | list[dict[str, Any]]
PEOPLE = "people"
_ROLES = ("prompt", "chosen", "rejected")


@dataclass(frozen=True)
class Example:
    """One pair as a trainer sees it."""

    prompt: Words
    chosen: Words
    rejected: Words
    p_chosen: float  # P(chosen is the better one), in [0, 1]
    weight: float  # above 0
    source: str = ""
    tools: tuple[Any, ...] = ()


@dataclass
class Taken:
    """The examples of a file, and what was left out of it and why."""

    examples: list[Example] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def taken(rows: Iterable[tuple[int, Mapping[str, Any]]], where: str, people_weight: float, harmful: bool) -> Taken:
    """Every row that teaches something; `people_weight` counts a person's rows so often, 0: as the rows say.

    Raises InvalidInput naming the line for what is no pair.
    """
    out = Taken()
    for line, row in rows:
        reason = _without_lesson(row, harmful)
        if reason:
            out.left_out[reason] += 1
        else:
            out.examples.append(_example(row, f"{where}, line {line}", people_weight))
    if not out.examples:
        said = "; ".join(f"{count:,} {reason}" for reason, count in out.left_out.items()) or "it has no rows"
        raise InvalidInput(f"{where} teaches nothing: {said}")
    return out


def _without_lesson(row: Mapping[str, Any], harmful: bool) -> str:
    """Why a row teaches nothing; empty: it does."""
    if row.get("label") == "tie":
        return "ties"
    if row.get("weight") == 0:
        return "without a weight"
    return "marked as harmful" if row.get("harmful") and not harmful else ""


def _example(row: Mapping[str, Any], where: str, people_weight: float) -> Example:
    for name in _ROLES:
        if not isinstance(row.get(name), str | list):
            raise InvalidInput(f"{where}: `{name}` is expected as a text or a list of messages; {_remedy(row)}")
    p_chosen, weight = (_number(row, name, where) for name in ("p_chosen", "weight"))
    if not 0 <= p_chosen <= 1 or weight < 0:
        raise InvalidInput(
            f"{where}: p_chosen {p_chosen:g} and weight {weight:g}: a probability and 0 or more are expected"
        )
    source = str(row.get("source") or "")
    if source == PEOPLE and people_weight:
        weight = people_weight
    prompt, chosen, rejected = _alike(*(row[name] for name in _ROLES))
    return Example(prompt, chosen, rejected, p_chosen, weight, source, tuple(row.get("tools") or ()))


def _remedy(row: Mapping[str, Any]) -> str:
    has = ", ".join(sorted(map(str, row))) or "no columns"
    return f"the row has {has}. `concord export RUN --format trl-conversational` writes such rows"


def _number(row: Mapping[str, Any], name: str, where: str) -> float:
    held = row.get(name)
    if held is None:
        return 1.0
    if isinstance(held, bool) or not isinstance(held, int | float):
        raise InvalidInput(f"{where}: {name}: {held!r} is not a number")
    return float(held)


def _alike(prompt: Words, chosen: Words, rejected: Words) -> tuple[Words, Words, Words]:
    """All three as texts, or all three as messages."""
    if isinstance(chosen, str) and isinstance(rejected, str) and (isinstance(prompt, str) or not prompt):
        return prompt or "", chosen, rejected
    return _messages(prompt, "user"), _messages(chosen, "assistant"), _messages(rejected, "assistant")


def _messages(words: Words, role: str) -> list[dict[str, Any]]:
    return [{"role": role, "content": words}] if isinstance(words, str) else words


def targets(example: Example, labels: str) -> tuple[float, float]:
    """(target, factor of the weight) of an example: how a probability becomes a lesson.

    `soft`: the probability is the target. `weighted`: the label is certain, and counts by how sure it is, |2p - 1|. `hard`:
    the label is certain.
    """
    p = example.p_chosen
    return {"soft": (p, 1.0), "weighted": (float(p >= 0.5), abs(2 * p - 1)), "hard": (float(p >= 0.5), 1.0)}[labels]


def normalised(examples: Sequence[Example]) -> list[Example]:
    """The same with weights whose mean is 1, so that the rate of learning does not hang on how many people answered."""
    mean = sum(example.weight for example in examples) / max(len(examples), 1)
    return [replace(example, weight=example.weight / mean) for example in examples]


def split(
    examples: Sequence[Example], share: float, most: int, seed: int, purpose: str = "", prompts: int = 0
) -> tuple[list[Example], list[Example]]:
    """(to learn from, held out): whole groups of one prompt go to one side, drawn by a hash of prompt, seed and `purpose`.

    About `share` of the examples, at most `most` unless one prompt has more, and of at most so many prompts (0: any number); in
    the order in which they came. At least one group stays to learn from.
    """
    groups: dict[str, int] = {}
    names = [_group(example, f"{seed}{purpose}") for example in examples]
    for name in names:
        groups[name] = groups.get(name, 0) + 1
    wanted, held = min(round(share * len(examples)), most), set[str]()
    for name in sorted(groups)[: len(groups) - 1]:
        if wanted <= 0 or (prompts and len(held) >= prompts):
            break
        held.add(name)
        wanted -= groups[name]
    kept = [example for example, name in zip(examples, names, strict=True) if name not in held]
    return kept, [example for example, name in zip(examples, names, strict=True) if name in held]


def _group(example: Example, seed: str) -> str:
    said = example.prompt
    text = said if isinstance(said, str) else "\n".join(str(turn.get("content")) for turn in said)
    return blake2b(f"{seed}|{text}".encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
