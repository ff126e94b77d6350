"""The dataset: one row a pair, with what is believed of it and why. Pure."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from concord.preference import checked
from concord.preference.annotations import Answers
from concord.preference.columns import judge_labels, verdict_column
from concord.preference.pairs import pair_hash
from concord.v1.events_pb2 import Checked, StageManifest
from concord.v1.pairs_pb2 import Choice, Message, Pair, Response

Array = np.ndarray
# Of probabilities and weights.
_DIGITS = 4
# By `verified`: which of the two answers are right.
CAME = {checked.FIRST: "first", checked.SECOND: "second", checked.BOTH: "both", checked.NEITHER: "neither"}
CAME[checked.NOT_CHECKED] = "unknown"
LABELS = {Choice.CHOICE_FIRST: "first", Choice.CHOICE_SECOND: "second"}


@dataclass(frozen=True, eq=False)
class Beliefs:
    """What each row says; all shapes [pairs]."""

    p_first: Array  # P(first is better)
    people: Array  # bool, a person decided it (or called it a tie)
    judge: Array  # int8, 1 the first, -1 the second, 0 no usable verdict
    confidence: Array  # P(the judge's label is right) as it said, -1 none
    judge_tie: Array  # bool, the judge called it a tie
    coin_flip: Array  # bool, the judge is even (mostly as it said one thing in each order), and nothing else decided
    # Pair index → what checks said of it and how it came out, of the pairs that they were tried on.
    checks: Mapping[int, tuple[Checked, int]]


def beliefs(labels: StageManifest, target: Array | None, said: Answers, pairs: int) -> Beliefs:
    """People's answers first, then the posterior's targets where there are any, then the judge's own."""
    labeled = [event.shard_labeled for event in labels.events]
    p_first = verdict_column(labeled, "p_first", pairs, 0.5) if target is None else target.astype(float)
    known = ~np.isnan(said.p_first)
    people = np.zeros(pairs, bool)
    people[said.pair[known]] = True
    p_first[said.pair[known]] = said.p_first[known]
    confidence = verdict_column(labeled, "confidence", pairs, -1)
    judge = judge_labels(labeled, pairs)
    tie = verdict_column(labeled, "choice", pairs, Choice.CHOICE_UNSPECIFIED) == Choice.CHOICE_TIE
    even = np.round(verdict_column(labeled, "p_first", pairs, 0.5), _DIGITS) == 0.5
    coin_flip = even & (judge != 0) & ~people & (np.round(p_first, _DIGITS) == 0.5)
    return Beliefs(p_first, people, judge, confidence, tie, coin_flip, checked.notes(labeled))


def label_of(p_first: float, judge: int, person: bool) -> str:
    """`first`, `second` or `tie`; an undecided model leaves the judge's label standing."""
    if p_first == 0.5 and not person and judge:
        return "first" if judge > 0 else "second"
    return "tie" if p_first == 0.5 else "first" if p_first > 0.5 else "second"


def rows(pairs: Iterable[Pair], believed: Beliefs, human_weight: float) -> Iterator[dict[str, object]]:
    """The rows in order; `pairs` are all pairs of the run in order."""
    for index, pair in enumerate(pairs):
        p_first, judge, person = (
            float(believed.p_first[index]),
            int(believed.judge[index]),
            bool(believed.people[index]),
        )
        label = label_of(p_first, judge, person)
        given = {1: "first", -1: "second", 0: "tie" if believed.judge_tie[index] else None}[judge]
        check = _check(believed, index, given)
        # Without a verdict and without a person nobody said anything: the row is a tie that came from no one.
        judged = None if check.get("decided") else given
        second = label == "second"
        chosen, rejected = (pair.second, pair.first) if second else (pair.first, pair.second)
        yield {
            "index": index,
            "pair_id": pair.pair_id,
            "pair_sha256": pair_hash(pair),
            "prompt": [{"role": message.role, "content": message.content} for message in pair.prompt],
            "chosen": chosen.text,
            "rejected": rejected.text,
            "label": label,
            "source": _source(label, given, person, bool(check.get("decided"))),
            "p_chosen": round(1 - p_first if second else p_first, _DIGITS),
            # A label that nothing but the order of the answers decided teaches nothing.
            "weight": float(human_weight) if person else 0.0 if believed.coin_flip[index] else 1.0,
            "judge_label": judged,
            "judge_confidence": round(float(believed.confidence[index]), 4)
            if believed.confidence[index] >= 0
            else None,
            **_models(chosen, rejected),
            **({"check": check} if check else {}),
            **({"harmful": True} if pair.harmful else {}),
            **_original(pair),
        }


def _models(chosen: Response, rejected: Response) -> dict[str, object]:
    """Who wrote the two, where that is known."""
    known = chosen.model or rejected.model
    return {"chosen_model": chosen.model or None, "rejected_model": rejected.model or None} if known else {}


def _source(label: str, given: str | None, person: bool, is_checked: bool) -> str:
    """Whose the label is; `given` is the one that checks or the judge gave."""
    if person:
        return "people"
    if given is None:
        return "none"
    return "flipped" if label != given else "checked" if is_checked else "judge"


def _check(believed: Beliefs, index: int, given: str | None) -> dict[str, object]:
    """What checks said of the pair; empty where they were not tried on it."""
    if index not in believed.checks:
        return {}
    note, came = believed.checks[index]
    label = given if note.decided else None
    return {"kind": note.kind, "right": CAME[came], "decided": note.decided, "label": label, "why": note.why}


def _original(pair: Pair) -> dict[str, object]:
    """`original`: prompt, answers and tools as the input had them, where their texts are not all of it; else nothing."""
    if not any(held.original for held in (*pair.prompt, pair.first, pair.second)):
        return {}
    turns = [_message(turn) for turn in pair.prompt]
    first, second = (
        json.loads(answer.original) if answer.original else [{"role": "assistant", "content": answer.text}]
        for answer in (pair.first, pair.second)
    )
    tools = [tool for turn in turns for tool in turn.get("tools", ())]
    prompt = [turn for turn in turns if "tools" not in turn]
    return {"original": {"prompt": prompt, "first": first, "second": second, "tools": tools}}


def _message(turn: Message) -> dict[str, Any]:
    held: dict[str, Any] = json.loads(turn.original) if turn.original else {"role": turn.role, "content": turn.content}
    return held


def line(row: dict[str, object]) -> bytes:
    """One line of the dataset file."""
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _meaning(row: dict[str, object]) -> bytes:
    kept = (row["index"], row["pair_sha256"], row["label"], row["source"])
    return ("|".join(map(str, kept)) + f"|{row['p_chosen']:.4f}|{row['weight']:.4f}\n").encode()


class Account:
    """What a dataset comes to, counted while its rows go by, so that none of them needs to be kept."""

    def __init__(self) -> None:
        self.rows = 0
        self.sources, self.labels = Counter[object](), Counter[object]()
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """SHA-256 over what the rows so far mean: no time, cost, annotator or run id; numbers to 4 decimals."""
        return self._digest.hexdigest()

    def lines(self, rows_: Iterable[dict[str, object]]) -> Iterator[bytes]:
        """The rows as lines of the dataset file."""
        for row in rows_:
            self.rows += 1
            self.sources[row["source"]] += 1
            self.labels[row["label"]] += 1
            self._digest.update(_meaning(row))
            yield line(row)


def sha256_of(rows_: Iterable[dict[str, object]]) -> str:
    """What `Account.sha256` was when these rows were written."""
    account = Account()
    for _ in account.lines(rows_):
        pass
    return account.sha256


def estimated_accuracy(said: Answers, pairs: int, expected: float | None, audited: float | None) -> float | None:
    """Share of right labels: people's count as right, the rest by the audit, or by the model where no audit is. None
    where nobody was asked: then nothing is known."""
    if not len(said.pair) or not pairs:
        return None
    error = audited if audited is not None else expected
    return None if error is None else 1.0 - (pairs - int((~np.isnan(said.p_first)).sum())) / pairs * error
