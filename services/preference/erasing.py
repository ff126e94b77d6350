"""What is left of texts that go for good: pairs, rows and facts without the words, and with all that was decided. Pure."""

import json
from collections.abc import Callable, Collection, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from concord.v1.events_pb2 import Event
from concord.v1.pairs_pb2 import Pair, PairShard

GONE = "[erased]"


@dataclass(frozen=True)
class Words:
    """What goes: of some pairs their texts, of a person names and comments."""

    # Messages of a prompt as (role, content); empty: no prompt goes.
    prompt: tuple[tuple[str, str], ...] = ()
    # Indexes of its pairs in the run.
    pairs: frozenset[int] = frozenset()
    # Their ids, and the texts of their prompts and answers.
    pair_ids: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    # What the log calls the person; `alias` stands there from now on.
    names: frozenset[str] = field(default=frozenset())
    alias: str = GONE


def has_prompt(pair: Pair, prompt: tuple[tuple[str, str], ...]) -> bool:
    """Whether the pair is about this very prompt."""
    return tuple((message.role, message.content) for message in pair.prompt) == prompt


def texts_of(pair: Pair) -> Iterator[str]:
    """All that may be quoted elsewhere."""
    yield from (message.content for message in pair.prompt)
    yield from (message.original for message in pair.prompt)
    for answer in (pair.first, pair.second):
        yield from (answer.text, answer.original)
    yield pair.reference
    yield from (*pair.known.answers, *pair.known.choices)


def shard(content: PairShard, words: Words) -> PairShard:
    """The shard with the pairs' texts gone; ids, verdicts and places stay."""
    left = PairShard()
    left.CopyFrom(content)
    for pair in left.pairs:
        if words.prompt and has_prompt(pair, words.prompt):
            for message in pair.prompt:
                message.content, message.original = GONE, ""
            for answer in (pair.first, pair.second):
                answer.text, answer.original = GONE, ""
            pair.reference = ""
            pair.ClearField("known")
    return left


def event(said: Event, words: Words) -> Event:
    """The fact without the words; equal to `said` where it holds none of them."""
    left = Event()
    left.CopyFrom(said)
    kind = left.WhichOneof("kind")
    if kind is None:
        return left
    own = getattr(left, kind)
    if words.names:
        _without_names(own, words)
    if kind == "annotation_submitted" and (own.pair_index in words.pairs or _is_of(said, words)):
        own.comment = ""
    if kind == "task_skipped" and (own.pair_index in words.pairs or _is_of(said, words)):
        own.reason = ""
    if kind in ("shard_labeled", "shard_taught"):
        for kept in own.kept_answers:
            if kept.pair_index in words.pairs:
                kept.text = GONE
        for checked in getattr(own, "checked", ()):
            if checked.pair_index in words.pairs:
                checked.why = ""
    if kind == "policy_judged" and words.prompt:
        # Their indexes are of the policy's answers, among which the prompt may be: all that is quoted there goes.
        for kept in own.labels.kept_answers:
            kept.text = GONE
        for checked in own.labels.checked:
            checked.why = ""
    return left


def _is_of(said: Event, words: Words) -> bool:
    return getattr(getattr(said, said.WhichOneof("kind") or ""), "annotator", "") in words.names


# Fields that hold what an annotator is called.
NAMES = {"annotator", "annotators"}


def _without_names(message: Message, words: Words) -> None:
    for about, value in message.ListFields():
        if about.message_type and not about.message_type.GetOptions().map_entry:
            for inner in value if about.is_repeated else (value,):
                _without_names(inner, words)
        elif about.name in NAMES or (message.DESCRIPTOR.name, about.name) == ("AccessRevoked", "name"):
            if about.is_repeated:
                value[:] = [words.alias if one in words.names else one for one in value]
            elif value in words.names:
                setattr(message, about.name, words.alias)


def lines(content: bytes, words: Words) -> bytes:
    """JSON Lines in which the rows of these pairs have none of their texts any more."""
    return b"".join(_line(line, words) for line in content.splitlines(keepends=True))


def _line(line: bytes, words: Words) -> bytes:
    try:
        row = json.loads(line)
    except ValueError:
        return line
    if not isinstance(row, dict) or not _is_about(row, words):
        return line
    left = _walked(deepcopy(row), lambda text: GONE if _holds(text, words.texts) else text)
    return line if left == row else json.dumps(left, ensure_ascii=False).encode() + b"\n"


def _is_about(row: dict[str, Any], words: Words) -> bool:
    """By its id, or because it holds the prompt: a word that many rows have is no sign."""
    prompt = max((content for _, content in words.prompt), key=len, default="")
    return row.get("pair_id") in words.pair_ids or (bool(prompt) and any(prompt in text for text in _texts(row)))


def _holds(text: str, texts: Collection[str]) -> bool:
    return any(one in text if len(one) > len(GONE) else one == text for one in texts if one)


def _texts(value: Any) -> Iterator[str]:
    found: list[str] = []
    _walked(value, lambda text: found.append(text) or text)  # type: ignore[func-returns-value]
    yield from found


def _walked(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_walked(one, change) for one in value]
    if isinstance(value, dict):
        return {key: one if key == "pair_id" else _walked(one, change) for key, one in value.items()}
    return value
