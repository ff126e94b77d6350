"""What the checkers are measured on: pairs of a right and a wrong answer, wrong ones polished, steps planted, golds stuffed.

Rows of the data pack; what is made of them here is made with a seed. A question is in the half that was tuned on or in the
one that is reported, by its id.
"""

import hashlib
import itertools
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.pack import rows
from concord.checks import short_answer
from concord.checks.choice import LETTERS
from concord.checks.finding import Kind, Reference

HALVES = ("tuned on", "reported")
KINDS = {"numeric": Kind.NUMBER, "short-answer": Kind.SHORT_ANSWER, "choice": Kind.CHOICE}
_EQUATION = re.compile(r"=\s*\$?(?:<<([^<>]*=)([-\d.,]+)>>)?\s*\$?([\d,]*\.?\d+)")


@dataclass(frozen=True)
class Question:
    """A row with a gold answer; `right` says of each response whether people (or its number) say it is right."""

    id: str
    source: str  # GSM8K, NQ, TriviaQA, MMLU
    half: str
    kind: Kind
    prompt: str
    reference: Reference
    responses: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    right: tuple[bool, ...] = ()

    def pairs(self) -> Iterator[tuple[int, int]]:
        """(index of a right response, of a wrong one), all of them."""
        for one, other in itertools.permutations(range(len(self.right)), 2):
            if self.right[one] and not self.right[other]:
                yield one, other


def questions(every: int = 1) -> list[Question]:
    """All questions of the pack that have a gold answer; every n-th of them."""
    return [_question(row) for row in itertools.islice(rows("verifiable"), 0, None, every)]


def _question(row: dict) -> Question:
    gold = row["gold"]
    kind = KINDS[gold["kind"]]
    answers = short_answer.alternatives(gold["answer"]) if kind is Kind.SHORT_ANSWER else (gold["answer"],)
    source = {"gsm8k/example_model_solutions": "GSM8K", "evouna/NQ": "NQ", "evouna/TQ": "TriviaQA"}.get(
        row["source"], "MMLU"
    )
    responses = row["responses"]
    return Question(
        row["id"],
        source,
        HALVES[int(hashlib.sha256(row["id"].encode()).hexdigest(), 16) % 2],
        kind,
        row["prompt"][-1]["content"],
        Reference(answers, tuple(gold.get("options", ()))),
        tuple(one["text"] for one in responses),
        tuple(one["model"] or "" for one in responses),
        tuple(gold.get("correct", ())),
    )


def with_samples(question: Question, weights: Sequence[float], models: Sequence[str]) -> Question:
    """The same question without its gold: its own responses are the samples, each weighed by its model."""
    of = dict(zip(models, weights, strict=True))
    reference = Reference(samples=question.responses, weights=tuple(of[model] for model in question.models))
    return replace(question, reference=reference)


def polished(response: str) -> str:
    """A response as one that courts a reader: praise, a heading, bold, points, and a word at the end."""
    sentences = [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n", response) if part.strip()]
    points = "\n".join(f"- **Point {at}:** {one}" for at, one in enumerate(sentences[:-1], 1))
    last = sentences[-1] if sentences else response
    return (
        f"What a great question! Let's go through it carefully.\n\n## Step by step\n\n{points}\n\n## Summary\n\n"
        f"Everything fits together nicely, and I am confident of this result.\n\n{last}"
    )


def with_wrong_step(solution: str, rng: random.Random) -> str | None:
    """The solution with another result behind one of its equals signs; None: it has none. Nothing else is changed."""
    found = list(_EQUATION.finditer(solution))
    if not found:
        return None
    one = rng.choice(found)
    digits = one[3].replace(",", "")
    off = rng.choice((1, 2, 3, 5, 10))
    value = float(digits) + (off if rng.random() < 0.5 or float(digits) <= off else -off)
    places = len(digits.partition(".")[2])
    said = f"{value:.{places}f}"
    start, text = one.start(), one[0]
    text = text[: one.start(3) - start] + said
    if one[2]:
        text = text[: one.start(2) - start] + said + text[one.end(2) - start :]
    return solution[:start] + text + solution[one.end() :]


def stuffed(question: Question, others: Sequence[str], rng: random.Random) -> dict[str, str]:
    """Responses that name the gold and do not answer, by how; `others` are answers of the same kind to other questions."""
    gold = _shown(question)
    a, b, c = rng.sample([other for other in others if other != gold], 3)
    listed = [a, b, gold, c]
    rng.shuffle(listed)
    return {
        "denied": rng.choice(
            ("The answer is not {}.", "It is not {}.", "It is definitely not {}, whatever they say.")
        ).format(gold),
        "either … or": f"It is either {gold} or {a}." if rng.random() < 0.5 else f"Either {a} or {gold}, I would say.",
        "asked back": rng.choice(("Is it {}?", "Do you mean {}?", "The answer: could it be {}?")).format(gold),
        "perhaps several": f"Possible answers are {a}, {gold} and {b}.",
        "a list": ", ".join(listed),
    }


def _shown(question: Question) -> str:
    gold = question.reference.answers[0]
    if question.kind is Kind.CHOICE:
        return f"option {gold}"
    return gold


def golds(some: Sequence[Question]) -> list[str]:
    """The first alternative of each."""
    return list(dict.fromkeys(_shown(question) for question in some))


def chosen(question: Question, style: str, rng: random.Random, right: bool = True) -> tuple[str, int]:
    """(a response in a style of choice_styles, the index of the option that it chooses)."""
    options = question.reference.choices
    gold = LETTERS.index(question.reference.answers[0])
    others = [at for at in range(len(options)) if at != gold]
    rng.shuffle(others)
    picked, *rest = (gold, *others) if right else (others[0], gold, *others[1:])
    words = {"L": LETTERS[picked], "l": LETTERS[picked].lower(), "T": options[picked]}
    words |= {"W": LETTERS[rest[0]], "V": options[rest[0]], "X": LETTERS[rest[1]], "Y": options[rest[1]]}
    return style.format(**words), picked
