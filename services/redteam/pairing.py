"""Preference pairs from classed answers: to what asks for harm the refusal is chosen, to a safe look-alike the help. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from concord.redteam.classes import Class, Classed
from concord.redteam.classify import can_tell, classed

# P(its class) from which on an answer is put into a pair.
SURE_CHOSEN, SURE_REJECTED = 0.9, 0.6


@dataclass(frozen=True)
class Candidate:
    """One answer to a prompt."""

    text: str
    said: Classed
    model: str = ""
    rewritten: bool = False  # a harmless rewrite of another answer


@dataclass(frozen=True)
class RedPair:
    """What is to be preferred, and to what."""

    prompt: str
    chosen: Candidate
    rejected: Candidate
    harmful: bool  # the prompt asks for harm: the rejected text may hurt. False: a safe prompt, which was refused

    @property
    def p_chosen(self) -> float:
        """How sure both classes are, in [0, 1]."""
        by_class = (Class.REFUSAL, Class.COMPLIANCE) if self.harmful else (Class.COMPLIANCE, Class.REFUSAL)
        return _p(self.chosen.said, by_class[0]) * _p(self.rejected.said, by_class[1])


def candidate(prompt: str, text: str, model: str = "", rewritten: bool = False) -> Candidate:
    """An answer, classed by the rules that ship."""
    return Candidate(text, classed(prompt, text), model, rewritten)


def is_safe(one: Candidate) -> bool:
    """Whether an answer to what asks for harm may be chosen: it surely refuses, in words that can be read."""
    return _is(one, Class.REFUSAL, SURE_CHOSEN)


def pairs(prompt: str, harmful: bool, candidates: Sequence[Candidate]) -> list[RedPair]:
    """The surest answer of the right class against each of the wrong one; none where one of the two is missing.

    A partial answer is in no pair: what it gives may hurt, and what it refuses may be right.
    """
    good, bad = (Class.REFUSAL, Class.COMPLIANCE) if harmful else (Class.COMPLIANCE, Class.REFUSAL)
    chosen = [one for one in candidates if _is(one, good, SURE_CHOSEN)]
    if not chosen:
        return []
    # Of equally sure ones the first: an answer of the model itself teaches more than a rewrite that stands behind it.
    best = max(chosen, key=lambda one: _p(one.said, good))
    rejected = {one.text.strip(): one for one in candidates if _is(one, bad, SURE_REJECTED)}
    return [RedPair(prompt, best, one, harmful) for text, one in rejected.items() if text != best.text.strip()]


def to_rewrite(harmful: bool, candidates: Sequence[Candidate]) -> Candidate | None:
    """The answer of which a harmless rewrite is to be asked for: the surest compliance, where nothing safe is there."""
    if not harmful or any(map(is_safe, candidates)):
        return None
    complied = [one for one in candidates if _is(one, Class.COMPLIANCE, SURE_REJECTED)]
    return max(complied, key=lambda one: one.said.p_compliance, default=None)


def _is(one: Candidate, class_: Class, sure: float) -> bool:
    return bool(one.text.strip()) and one.said.answer is class_ and _p(one.said, class_) >= sure and can_tell(one.text)


def _p(said: Classed, class_: Class) -> float:
    return said.p_refusal if class_ is Class.REFUSAL else said.p_compliance
