"""A run as asked for: everything is read and checked before anything is recorded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from concord.client.intake import intake
from concord.client.intake.verdicts import Judges
from concord.client.run import people, voters
from concord.client.run.drive import Answerer
from concord.client.run.options import Options, recorded_name, run_config, semantic
from concord.client.run.parent_run import Earlier, Joined, check, join, link
from concord.client.run.voters import Voters
from concord.kit import ids
from concord.kit.errors import InvalidInput
from concord.preference import evaluating, selecting
from concord.preference.methods import METHODS
from concord.preference.pairs import Row
from concord.v1.config_pb2 import RunConfig
from concord.v1.pairs_pb2 import Choice

# Name → (prompt, first, second) → "first", "second", "tie", or None: cannot be decided.
Functions = Mapping[str, Callable[[str, str, str], object]]
# A path, a place for bad rows, and perhaps `prompts` → what is in it.
Read = Callable[..., intake.Input]
# Rows → who answers for them: at once, or as answers come.
Seat = Callable[[Sequence[Row]], tuple[Answerer, Voters | None]]


@dataclass(frozen=True)
class Job:
    """A run as asked for, checked, ready to begin."""

    options: Options
    given: intake.Input
    config: RunConfig
    run_id: str
    answer: Answerer
    # What the user should hear before the run begins.
    notes: tuple[str, ...] = ()
    # The run that it goes on from.
    earlier: Earlier | None = None
    # Who answers as answers come, instead of `answer`, which knows them all; None: `answer` does.
    voters: Voters | None = None
    # The word of `--new`.
    salt: str = ""
    # The run that it is a comparison for; empty: a run in its own right.
    side_of: str = ""
    # Who answers for rows that are made while the run goes on; None: all that it may have are given.
    seat: Seat | None = None

    @property
    def truth(self) -> Mapping[int, "Choice.ValueType"]:
        """Pair index → what people say, where the input knows."""
        return {index: row.truth for index, row in enumerate(self.given.rows) if row.truth is not None}


def prepare(
    path: str,
    options: Options,
    skip_bad: Path | None,
    salt: str,
    reused: people.Reused | None = None,
    earlier: Earlier | None = None,
    functions: Functions | None = None,
    read: Read = intake.read,
) -> Job:
    """Reads and checks everything before anything is recorded; an empty path: the pairs of `earlier` alone.

    `functions`: people who answer, by the names that they go by; `options.annotators` names them then. `read`: how a path and
    a place for bad rows become an Input, where the user says more than these (`--columns`).
    """
    joined = _joined(path, skip_bad, earlier, partial(read, prompts=True) if options.generate else read)
    whole = joined.given
    given, judges = _judged(whole, options)
    config = run_config(options, judges)
    if not config.generators:
        selecting.check_pairs(config, (row.pair for row in given.rows))
    if config.evaluate_votes and not functions:
        people.check_new(options.annotators)
    asks = METHODS[options.method].asks or bool(given.rows_with_truth) or config.evaluate_votes > 0
    if asks:
        config.annotators = options.annotators
    answer, ready = _answering(options, functions, given.rows) if asks else (people.nobody, None)
    notes = whole.notes
    if isinstance(ready, voters.Written) and not config.generators:
        notes += _of_answers(ready, joined, given, skip_bad, options)
    if earlier:
        if not salt:
            check(config, given, earlier)
        link(config, earlier, len(given.rows))
        reused = {**earlier.answered, **(reused or {})}

    def seat(rows: Sequence[Row]) -> tuple[Answerer, Voters | None]:
        return _reusing(reused, rows, *(_answering(options, functions, rows) if asks else (people.nobody, None)))

    answer, ready = _reusing(reused, given.rows, answer, ready)
    run_id = ids.run_id(given.sha256, semantic(config), salt)
    made = config.generators or config.evaluate_votes
    return Job(options, given, config, run_id, answer, notes, earlier, ready, salt, seat=seat if made else None)


def _answering(options: Options, functions: Functions | None, rows: Sequence[Row]) -> tuple[Answerer, Voters | None]:
    """Who answers for these rows: at once, or as answers come."""
    if functions:
        return people.nobody, voters.asked(functions, rows, options.quorum, options.re_ask)
    if written := voters.written(options.annotators, rows, options.quorum):
        return people.nobody, written
    return people.answerer(options.annotators, rows, options.seed, options.re_ask > 0), None


def _reusing(
    reused: people.Reused | None, rows: Sequence[Row], answer: Answerer, ready: Voters | None
) -> tuple[Answerer, Voters | None]:
    """The same people behind what was answered before."""
    if not reused:
        return answer, ready
    return people.with_reused(reused, rows, answer), ready and voters.reusing(ready, reused, rows)


def _of_answers(
    written: voters.Written, joined: Joined, given: intake.Input, skip_bad: Path | None, options: Options
) -> tuple[str, ...]:
    """What the user should hear of the file of answers."""
    if options.annotators in voters.LIVE:
        return ()
    known, all_ids = {row.pair.pair_id for row in given.rows}, {row.pair.pair_id for row in joined.given.rows}
    aside = all_ids - known | joined.left_out
    if options.evaluate_votes:
        # They come to be while the run goes on.
        known |= set(filter(evaluating.is_of_policy, written.answers.said))
    if skip_bad and joined.given.set_aside:
        aside |= people.ids_set_aside(skip_bad) - all_ids
    return written.answers.notes(known, aside, options.quorum + (options.re_ask > 0))


def _joined(path: str, skip_bad: Path | None, earlier: Earlier | None, read: Read) -> Joined:
    """What there is to run on, before anybody judged it."""
    if path:
        given = intake.read_sample() if path == "sample" else read(path, skip_bad)
        return join(earlier, given) if earlier else Joined(given)
    if earlier:
        return join(earlier, None)
    raise InvalidInput("which pairs? Name a file or folder of them, `sample`, or with --from RUN a run to go on from")


def _judged(given: intake.Input, options: Options) -> tuple[intake.Input, Judges | None]:
    """The rows that the recorded judge labelled, where the judge is one."""
    helpers = tuple(name for name in map(recorded_name, options.helper) if name)
    main = recorded_name(options.judge)
    if main:
        return intake.judged_by(given, main, helpers)
    if helpers:
        raise InvalidInput("a recorded helper needs a recorded judge: --judge recorded:NAME")
    if options.judge == "sample" and not any(row.pair.reference for row in given.rows):
        raise InvalidInput(
            f"{given.name}: the sample judge only knows prompts with a `reference` answer; use --judge recorded:NAME for "
            "verdicts in the file, or --judge URL for an OpenAI-compatible endpoint"
        )
    return given, None
