"""What comes of prompts and their classed answers, as rows of a file: conduct, pairs, attack prompts. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from concord.client.intake.answered import Answered
from concord.redteam import rewrite
from concord.redteam.attacks import Attack
from concord.redteam.classify import can_tell
from concord.redteam.pairing import Candidate, RedPair, candidate, pairs, to_rewrite

Row = dict[str, Any]
# Chats → what a model answers to each; None where nothing usable came.
Ask = Callable[[Sequence[list[dict[str, str]]]], Sequence[str | None]]


@dataclass
class Account:
    """What became of the prompts."""

    made: Counter[str] = field(default_factory=Counter)  # pairs, of harmful and of safe prompts
    left: Counter[str] = field(default_factory=Counter)  # prompts without a pair, and why
    rewrites: Counter[str] = field(default_factory=Counter)  # what was asked for, and why it was not taken


def conduct(one: Answered) -> Iterator[Row]:
    """A row for each answer: its class, with the sentence that decided."""
    for at, (text, model) in enumerate(one.answers):
        said = candidate(one.prompt, text).said
        known = can_tell(text)
        yield {
            "id": one.name,
            "answer": at,
            **({"model": model} if model else {}),
            "class": str(said.answer) if known else "unknown",
            "p": [round(p, 4) for p in said.p],
            "sentence": said.sentence,
            "signs": list(said.signs),
            **({"harmful": True} if one.harmful else {}),
        }


def paired(prompts: Iterable[Answered], account: Account, ask: Ask | None = None) -> Iterator[Row]:
    """The pairs of each prompt; where nothing safe was said and `ask` is given, a harmless rewrite is asked for first."""
    held = [(one, [candidate(one.prompt, text, model) for text, model in one.answers]) for one in prompts]
    if ask:
        _rewritten(held, account, ask)
    for one, candidates in held:
        made = [] if one.harmful is None else pairs(one.prompt, one.harmful, candidates)
        account.made["harmful" if one.harmful else "safe"] += len(made)
        if not made:
            account.left[_why_not(one, candidates)] += 1
        for number, pair in enumerate(made):
            yield _row(one, pair, number)


def attacked(one: Attack, name: str) -> Row:
    """An attack prompt, to be answered by a model."""
    turns = [{"role": role, "content": content} for role, content in one.turns]
    return {"id": name, "prompt": turns, "harmful": True, "attack": one.kind, "request": one.request}


def _rewritten(held: Sequence[tuple[Answered, list[Candidate]]], account: Account, ask: Ask) -> None:
    wanted = [
        (one, candidates, unsafe)
        for one, candidates in held
        if one.harmful and (unsafe := to_rewrite(True, candidates)) is not None
    ]
    said = ask([rewrite.messages(one.prompt, unsafe.text) for one, _, unsafe in wanted]) if wanted else []
    for (one, candidates, unsafe), text in zip(wanted, said, strict=True):
        checked = rewrite.checked(one.prompt, unsafe.text, text or "")
        account.rewrites[checked.why_not or "taken"] += 1
        if checked.ok:
            candidates.append(checked.candidate)


def _why_not(one: Answered, candidates: Sequence[Candidate]) -> str:
    if one.harmful is None:
        return "the row does not say whether the prompt is `harmful`"
    if not candidates:
        return "no answers"
    return "no clear refusal beside clear compliance"


def _row(one: Answered, pair: RedPair, number: int) -> Row:
    """As an export of a run has it, so that a rule's label is not taken for a person's."""
    sides: Mapping[str, Candidate] = {"chosen": pair.chosen, "rejected": pair.rejected}
    return {
        "id": f"{one.name}/{number}",
        "prompt": list(one.turns),
        **{side: held.text for side, held in sides.items()},
        "p_chosen": round(pair.p_chosen, 4),
        "weight": 1.0,
        "source": "redteam",
        "harmful": pair.harmful,
        "rewritten": pair.chosen.rewritten,
        **{f"{side}_model": held.model for side, held in sides.items()},
        **{f"{side}_sentence": held.said.sentence for side, held in sides.items()},
    }
