"""Answers checked by rules, without an LLM: how many pairs they decide, how often rightly, and what they do not see.

    python -m benchmarks.verification [--data DIR] [--quick] [--json [FILE]]

GSM8K (four models' solutions), EVOUNA (Natural Questions and TriviaQA, answers of four or five models judged by people)
and MMLU (answers made in many styles) of the data pack. Thresholds were set on one half of the questions; the other half
is what is reported, both and the whole stand in the JSON. Intervals: 95 %, bootstrap over questions (styles of choices:
over styles). Reads `verifiable.jsonl.gz`.
"""

import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from benchmarks import checked, choice_styles
from benchmarks.checked import HALVES, Question
from benchmarks.measure import asked_of, circumstances, parser_of, write
from concord.checks import agreement, choice
from concord.checks.decision import Preferred, compare
from concord.checks.finding import Kind, Outcome
from concord.checks.kinds import check
from concord.checks.steps import wrong_steps

SEED = 0
RESAMPLES = 2_000
A_STYLE = 40
PARTS = {half: (half,) for half in HALVES} | {"whole": HALVES}

# Of one question: (cases, decided, right when decided).
Counts = tuple[int, int, int]


def share(part: Sequence[float], of: Sequence[float]) -> dict[str, float]:
    """A ratio of sums over questions with its bootstrap interval."""
    over, under = np.asarray(part, float), np.asarray(of, float)
    if not under.sum():
        return {"share": float("nan"), "low": float("nan"), "high": float("nan"), "of": 0}
    drawn = np.random.default_rng(SEED).multinomial(len(over), np.full(len(over), 1 / len(over)), RESAMPLES)
    sums = drawn @ under
    ratios = (drawn @ over)[sums > 0] / sums[sums > 0]
    low, high = np.quantile(ratios, (0.025, 0.975))
    return {"share": over.sum() / under.sum(), "low": low, "high": high, "of": int(under.sum())}


def decided(counts: Sequence[Counts]) -> dict[str, object]:
    """Coverage, and how often what is decided is right."""
    cases, some, right = np.asarray(counts, float).reshape(-1, 3).T
    return {"pairs": int(cases.sum()), "decided": share(some, cases), "right": share(right, some)}


def by_half(questions: Iterable[Question], measured: Callable[[Question], Counts]) -> dict[str, object]:
    """`decided` of each half and of the whole."""
    counts = [(question.half, measured(question)) for question in questions]
    return {part: decided([found for half, found in counts if half in halves]) for part, halves in PARTS.items()}


def of_pairs(question: Question) -> Counts:
    """All (right, wrong) pairs of a question's responses."""
    found = [check(question.kind, question.prompt, text, question.reference) for text in question.responses]
    told = [compare(found[one], found[other]).preferred for one, other in question.pairs()]
    return len(told), sum(one in (Preferred.FIRST, Preferred.SECOND) for one in told), told.count(Preferred.FIRST)


def of_polished(question: Question) -> Counts:
    """A right response as it is, short of any style, against a wrong one that courts the reader; one pair a question."""
    pairs = list(question.pairs())
    if not pairs:
        return 0, 0, 0
    one, other = random.Random(question.id).choice(pairs)
    texts = (question.responses[one], checked.polished(question.responses[other]))
    told = compare(*(check(question.kind, question.prompt, text, question.reference) for text in texts)).preferred
    return 1, int(told in (Preferred.FIRST, Preferred.SECOND)), int(told is Preferred.FIRST)


def answers(questions: Sequence[Question]) -> dict[str, dict[str, int]]:
    """Single responses of the reported half: how many right and wrong ones are found what."""
    table: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(Outcome, 0))
    for question in questions:
        for text, right in zip(question.responses, question.right, strict=True):
            found = check(question.kind, question.prompt, text, question.reference)
            table["right" if right else "wrong"][found.outcome] += 1
    return {name: {str(key): count for key, count in row.items()} for name, row in table.items()}


def agreed(questions: Sequence[Question]) -> dict[str, object]:
    """GSM8K without its gold: the four solutions are each other's samples, weighed by what their models agree on."""
    models = sorted({model for question in questions for model in question.models})
    table = []
    for question in questions:
        read = {
            model: agreement.answer_of(Kind.NUMBER, text)
            for model, text in zip(question.models, question.responses, strict=True)
        }
        table.append([(one := read.get(model)) and one[0] for model in models])
    weights = agreement.trust(table)
    return by_half((checked.with_samples(question, weights, models) for question in questions), of_pairs)


def of_styles(questions: Sequence[Question], styles: Sequence[str], a_style: int) -> dict[str, object]:
    """Each style on some questions: the share read as the option that it chooses, and as another one."""
    rng = random.Random(SEED)
    right, wrong, cases = [], [], []
    for style in styles:
        some = rng.sample(list(questions), min(a_style, len(questions)))
        told = []
        for question in some:
            text, picked = checked.chosen(question, style, rng)
            told.append((choice.read(text, question.reference.choices)[0], picked))
        right.append(sum(read == picked for read, picked in told))
        wrong.append(sum(read not in (None, picked) for read, picked in told))
        cases.append(len(told))
    unread = {style: count / of for style, count, of in zip(styles, right, cases, strict=True) if count < of}
    return {"styles": len(styles), "right": share(right, cases), "wrong": share(wrong, cases), "not_all_read": unread}


def no_choice(questions: Sequence[Question], a_style: int) -> dict[str, float]:
    """The share of responses that choose nothing in which an option is found all the same."""
    rng = random.Random(SEED)
    some = [rng.sample(list(questions), min(a_style, len(questions))) for _ in choice_styles.NO_CHOICE]
    found = [
        [choice.read(checked.chosen(one, style, rng)[0], one.reference.choices)[0] is not None for one in mine]
        for style, mine in zip(choice_styles.NO_CHOICE, some, strict=True)
    ]
    return share([sum(one) for one in found], [len(one) for one in found])


def planted(questions: Sequence[Question]) -> dict[str, object]:
    """Right solutions: how many are flagged as they are, and how many once a result in them is another."""
    rng = random.Random(SEED)
    flagged, right, seen, made = [], [], [], []
    for question in questions:
        good = [text for text, is_right in zip(question.responses, question.right, strict=True) if is_right]
        bad = [text for one in good if (text := checked.with_wrong_step(one, rng))]
        right.append(len(good))
        flagged.append(sum(bool(wrong_steps(text)) for text in good))
        made.append(len(bad))
        seen.append(sum(bool(wrong_steps(text)) for text in bad))
    return {"found": share(seen, made), "false flags": share(flagged, right)}


def stuffing(questions: Sequence[Question]) -> dict[str, dict[str, float]]:
    """By how an answer is stuffed: the share that passes as right."""
    rng = random.Random(SEED)
    others = checked.golds(questions)
    passed: dict[str, list[int]] = defaultdict(list)
    for question in questions:
        for how, text in checked.stuffed(question, others, rng).items():
            found = check(question.kind, question.prompt, text, question.reference)
            passed[how].append(found.outcome is Outcome.RIGHT)
    return {how: share(found, [1] * len(found)) for how, found in passed.items()}


def style_judge(first: str, second: str, rng: random.Random) -> bool:
    """A simulated judge that looks at style: nine times of ten it prefers what is longer and laid out, else it tosses."""
    looks = [len(text) + 300 * text.count("**") + 200 * text.count("\n- ") for text in (first, second)]
    return looks[0] > looks[1] if looks[0] != looks[1] and rng.random() < 0.9 else rng.random() < 0.5


def labels(
    questions: Sequence[Question], pairs_of: Callable[[Question, random.Random], list[tuple[str, str]]]
) -> dict[str, object]:
    """(better, worse) pairs, one of them polished by the toss of a coin: the style judge's accuracy alone and behind the checks."""
    rng = random.Random(SEED)
    alone, behind, cases = [], [], []
    for question in questions:
        counts = [0, 0, 0]
        for better, worse in pairs_of(question, rng):
            texts = (checked.polished(better), worse) if rng.random() < 0.5 else (better, checked.polished(worse))
            judged = style_judge(*texts, rng)
            found = [check(question.kind, question.prompt, text, question.reference) for text in texts]
            told = compare(*found, *texts, wrong_steps).preferred
            labelled = told is Preferred.FIRST if told in (Preferred.FIRST, Preferred.SECOND) else judged
            counts = [counts[0] + judged, counts[1] + labelled, counts[2] + 1]
        alone.append(counts[0])
        behind.append(counts[1])
        cases.append(counts[2])
    return {"judge alone": share(alone, cases), "behind the checks": share(behind, cases)}


def _as_they_are(question: Question, rng: random.Random) -> list[tuple[str, str]]:
    return [(question.responses[one], question.responses[other]) for one, other in question.pairs()]


def _stepped(question: Question, rng: random.Random) -> list[tuple[str, str]]:
    """Both end in the right number; one has a wrong step before it."""
    good = [text for text, right in zip(question.responses, question.right, strict=True) if right]
    return [(text, bad) for text in good if (bad := _early_fault(text, rng))]


def _early_fault(text: str, rng: random.Random) -> str | None:
    body, mark, end = text.rpartition("\nA:")
    bad = checked.with_wrong_step(body, rng) if mark else None
    return bad and bad + mark + end


def _choosing(question: Question, rng: random.Random) -> list[tuple[str, str]]:
    """One response that chooses the gold and one that does not, in unseen styles."""
    styles = rng.choices(choice_styles.UNSEEN, k=2)
    return [(checked.chosen(question, styles[0], rng)[0], checked.chosen(question, styles[1], rng, right=False)[0])]


def speed(questions: Sequence[Question]) -> dict[str, object]:
    """Microseconds a check, median and 95th of a hundred."""
    found: dict[str, list[float]] = defaultdict(list)
    for question in questions:
        for text in question.responses[:2] or ("The answer is B.",):
            began = time.perf_counter()
            check(question.kind, question.prompt, text, question.reference)
            found[question.kind].append(1e6 * (time.perf_counter() - began))
    return {
        str(kind): {"median": statistics.median(times), "95%": float(np.quantile(times, 0.95))}
        for kind, times in found.items()
    }


def figures(every: int, a_style: int) -> dict[str, object]:
    """All that is measured."""
    known = checked.questions(every)
    of = {name: [one for one in known if one.source == name] for name in ("GSM8K", "NQ", "TriviaQA", "MMLU")}
    both = of["NQ"] + of["TriviaQA"]
    kept = {name: [one for one in some if one.half == "reported"] for name, some in of.items()}
    short = kept["NQ"] + kept["TriviaQA"]
    return {
        "pairs": {
            "GSM8K, with its reference": by_half(of["GSM8K"], of_pairs),
            "GSM8K, four samples, no reference": agreed(of["GSM8K"]),
            "EVOUNA": by_half(both, of_pairs),
            "EVOUNA, NQ": by_half(of["NQ"], of_pairs),
            "EVOUNA, TriviaQA": by_half(of["TriviaQA"], of_pairs),
        },
        "answers": {"GSM8K": answers(kept["GSM8K"]), "EVOUNA": answers(short)},
        "polished but wrong": {"GSM8K": by_half(of["GSM8K"], of_polished), "EVOUNA": by_half(both, of_polished)},
        "choices": {
            "styles of another hand": of_styles(kept["MMLU"], choice_styles.UNSEEN, a_style),
            "styles it was written with": of_styles(kept["MMLU"], choice_styles.SEEN, a_style),
            "an option found where none is chosen": no_choice(kept["MMLU"], a_style),
        },
        "planted wrong step": {half: planted([one for one in of["GSM8K"] if one.half == half]) for half in HALVES},
        "stuffed answers that pass": {
            "number": stuffing(kept["GSM8K"]),
            "short answer": stuffing(short),
            "choice": stuffing(kept["MMLU"]),
        },
        "labels of a simulated style judge": {
            "number": labels(kept["GSM8K"], _as_they_are),
            "number, both right, one with a wrong step": labels(kept["GSM8K"], _stepped),
            "short answer": labels(short, _as_they_are),
            "choice": labels(kept["MMLU"], _choosing),
        },
        "microseconds": speed(known),
    }


def main() -> None:
    asked = asked_of(parser_of(__doc__, "every sixth question; half a minute"))
    every, a_style = (6, 5) if asked.quick else (1, A_STYLE)
    found = figures(every, a_style)
    print(report(found))
    if asked.json:
        settings = {"seed": SEED, "resamples": RESAMPLES, "every": every, "questions_a_style": a_style}
        write(asked.json, circumstances(settings) | found)


def report(found: dict) -> str:
    """The reported half as text."""
    lines = ["Reported half: decided, right when decided (95 %)"]
    for group in ("pairs", "polished but wrong"):
        for name, parts in found[group].items():
            mine = parts["reported"]
            lines.append(f"  {name:40s} {mine['pairs']:5d} pairs  {_shown(mine['decided'])}  {_shown(mine['right'])}")
    for name, row in found["choices"].items():
        shown = f"{_shown(row['right'])}, another option {_shown(row['wrong'])}" if "right" in row else _shown(row)
        lines.append(f"  {name:40s} {shown}")
    mine = found["planted wrong step"]["reported"]
    lines.append(
        f"  planted wrong step                       found {_shown(mine['found'])}, false flags {_shown(mine['false flags'])}"
    )
    for kind, hows in found["stuffed answers that pass"].items():
        lines += [f"  stuffed {kind}: {how:24s} {_shown(row)}" for how, row in hows.items()]
    for kind, row in found["labels of a simulated style judge"].items():
        lines.append(f"  style judge, {kind:44s} {_shown(row['judge alone'])} -> {_shown(row['behind the checks'])}")
    return "\n".join(lines)


def _shown(row: dict) -> str:
    return f"{row['share']:.3f} ({row['low']:.3f} – {row['high']:.3f})"


if __name__ == "__main__":
    main()
