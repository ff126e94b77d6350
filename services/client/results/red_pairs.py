"""What comes of prompts and their classed answers, as rows of a file: conduct, pairs, attack prompts. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from concord.client.intake.answered import Answered
from concord.redteam import judging, rewrite
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
    judged: Counter[str] = field(
        default_factory=Counter
    )  # answers that a judge was asked about, and what it said of the rules' word


def conduct(prompts: Iterable[Answered], judge: Ask | None = None) -> Iterator[Row]:
    """A row for each answer: its class, with the sentence that decided; beside it the judge's, where one is asked."""
    held = [(one, at, text, model) for one in prompts for at, (text, model) in enumerate(one.answers)]
    asked = [judging.messages(one.prompt, text) for one, _, text, _ in held] if judge else []
    said = judge(asked) if judge and asked else [None] * len(held)
    for (one, at, text, model), word in zip(held, said, strict=True):
        found = candidate(one.prompt, text).said
        yield {
            "id": one.name,
            "answer": at,
            **({"model": model} if model else {}),
            "class": str(found.answer) if can_tell(text) else "unknown",
            "p": [round(p, 4) for p in found.p],
            "sentence": found.sentence,
            "signs": list(found.signs),
            **(_judged(word) if judge else {}),
            **({"harmful": True} if one.harmful else {}),
        }


def _judged(said: str | None) -> Row:
    word = judging.read(said or "")
    return {"judge": str(word[0]) if word else "unknown", "judge_sentence": word[1] if word else ""}


def paired(
    prompts: Iterable[Answered], account: Account, ask: Ask | None = None, judge: Ask | None = None
) -> Iterator[Row]:
    """The pairs of each prompt; where nothing safe was said and `ask` is given, a harmless rewrite is asked for first.

    With a `judge` only answers of which it says the same as the rules are in a pair.
    """
    held = [(one, [candidate(one.prompt, text, model) for text, model in one.answers]) for one in prompts]
    if judge:
        _agreed(held, account, judge)
    if ask:
        _rewritten(held, account, ask)
        if judge:
            _agreed(held, account, judge, rewritten=True)
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


def _agreed(
    held: Sequence[tuple[Answered, list[Candidate]]], account: Account, judge: Ask, rewritten: bool = False
) -> None:
    """Takes away what the judge classes otherwise, or says nothing usable of; asks about rewrites, or about all else."""
    asked = [(one, candidates, each) for one, candidates in held for each in candidates if each.rewritten is rewritten]
    said = judge([judging.messages(one.prompt, each.text) for one, _, each in asked]) if asked else []
    for (_, candidates, each), text in zip(asked, said, strict=True):
        word = judging.read(text or "")
        same = word is not None and word[0] is each.said.answer
        account.judged["the same" if same else "another class" if word else "no usable answer"] += 1
        if not same:
            # By identity: another model may have said the very same.
            candidates[:] = [one for one in candidates if one is not each]


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
