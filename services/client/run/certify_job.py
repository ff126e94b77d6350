"""A file's own labels as a run: they are the judge's verdicts, and people are asked about pairs drawn at random. Pure but for
reading the file.

Nothing is judged: the run's method is `random`, and all its questions come in one round.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from concord.client.intake.intake import Input
from concord.client.intake.verdicts import CHOSEN
from concord.client.run import options, people
from concord.client.run.job import Job, prepare
from concord.kit.errors import InvalidInput
from concord.preference.budget import tasks
from concord.v1 import pairs_pb2 as pb
from concord.v1.config_pb2 import RunConfig

# The name of the people's majority in the file, where that is the label.
MAJORITY = "human_majority"
Read = Callable[[str, Path | None], Input]


def certify_job(
    path: str, audit: int, label: str, settings: Mapping[str, object], aside: Path | None, read: Read
) -> Job:
    """The run that asks people about `audit` pairs of the file. Raises InvalidInput.

    `label`: which label of the file it is about (a name of `ai_labels`, `chosen`, `human_majority`); empty: the only one.
    `settings`: annotators, seed and re_ask, as of a run.
    """
    if audit < 1:
        raise InvalidInput(f"--audit {audit}: at least one pair has to be asked about")
    given = read(path, aside)
    name = label or _only_label(given)
    held = _with_majority(given) if name == MAJORITY else given
    if name in (CHOSEN, MAJORITY) and people.answers_by_the_input(str(settings.get("annotators", ""))):
        raise InvalidInput(
            f"{given.name}: the file's `{name}` is what is certified and cannot answer for itself; ask somebody: --annotators "
            "people, or file:PATH"
        )
    # The labels are the file's, whatever a check would say of the answers.
    asked = {"judge": f"recorded:{name}", "method": "random", "checks": False, "pilot": 0, "batch": 1.0}
    asked["budget"] = str(audit)
    wished = options.resolve({**settings, **asked})
    # The second persons' votes come on top of the pairs that are asked for.
    config = RunConfig(method="random", re_ask_share=wished.re_ask)
    votes = next(votes for votes in range(audit, 2 * audit + 1) if tasks(config, votes) >= audit)
    return prepare(path, replace(wished, budget=str(votes)), aside, "", read=lambda *_: held)


def _only_label(given: Input) -> str:
    """Which label the file has."""
    if CHOSEN in given.judges:
        return CHOSEN
    if len(given.judges) == 1:
        return next(iter(given.judges))
    if given.judges:
        raise InvalidInput(
            f"{given.name}: labels of {', '.join(given.judges)}: which are meant? Say it with --label NAME"
        )
    if given.rows_with_truth:
        return MAJORITY
    raise InvalidInput(
        f"{given.name}: no row says which response is better (`chosen` and `rejected`, `ai_labels` or `human_majority`), so "
        "there are no labels to certify; with --columns you say which column is what"
    )


def _with_majority(given: Input) -> Input:
    """The file with people's majority as its label; that cannot vouch for itself, so it is no truth any more."""
    rows = tuple(
        replace(
            row, truth=None, people=(), verdicts=(*row.verdicts, pb.RecordedVerdict(judge=MAJORITY, choice=row.truth))
        )
        for row in given.rows
        if row.truth is not None
    )
    if not rows:
        raise InvalidInput(f"{given.name}: no row says what people prefer, so --label {MAJORITY} names nothing")
    left = {"no label of people": len(given.rows) - len(rows)} if len(rows) < len(given.rows) else {}
    judges = {**given.judges, MAJORITY: len(rows)}
    return replace(given, rows=rows, judges=judges, set_aside={**given.set_aside, **left})
