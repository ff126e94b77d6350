"""The people on the caller's side: whoever is asked about a pair, an answer is a function of seed, pair and vote."""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from concord.client.intake.formats.table import FORMATS, Format, record_as_far_as_told
from concord.client.intake.rows import possible_ids
from concord.client.intake.text_lines import lines_of
from concord.client.run.drive import Answerer
from concord.client.run.voters import Reused
from concord.kit.errors import InvalidInput
from concord.preference.pairs import Row, pair_hash
from concord.preference.seeded import uniform
from concord.v1 import pairs_pb2 as pb
from concord.v1.events_pb2 import Event

Choice: TypeAlias = pb.Choice.ValueType

_OTHER = {pb.CHOICE_FIRST: pb.CHOICE_SECOND, pb.CHOICE_SECOND: pb.CHOICE_FIRST}


RECORDED, SIMULATED = "recorded", "simulated"


def answerer(spec: str, rows: Sequence[Row], seed: int, re_ask: bool = False) -> Answerer:
    """The people that `--annotators` names where they answer at once, for these rows; raises InvalidInput.

    `recorded`: the majority in the input; with `re_ask` the single persons' answers, one behind the other. `simulated:RATE`:
    the majority, wrong at this rate.
    """
    kind, _, rest = spec.partition(":")
    if kind == RECORDED and not rest:
        return recorded_one_by_one(rows) if re_ask else recorded(rows)
    if kind == SIMULATED:
        return simulated(rows, seed, _rate(rest))
    raise InvalidInput(
        f"--annotators {spec}: recorded, simulated:ERROR_RATE (such as simulated:0.1), file:PATH, people or web is expected"
    )


def answers_by_the_input(spec: str) -> bool:
    """Whether these people say what the input's own labels say, or nearly so."""
    return spec.partition(":")[0] in (RECORDED, SIMULATED)


def check_new(spec: str) -> None:
    """Refuses, for answers that the run's policy gives, people who know the input alone. Raises InvalidInput."""
    if answers_by_the_input(spec):
        raise InvalidInput(
            f"evaluate_votes: --annotators {spec} says what the input says, and the policy's answers are new; name people who can "
            "look at them: file:PATH, people or web"
        )


def nobody(pair: int, vote: int) -> Choice | None:
    """The answerer of a run that asks no one."""
    return None


def named_before(spec: str) -> str:
    """What a run's configuration noted of a file of answers until 0.1: the hash of what it says stood behind it.

    It made another run of each answer that was added. Now the file's name alone stands there: its answers are facts of the
    run once they are given, whatever becomes of the file.
    """
    kind, _, path = spec.partition(":")
    if kind != "file" or not path:
        return spec
    try:
        with open(path, "rb") as file:
            return f"{spec}@{hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"
    except OSError:
        return spec


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


def recorded_one_by_one(rows: Sequence[Row]) -> Answerer:
    """Vote n is what the n-th person said, in the input's order. Where the input has the majority alone, one vote is that, and
    there is no second person."""
    _need_truth(rows, "--annotators recorded")

    def answer(pair: int, vote: int) -> Choice | None:
        said = rows[pair].people
        if len(said) > 1:
            return said[vote] if vote < len(said) else None
        return rows[pair].truth if vote == 0 else None

    return answer


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
        # What was said of a policy's answers is about no pair of the run.
        is_of_pair = counted.get(event.event_id, len(hashes)) < len(hashes)
        if event.HasField("annotation_submitted") and is_of_pair:
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
    fixed = [
        *(event.run_started for event in events if event.HasField("run_started")),
        *(event.stage_closed.corpus for event in events if event.stage_closed.HasField("corpus")),
    ]
    if not fixed:
        return []
    manifest = pb.PairsManifest.FromString(get(fixed[-1].pairs_uri))
    shards = (pb.PairShard.FromString(get(shard.uri)) for shard in manifest.shards)
    return [pair_hash(pair) for shard in shards for pair in shard.pairs]


def _need_truth(rows: Sequence[Row], what: str) -> None:
    if all(row.truth is None for row in rows):
        raise InvalidInput(
            f"{what}: no row of the input says what people prefer (`human_majority`, or `chosen` and `rejected`), so there "
            "is nobody to answer; use --annotators file:PATH, people or web"
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
