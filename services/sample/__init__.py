"""The bundled sample: simulated questions, answers and people, made by a seeded program. PURE.

No model and no person wrote or judged any of it. It serves to try the whole loop without a network and with a truth
that is known; it says nothing of how well the loop does on real data.

The truth follows three rules. A response is worth 0 if its answer is wrong, 1 if it is right but not in the form that
was asked for, and 2 if it is both. The more valuable one is better; of two that are worth the same the shorter in style
is better, as it costs the reader less; of the same style too, it is a tie.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from concord.preference.seeded import Draw
from concord.sample import numbers, times, words
from concord.sample.style import STYLES, TERSE, VERBOSE, WORKED, answer_text
from concord.sample.task import Task, Way, says

__all__ = ["KINDS", "PAIRS", "SEED", "SOURCE", "jsonl", "records", "says", "value_of"]

SOURCE = "concord-sample"
PAIRS = 1600
SEED = 20240229

KINDS: tuple[Callable[[Draw], Task], ...] = (
    numbers.change,
    numbers.expression,
    numbers.discount,
    numbers.bags,
    numbers.speed,
    numbers.sequence,
    numbers.median,
    numbers.loop,
    times.later_date,
    times.days_between,
    times.weekday,
    times.arrival,
    words.mail,
    words.shift,
    words.in_order,
    words.decimals,
    words.as_json,
    words.letters,
    words.backwards,
    words.roman,
    words.table,
)
_BARE = (" Reply with the answer only.", " Just the answer, please.", " Give nothing but the answer.")
_EXPLAIN = (" Explain briefly how you got there.", " Please show your working.", " Show the steps.")

# How the better-informed and the other response are put, with their weights. Right answers tend to be short and wrong
# ones long, so that a judge who likes length has something to get wrong.
_RIGHT_AND_WRONG = (
    ((TERSE, VERBOSE), 0.27),
    ((TERSE, WORKED), 0.09),
    ((WORKED, VERBOSE), 0.10),
    ((VERBOSE, VERBOSE), 0.14),
    ((TERSE, TERSE), 0.08),
    ((WORKED, WORKED), 0.08),
    ((VERBOSE, TERSE), 0.12),
    ((VERBOSE, WORKED), 0.06),
    ((WORKED, TERSE), 0.06),
)
_ALIKE = (
    ((TERSE, VERBOSE), 0.35),
    ((TERSE, WORKED), 0.2),
    ((WORKED, VERBOSE), 0.2),
    ((VERBOSE, VERBOSE), 0.15),
    ((WORKED, WORKED), 0.1),
)
_BOTH_RIGHT, _BOTH_WRONG = 0.12, 0.07

Made = tuple[Way, str, str]  # the way, its style, its text


def records(pairs: int = PAIRS, seed: int = SEED) -> list[dict[str, Any]]:
    """The sample as records of the labelled form, kinds taking turns, no prompt twice; a function of its arguments.

    Each has the right answer as `reference`, and in `meta` its kind and how the responses were made.
    """
    made: list[dict[str, Any]] = []
    prompts: set[str] = set()
    for at in range(pairs):
        kind, attempt, record = KINDS[at % len(KINDS)], 0, None
        while record is None or record["prompt"][0]["content"] in prompts:
            record = _record(f"sample-{at:05d}", kind, Draw(SOURCE, seed, at, attempt))
            attempt += 1
        prompts.add(record["prompt"][0]["content"])
        made.append(record)
    return made


def jsonl(pairs: int = PAIRS, seed: int = SEED) -> str:
    """The sample as a file's text, JSON Lines."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records(pairs, seed))


def value_of(asks: str, is_right: bool, style: str, text: str, reference: str) -> int:
    """What a response is worth by the rules above: 0, 1 or 2."""
    if not is_right:
        return 0
    if asks == "bare":
        return 2 if text == reference else 1
    return 1 if asks == "explain" and style == TERSE else 2


def _record(record_id: str, kind: Callable[[Draw], Task], d: Draw) -> dict[str, Any] | None:
    """One record; None where the drawn texts leave any doubt about which of them gives the right answer."""
    task = _asked(kind(d), d)
    made = _responses(task, d)
    texts = [text for _, _, text in made]
    told = [says(text, task.right.answer) == (way == task.right) for way, _, text in made]
    if texts[0] == texts[1] or not all(told) or any(slip.answer == task.right.answer for slip in task.slips):
        return None
    if d.uniform() < 0.5:
        made = (made[1], made[0])
    choice = _truth(task, made)
    return {
        "id": record_id,
        "source": SOURCE,
        "prompt": [{"role": "user", "content": task.prompt}],
        "responses": [{"text": text, "model": None} for _, _, text in made],
        "reference": task.right.answer,
        "human_labels": [{"annotator": "checker", "kind": "pairwise", "pair": [0, 1], "choice": choice}],
        "human_majority": choice,
        "ai_labels": {},
        "meta": {
            "kind": task.kind,
            "asks": task.asks,
            "made": [f"{'right' if way == task.right else 'wrong'}, {style}" for way, style, _ in made],
        },
    }


def _asked(task: Task, d: Draw) -> Task:
    """Some questions also say in which form they want the answer; those that say so already stay as they are."""
    asks = d.weighted((("plain", 0.76), ("bare", 0.12), ("explain", 0.12)))
    if task.asks != "plain" or asks == "plain":
        return task
    # A text at the prompt's end is not to be read as if the request belonged to it.
    prompt = task.prompt if task.prompt[-1] in ".?" else f"{task.prompt}."
    if prompt.count("\n"):
        return replace(
            task, prompt=f"{task.prompt}\n\n{d.pick(_BARE if asks == 'bare' else _EXPLAIN).strip()}", asks=asks
        )
    return replace(task, prompt=prompt + d.pick(_BARE if asks == "bare" else _EXPLAIN), asks=asks)


def _responses(task: Task, d: Draw) -> tuple[Made, Made]:
    drawn = d.uniform()
    if drawn < _BOTH_RIGHT:
        ways, styles = [task.right, task.right], d.weighted(_ALIKE)
    elif drawn < _BOTH_RIGHT + _BOTH_WRONG:
        ways, styles = d.several(task.slips, 2), d.weighted(_ALIKE)
    else:
        ways, styles = [task.right, d.pick(task.slips)], d.weighted(_RIGHT_AND_WRONG)
    first, second = ((way, style, answer_text(task, way, style, d)) for way, style in zip(ways, styles, strict=True))
    return first, second


def _truth(task: Task, made: tuple[Made, Made]) -> int | str:
    """The index of the better one, or "tie"."""
    worth = [
        (value_of(task.asks, way == task.right, style, text, task.right.answer), -STYLES.index(style))
        for way, style, text in made
    ]
    if worth[0] == worth[1]:
        return "tie"
    return int(worth[1] > worth[0])
