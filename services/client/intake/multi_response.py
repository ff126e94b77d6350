"""More than two responses to one prompt: the pairs that are made of them. PURE.

Up to four responses give all their pairs, more of them six. Which six is drawn by a hash of the row's id, so that the
same file gives the same pairs whatever the run's seed; pairs that a label in the file compares go first, for labels were
paid for. Pairs of equal texts are none. All pairs of a row have its prompt, so they fall into one fold.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

from concord.client.intake.formats.record import Record
from concord.kit.plural import many
from concord.preference.pairs import BadRecord
from concord.preference.seeded import uniform

ALL_PAIRS_UP_TO = 4
DRAWN_PAIRS = 6
# Every two of them are looked at before six are drawn.
MAX_RESPONSES = 200


def pair_records(record: Record, name: str) -> Iterator[Record]:
    """A record of two responses for each pair that is made of this one, called `name`. Raises BadRecord."""
    _check_labels(record)
    for i, j in _pairs(record, name):
        yield _pair_record(record, name, i, j)


def pair_ids(name: str, responses: int) -> list[str]:
    """The ids that the pairs of this row can have."""
    return [f"{name}/{i}-{j}" for i, j in combinations(range(responses), 2)] if 2 < responses <= MAX_RESPONSES else []


def majority(choices: Iterable[object]) -> object:
    """What most of the choices (0, 1, "tie"; None does not count) say: "tie" where the first two are even, None: nobody."""
    counts = Counter(choice for choice in choices if choice is not None).most_common(2)
    if not counts:
        return None
    return "tie" if len(counts) > 1 and counts[0][1] == counts[1][1] else counts[0][0]


def _pairs(record: Record, name: str) -> list[tuple[int, int]]:
    texts = [value.get("text") if isinstance(value, dict) else value for value in record.responses]
    different = [(i, j) for i, j in combinations(range(len(texts)), 2) if texts[i] != texts[j]]
    if not different:
        raise BadRecord("same responses", f"all {many(len(texts), 'response')} are the same text")
    if len(texts) <= ALL_PAIRS_UP_TO:
        return different
    compared = {_compared(label) for label in _labels(record)} | {
        _compared(said) for judge in _judges(record).values() for said in judge
    }
    best = record.majority
    drawn = sorted(
        different,
        key=lambda pair: (pair not in compared and best not in pair, uniform("pair of responses", name, *pair)),
    )
    return sorted(drawn[:DRAWN_PAIRS])


def _pair_record(record: Record, name: str, i: int, j: int) -> Record:
    """A record of two responses, its labels those that compare the two."""
    said = [_choice(label.get("choice"), i, j) for label in _labels(record) if _compared(label) == (i, j)]
    best = record.majority
    # The majority over many responses names the best of them: it says nothing of a pair without it.
    known = best == "tie" or (best is not None and _in_range(best, record) in (i, j))
    return replace(
        record,
        id=f"{name}/{i}-{j}",
        responses=[record.responses[at] for at in (i, j)],
        places=(i + 1, j + 1),
        annotations=[{"kind": "pairwise", "pair": [0, 1], "choice": choice} for choice in said],
        majority=_choice(best, i, j) if known else majority(said),
        verdicts={
            judge: _said_of(found[0], i, j)
            for judge, all_said in _judges(record).items()
            if (found := [said for said in all_said if _compared(said) == (i, j)])
        },
    )


def _said_of(said: dict[str, Any], i: int, j: int) -> dict[str, Any]:
    choices: dict[str, Any] = {key: _choice(said[key], i, j) for key in ("choice", "choice_swapped") if key in said}
    return {**said, **choices, "pair": [0, 1]}


def _labels(record: Record) -> list[dict[str, Any]]:
    listed = record.annotations or []
    if not isinstance(listed, list) or not all(isinstance(label, dict) for label in listed):
        raise BadRecord("broken label", "`human_labels` is not a list of objects")
    return [label for label in listed if _is_pairwise(label)]


def _judges(record: Record) -> dict[str, list[dict[str, Any]]]:
    given = record.verdicts or {}
    if not isinstance(given, dict):
        raise BadRecord("broken label", "`ai_labels` is not an object of judges")
    judges = {judge: said if isinstance(said, list) else [said] for judge, said in given.items()}
    for judge, all_said in judges.items():
        if not all(isinstance(said, dict) for said in all_said):
            raise BadRecord("broken label", f"the label of {judge[:40]!r} is not a list of objects")
    return {judge: [said for said in all_said if _is_pairwise(said)] for judge, all_said in judges.items()}


def _is_pairwise(label: dict[str, Any]) -> bool:
    return label.get("kind", "pairwise") == "pairwise"


def _check_labels(record: Record) -> None:
    responses = len(record.responses)
    for label in (*_labels(record), *(said for judge in _judges(record).values() for said in judge)):
        first, second = _compared(label)
        if not 0 <= first < second < responses:
            raise BadRecord(
                "label without its response", f"a label compares [{first}, {second}] of {many(responses, 'response')}"
            )


def _compared(label: dict[str, Any]) -> tuple[int, int]:
    """Which two of the responses a label compares, the lower index first; raises BadRecord where it does not say."""
    pair = label.get("pair")
    if not isinstance(pair, list) or len(pair) != 2 or not all(type(at) is int for at in pair):
        raise BadRecord(
            "label without its response", "of more than two responses, a label must say which `pair` it compares"
        )
    return min(pair), max(pair)


def _choice(choice: object, i: int, j: int) -> object:
    if choice is None or choice == "tie":
        return choice
    if type(choice) is not int or choice not in (i, j):
        raise BadRecord("label without its response", f"a label of the pair [{i}, {j}] is for {str(choice)[:40]!r}")
    return int(choice == j)


def _in_range(best: object, record: Record) -> object:
    if type(best) is not int or not 0 <= best < len(record.responses):
        count = len(record.responses)
        raise BadRecord(
            "label without its response",
            f"human_majority is {str(best)[:40]!r}, but there are {many(count, 'response')}",
        )
    return best
