"""The pairs where people overruled the judge, the surest verdicts first: what a reader learns most from. PURE."""

from dataclasses import dataclass

import numpy as np

from concord.report.bias import comparable, overrules
from concord.report.history import History, Read, texts_of
from concord.report.margins import margin_toward_label
from concord.v1.pairs_pb2 import Choice, Pair

SHOWN = 10
_PROMPT_CHARACTERS = 600
_RESPONSE_CHARACTERS = 900


@dataclass(frozen=True)
class Overruled:
    """One pair; texts are shortened, and come from strangers: show them as text, never as markup."""

    index: int
    pair_id: str
    prompt: str
    first: str
    second: str
    judge: str  # "first" or "second"
    people: str  # the other one
    judge_confidence: float | None
    margin: float | None  # toward the judge's label, logits
    comment: str  # what the person added; mostly empty
    harmful: bool = False  # its texts are marked as harmful


def overruled(history: History, read: Read) -> tuple[int, tuple[Overruled, ...]]:
    """How often people overruled the judge, and the SHOWN surest of these verdicts."""
    answers = [answer for answer in comparable(history) if overrules(history, answer)]
    toward, confidence = margin_toward_label(history), history.labels.confidence
    # Where the judge gives no confidence, the reward model says how typical the label looked.
    typical = np.nan_to_num(toward)
    chosen = sorted(answers, key=lambda a: (-confidence[a.pair], -typical[a.pair], a.pair))[:SHOWN]
    shards = texts_of(history, [answer.pair for answer in chosen], read)
    comments = {
        event.event_id: event.annotation_submitted.comment
        for event, _ in history.events
        if event.WhichOneof("kind") == "annotation_submitted" and event.annotation_submitted.comment
    }
    shown = []
    for answer in chosen:
        shard = shards[answer.pair]
        pair = shard.pairs[answer.pair - shard.first_index]
        said = next((comments[annotation] for annotation in answer.annotation_ids if annotation in comments), "")
        shown.append(_shown(pair, answer.pair, answer.choice, confidence[answer.pair], toward[answer.pair], said))
    return len(answers), tuple(shown)


def _shown(pair: Pair, index: int, choice: int, confidence: float, margin: float, comment: str) -> Overruled:
    people, judge = ("first", "second") if choice == Choice.CHOICE_FIRST else ("second", "first")
    return Overruled(
        index=index,
        pair_id=pair.pair_id,
        prompt=shortened(_conversation(pair), _PROMPT_CHARACTERS),
        first=shortened(pair.first.text, _RESPONSE_CHARACTERS),
        second=shortened(pair.second.text, _RESPONSE_CHARACTERS),
        judge=judge,
        people=people,
        judge_confidence=float(confidence) if confidence >= 0 else None,
        margin=None if np.isnan(margin) else float(margin),
        comment=shortened(comment, _PROMPT_CHARACTERS),
        harmful=pair.harmful,
    )


def shortened(text: str, most: int) -> str:
    """The text, or where it is clearly longer than `most` characters its two ends and how much is left out between."""
    text = text.strip()
    if len(text) <= most + 40:
        return text
    head, tail = text[: most * 2 // 3].rstrip(), text[-most // 3 :].lstrip()
    return f"{head} […{len(text) - len(head) - len(tail):,} characters left out…] {tail}"


def _conversation(pair: Pair) -> str:
    """A single question as it is; a longer conversation with its roles."""
    if len(pair.prompt) == 1 and pair.prompt[0].role == "user":
        return pair.prompt[0].content
    return "\n\n".join(f"{turn.role}: {turn.content}" for turn in pair.prompt)
