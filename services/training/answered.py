"""What a policy and its start answered, as shards of pairs that a judge and a reward model look at. Pure: `put` is the caller's.

A pair is the run's own pair of that prompt with these two answers in it: whatever can be checked of an answer comes with it.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from concord.preference import evaluating
from concord.preference.pairs import make_pair
from concord.preference.shards import put_shard
from concord.reward import texts
from concord.v1.events_pb2 import AnsweredShard
from concord.v1.pairs_pb2 import Message, Pair, Response

# The policy's answers, and those of a checkpoint by its step, as its training leaves them.
FILE = re.compile(r"answers(?:-(\d+))?\.jsonl")
Row = Mapping[str, Any]


def shards(
    files: Mapping[str, bytes], kept_step: int, pairs: Iterable[Pair], size: int, put: Callable[[bytes], str]
) -> list[AnsweredShard]:
    """The answers by the step of who gave them, `size` pairs a shard; `files`: name → content, others than answers are left alone.

    `kept_step`: when the policy itself was kept. A prompt to which both answered the very same is counted and gives no pair.
    """
    rows = {
        _step(found[1], kept_step): _rows(content) for name, content in files.items() if (found := FILE.fullmatch(name))
    }
    known = _known(pairs, {_name(row["prompt"]) for said in rows.values() for row in said})
    return [one for step in sorted(rows) for one in _shards(step, step == kept_step, rows[step], known, size, put)]


def _step(named: str | None, kept_step: int) -> int:
    return kept_step if named is None else int(named)


def _rows(content: bytes) -> list[Row]:
    return [json.loads(line) for line in content.splitlines() if line.strip()]


def _name(prompt: object) -> str:
    """One name for a prompt, be it a text or messages."""
    turns = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}] if prompt else []
    return json.dumps([[turn.get("role"), turn.get("content")] for turn in turns])


def _known(pairs: Iterable[Pair], asked: set[str]) -> dict[str, Pair]:
    """The run's first pair of each of these prompts."""
    found: dict[str, Pair] = {}
    for pair in pairs:
        name = _name(texts.read(pair)[0])
        if name in asked:
            found.setdefault(name, pair)
    return found


def _shards(
    step: int, kept: bool, rows: Sequence[Row], known: Mapping[str, Pair], size: int, put: Callable[[bytes], str]
) -> Iterator[AnsweredShard]:
    told = [pair for row in rows if (pair := _pair(row, known.get(_name(row["prompt"])))) is not None]
    alike = len(rows) - len(told)
    if alike and not told:
        yield AnsweredShard(step=step, kept=kept, alike=alike)
    for at in range(0, len(told), size):
        shard = put_shard(at, told[at : at + size], put)
        yield AnsweredShard(step=step, kept=kept, shard=shard, alike=0 if at else alike)


def _pair(row: Row, asked: Pair | None) -> Pair | None:
    """None where both said the same."""
    first, second = (Response(text=said["text"], model=said["model"]) for said in row["responses"])
    if first.text == second.text:
        return None
    pair = Pair()
    if asked is None:
        prompt = row["prompt"] if isinstance(row["prompt"], list) else []
        turns = [Message(role=turn["role"], content=str(turn["content"])) for turn in prompt]
        pair.CopyFrom(make_pair(evaluating.pair_id(row["id"]), turns, first, second))
    else:
        pair.CopyFrom(asked)
        # What was said of the pair's own answers says nothing of these.
        for field in ("verdicts", "first_place", "second_place"):
            pair.ClearField(field)
        pair.pair_id = evaluating.pair_id(row["id"])
        pair.first.CopyFrom(first)
        pair.second.CopyFrom(second)
    return pair
