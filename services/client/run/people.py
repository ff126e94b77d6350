"""The people on the caller's side: whoever is asked about a pair, an answer is a function of seed, pair and vote."""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from concord.client.intake.formats.table import FORMATS, Format, record_as_far_as_told
from concord.client.intake.rows import possible_ids
from concord.client.intake.text_lines import lines_of
from concord.client.run.drive import Answerer
from concord.kit.errors import InvalidInput
from concord.preference.pairs import Row, pair_hash
from concord.preference.seeded import uniform
from concord.v1 import pairs_pb2 as pb
from concord.v1.events_pb2 import Event

Choice: TypeAlias = pb.Choice.ValueType
# (hash of the pair, number of the vote) -> what was answered before.
Reused = Mapping[tuple[str, int], Choice]

_CHOICES: Mapping[object, Choice] = {
    "first": pb.CHOICE_FIRST,
    "second": pb.CHOICE_SECOND,
    "tie": pb.CHOICE_TIE,
    0: pb.CHOICE_FIRST,
    1: pb.CHOICE_SECOND,
}
_OTHER = {pb.CHOICE_FIRST: pb.CHOICE_SECOND, pb.CHOICE_SECOND: pb.CHOICE_FIRST}
_ANY_VOTE = -1


def answerer(spec: str, rows: Sequence[Row], seed: int, other_ids: Iterable[str] = ()) -> Answerer:
    """The people that `--annotators` names, for these rows.

    `recorded`: the majority in the input. `simulated:RATE`: the same, wrong at this rate. `file:PATH`: JSON Lines, see
    `from_file`; `other_ids` are pairs that such a file may name although this run does not have them. Raises
    InvalidInput.
    """
    kind, _, rest = spec.partition(":")
    if kind == "recorded" and not rest:
        return recorded(rows)
    if kind == "simulated":
        return simulated(rows, seed, _rate(rest))
    if kind == "file" and rest:
        return from_file(Path(rest), rows, other_ids)
    raise InvalidInput(
        f"--annotators {spec}: recorded, simulated:ERROR_RATE (such as simulated:0.1) or file:PATH is expected"
    )


def nobody(pair: int, vote: int) -> Choice | None:
    """The answerer of a run that asks no one."""
    return None


def named(spec: str) -> str:
    """The people as the run's configuration notes them: a file with the hash of what it says, so that another file is
    another run. Raises InvalidInput where the file cannot be read."""
    kind, _, path = spec.partition(":")
    if kind != "file" or not path:
        return spec
    try:
        with open(path, "rb") as file:
            return f"{spec}@{hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror or error}") from None


def answered(spec: str, ids: Iterable[str]) -> int:
    """How many of these pairs a file of answers names; 0 for other people. The file was checked before."""
    kind, _, path = spec.partition(":")
    if kind != "file":
        return 0
    return len({_answer(raw)[0] for _, raw in lines_of(Path(path)) if raw.strip()} & set(ids))


def ids_set_aside(path: Path, formats: Sequence[Format] = FORMATS) -> set[str]:
    """Ids of the rows in a file of rows set aside, as far as they can be read; a row without one is `row-LINE`."""
    found = set()
    for _, raw in lines_of(path):
        kept = json.loads(raw)
        number = kept.get("number", kept["line"])
        found.add(f"row-{number}")
        try:
            row = json.loads(kept["row"])
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            found |= possible_ids(record_as_far_as_told(row, formats), number)
    return found


def recorded(rows: Sequence[Row]) -> Answerer:
    """Everybody says what the people's majority said; pairs without one are skipped."""
    _need_truth(rows, "--annotators recorded")
    return lambda pair, vote: rows[pair].truth


def simulated(rows: Sequence[Row], seed: int, rate: float) -> Answerer:
    """Each vote is wrong with probability `rate`, independently: the other response, or for a tie either of the two."""
    _need_truth(rows, f"--annotators simulated:{rate:g}")

    def answer(pair: int, vote: int) -> Choice | None:
        truth, name = rows[pair].truth, rows[pair].pair.pair_id
        if truth is None or uniform("person", seed, vote, name) >= rate:
            return truth
        if truth == pb.CHOICE_TIE:
            return pb.CHOICE_FIRST if uniform("person's tie", seed, vote, name) < 0.5 else pb.CHOICE_SECOND
        return _OTHER[truth]

    return answer


def from_file(path: Path, rows: Sequence[Row], other_ids: Iterable[str] = ()) -> Answerer:
    """Answers as JSON Lines: {"pair_id": …, "choice": "first" | "second" | "tie" | 0 | 1, "vote": optional, from 0}.

    Without `vote` the answer holds for every vote of the pair that has no answer of its own. Raises InvalidInput with
    file and line, also for a pair that is neither in `rows` nor among `other_ids`, and for two answers to one question.
    """
    known = {row.pair.pair_id for row in rows} | set(other_ids)
    said: dict[tuple[str, int], Choice] = {}
    for number, raw in lines_of(path):
        if not raw.strip():
            continue
        try:
            name, vote, choice = _answer(raw)
            _check(name, vote, known, said)
        except ValueError as error:
            raise InvalidInput(f"{path}:{number}: {error}") from None
        said[name, vote] = choice
    if not said:
        raise InvalidInput(f"{path}: the file has no answers")

    def answer(pair: int, vote: int) -> Choice | None:
        name = rows[pair].pair.pair_id
        return said.get((name, vote), said.get((name, _ANY_VOTE)))

    return answer


def reused_answers(events: Sequence[Event], get: Callable[[str], bytes]) -> Reused:
    """What people answered in an earlier run, as far as it was counted there; `get` reads a blob by its URI."""
    hashes = _pair_hashes(events, get)
    counted = {
        annotation: event.task_resolved.pair_index
        for event in events
        if event.HasField("task_resolved")
        for annotation in event.task_resolved.annotation_ids
    }
    reused: dict[tuple[str, int], Choice] = {}
    for event in events:
        if event.HasField("annotation_submitted") and event.event_id in counted:
            annotation = event.annotation_submitted
            reused.setdefault((hashes[counted[event.event_id]], annotation.vote), annotation.choice)
    return reused


def with_reused(reused: Reused, rows: Sequence[Row], answer: Answerer) -> Answerer:
    """Takes over what was answered before on the very same pair, and asks `answer` for the rest."""
    wanted = {name for name, _ in reused}
    hashes = [pair_hash(row.pair) for row in rows] if wanted else []

    def either(pair: int, vote: int) -> Choice | None:
        before = reused.get((hashes[pair], vote)) if hashes else None
        return answer(pair, vote) if before is None else before

    return either


def _pair_hashes(events: Sequence[Event], get: Callable[[str], bytes]) -> list[str]:
    started = next((event.run_started for event in events if event.HasField("run_started")), None)
    if started is None:
        return []
    manifest = pb.PairsManifest.FromString(get(started.pairs_uri))
    shards = (pb.PairShard.FromString(get(shard.uri)) for shard in manifest.shards)
    return [pair_hash(pair) for shard in shards for pair in shard.pairs]


def _need_truth(rows: Sequence[Row], what: str) -> None:
    if all(row.truth is None for row in rows):
        raise InvalidInput(
            f"{what}: no row of the input says what people prefer (`human_majority`, or `chosen` and `rejected`), so there "
            "is nobody to answer; use --annotators file:PATH"
        )


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 <= rate <= 1:
        raise InvalidInput(
            f"--annotators simulated:{text}: the error rate must be a number from 0 to 1, such as simulated:0.1"
        )
    return rate


def _answer(raw: bytes) -> tuple[str, int, Choice]:
    """Pair id, vote and choice of one line; raises ValueError with a reason fit for the user."""
    try:
        said = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"invalid UTF-8 at byte {error.start + 1} of the line") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"broken JSON: {str(error)[:200]}") from None
    if not isinstance(said, dict):
        raise ValueError('an answer must be an object such as {"pair_id": "row-1", "choice": "first"}')
    name, vote, choice = said.get("pair_id"), said.get("vote", _ANY_VOTE), said.get("choice")
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise ValueError("no `pair_id`")
    if type(vote) is not int or ("vote" in said and vote < 0):
        raise ValueError("`vote` must be a whole number from 0 on")
    if type(choice) not in (str, int) or choice not in _CHOICES:
        raise ValueError('`choice` must be "first", "second", "tie", 0 or 1')
    return str(name), vote, _CHOICES[choice]


def _check(name: str, vote: int, known: set[str], said: Mapping[tuple[str, int], Choice]) -> None:
    if name not in known:
        raise ValueError(f"no pair of the input has the id {name[:100]!r}")
    if (name, vote) in said:
        which = f"vote {vote} of " if vote != _ANY_VOTE else ""
        raise ValueError(f"a second answer for {which}the pair {name!r}; one is needed")
