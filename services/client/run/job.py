"""A run as asked for: everything is read and checked before anything is recorded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
from concord.preference.methods import METHODS
from concord.v1.config_pb2 import RunConfig
from concord.v1.pairs_pb2 import Choice

# Name → (prompt, first, second) → "first", "second", "tie", or None: cannot be decided.
Functions = Mapping[str, Callable[[str, str, str], object]]
Read = Callable[[str, Path | None], intake.Input]


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
    joined = _joined(path, skip_bad, earlier, read)
    whole = joined.given
    given, judges = _judged(whole, options)
    config = run_config(options, judges)
    answer: Answerer = people.nobody
    ready: Voters | None = None
    notes = whole.notes
    if METHODS[options.method].asks or given.rows_with_truth:
        config.annotators = options.annotators
        if functions:
            ready = voters.asked(functions, given.rows, options.quorum, options.re_ask)
        elif written := voters.written(options.annotators, given.rows, options.quorum):
            ready = written
            notes += _of_answers(written, joined, given, skip_bad, options)
        else:
            answer = people.answerer(options.annotators, given.rows, options.seed, options.re_ask > 0)
    if earlier:
        if not salt:
            check(config, given, earlier)
        link(config, earlier, len(given.rows))
        reused = {**earlier.answered, **(reused or {})}
    if reused:
        answer = people.with_reused(reused, given.rows, answer)
        ready = ready and voters.reusing(ready, reused, given.rows)
    run_id = ids.run_id(given.sha256, semantic(config), salt)
    return Job(options, given, config, run_id, answer, notes, earlier, ready, salt)


def _of_answers(
    written: voters.Written, joined: Joined, given: intake.Input, skip_bad: Path | None, options: Options
) -> tuple[str, ...]:
    """What the user should hear of the file of answers."""
    if options.annotators == "people":
        return ()
    known, all_ids = {row.pair.pair_id for row in given.rows}, {row.pair.pair_id for row in joined.given.rows}
    aside = all_ids - known | joined.left_out
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
