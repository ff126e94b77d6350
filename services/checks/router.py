"""Which check decides a prompt's answers, told from what is there; when in doubt, none does and the judge is asked. Pure.

What is there: a right answer that the row brings, choices in the row or in the prompt, demands on the form that a rule can
verify. The subject of a prompt tells nothing: that recognises the sources that it was made on, and no others.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from concord.checks import demands, forms, prompts
from concord.checks.finding import Kind, Reference
from concord.checks.harm import asks_for_harm

NOTHING = Reference()


@dataclass(frozen=True)
class Route:
    """How the answers to one prompt are checked."""

    kind: Kind  # UNKNOWN: no rule checks them, the judge is asked
    why: str  # a few words
    reference: Reference = NOTHING  # what the check reads
    harmful: bool = False  # the prompt asks for harm: what matters is safety, and no rule says that
    # Whether the check has what it needs; without it would have to guess, or to ask for samples.
    ready: bool = False

    @property
    def checkable(self) -> bool:
        """Whether a rule can say right or wrong here."""
        return self.ready and self.kind is not Kind.UNKNOWN


# Words that ask for several things, for one number, for one fact.
_SEVERAL = re.compile(
    r"\b(?:list|name (?:all|the|every|\w+ )|all|every|each|both|extract|sort|order|"
    r"which (?:of the )?(?:\w{1,30} ){0,3}(?:are|were|do|have)|"
    r"what (?:are|were)|who are|who were|first (?:two|three|four|five|six|\d+)|enumerate|give (?:the|all|every))\b|"
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|\d+) \w{1,30}s\b|\b\w{1,30}s (?:of|in|below|on|from|that|which)\b",
    re.I,
)
_HOW_MUCH = re.compile(
    r"\b(?:how (?:many|much|long|far|old|tall|fast|often|big|high)|calculate|compute|evaluate|determine|solve|convert|"
    r"find|estimate|"
    r"(?:what(?:'s| is|s)?|give) (?:the )?(?:\w{1,30} ){0,3}(?:sum|product|average|mean|median|area|volume|perimeter|probability|"
    r"percentage|total|value|number|difference|ratio|rate|balance|distance|speed|cost|price|decimal|remainder)|"
    r"what(?:'s| is|s) \d|by what percentage)\b",
    re.I,
)
_WHAT = re.compile(
    r"^\W*(?:(?:in|on|at|from|of|to|by|before|according to)\b[^?]{0,60}\b)?(?:who|whom|whose|which|what|when|where|name)\b",
    re.I,
)
_MOST_FACT_WORDS = 40


def route(prompt: str, brought: Reference | None = None, kind: str = "") -> Route:
    """How answers to `prompt` (the last turn's text) are checked.

    `brought` is what the row brings to check against; `kind` is the user's word for it, empty: by its form.
    """
    brought = brought or NOTHING
    # A question whose right option the row names is one of knowledge, be it about law, medicine or war.
    if brought.answers and not kind and (choice := _choice(prompt, brought)):
        return choice
    if asks_for_harm(prompt):
        return Route(Kind.UNKNOWN, "asks for harm: the judge looks at safety", harmful=True)
    if kind:
        return _said(kind, prompt, brought)
    if brought.answers:
        return _by_answer(prompt, brought)
    if brought.constraints:
        return Route(Kind.CONSTRAINTS, "demands on the form stand in the row", brought, ready=True)
    if brought.schema is not None:
        return Route(Kind.JSON, "a JSON schema stands in the row", brought, ready=True)
    return _by_prompt(prompt, brought)


def _said(kind: str, prompt: str, brought: Reference) -> Route:
    known = {one.value: one for one in Kind}
    if kind not in known:
        return Route(Kind.UNKNOWN, f"no check is called {kind[:40]!r}")
    if known[kind] is Kind.CHOICE and not brought.choices:
        brought = replace(brought, choices=prompts.options_of(prompt))
    if known[kind] is Kind.LIST and len(brought.answers) == 1:
        brought = replace(brought, answers=forms.items_of(brought.answers[0]) or brought.answers)
    return Route(known[kind], "the row says which check", brought, ready=True)


def _by_answer(prompt: str, brought: Reference) -> Route:
    """By the form of the right answer. What is written freely is open whatever the row brings: its reference is one of many."""
    answers = brought.answers
    if all(map(forms.is_number, answers)) and not (_asks_when(prompt) and any(map(forms.is_year, answers))):
        return Route(Kind.NUMBER, "the right answer is a number", brought, ready=True)
    if prompts.is_open(prompt):
        return Route(Kind.UNKNOWN, "asks for a text of one's own, of which the reference is one")
    if len(answers) == 1 and (items := forms.items_of(answers[0])) and _SEVERAL.search(prompts.ends(prompt)):
        return Route(Kind.LIST, "the right answer is a list", replace(brought, answers=items), ready=True)
    if sum(map(forms.is_symbolic, answers)) * 2 > len(answers):
        return Route(Kind.SYMBOLIC, "the right answer is a formula", brought, ready=True)
    short = tuple(filter(forms.is_short, answers))
    if short:
        return Route(Kind.SHORT_ANSWER, "the right answer is a few words", replace(brought, answers=short), ready=True)
    return Route(Kind.UNKNOWN, "the reference is a text to compare with, not to check against")


def _choice(prompt: str, brought: Reference) -> Route | None:
    """Where options are offered and the right answer is one of them."""
    choices = brought.choices or prompts.options_of(prompt)
    if not choices:
        return None
    if all(_is_one_of(answer, choices) for answer in brought.answers):
        return Route(Kind.CHOICE, "options are offered", replace(brought, choices=choices), ready=True)
    return None


def _is_one_of(answer: str, choices: Sequence[str]) -> bool:
    said = answer.strip().lower().rstrip(".")
    return 0 <= forms.letter_of(answer) < len(choices) or said in {
        choice.strip().lower().rstrip(".") for choice in choices
    }


def _asks_when(prompt: str) -> bool:
    return bool(re.search(r"\b(?:when|what year|which year|in what|date)\b", prompt, re.I))


def _by_prompt(prompt: str, brought: Reference) -> Route:
    """By the prompt alone: a verifiable demand makes it checkable, all else names a kind that lacks what it needs."""
    if demands.asks_for_json(prompt):
        return Route(Kind.JSON, "the prompt asks for JSON", brought, ready=True)
    if found := demands.demands_of(prompt):
        return Route(
            Kind.CONSTRAINTS, "the prompt makes demands on the form", replace(brought, constraints=found), ready=True
        )
    if prompts.is_open(prompt):
        return Route(Kind.UNKNOWN, "asks for a text of one's own")
    if choices := prompts.options_of(prompt):
        return Route(Kind.CHOICE, "options are offered", replace(brought, choices=choices))
    near = prompts.ends(prompt)
    if _HOW_MUCH.search(near) and re.search(r"\d|\b(?:one|two|three|four|five|ten|twice|half)\b", near):
        return Route(Kind.NUMBER, "asks how much", brought)
    if len(prompt.split()) > _MOST_FACT_WORDS:
        return Route(Kind.UNKNOWN, "no check fits")
    if _SEVERAL.search(prompt) and not prompt.rstrip().endswith("??"):
        return Route(Kind.LIST, "asks for several things", brought)
    if _WHAT.search(prompt):
        return Route(Kind.SHORT_ANSWER, "asks for a fact", brought)
    return Route(Kind.UNKNOWN, "no check fits")
