"""Concord from Python: a run as one call, for notebooks and programs. The same code path and run ids as the command line."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from concord import home
from concord.certificate import words
from concord.certificate.certificate import Certificate
from concord.client.intake import given_rows, intake
from concord.client.results import release, results_dir
from concord.client.results.records import Records
from concord.client.run import options, progress, request, steering
from concord.client.run.job import Job
from concord.client.run.request import Request
from concord.embedded import allowing, serving
from concord.kit.errors import ConcordError, InvalidInput, StandsStill
from concord.kit.settings import Settings
from concord.one_run import Questions, driven, evidence, results
from concord.operate import replay_commands
from concord.preference import datasets
from concord.v1.runs_service_pb2 import RUN_STATUS_FINISHED, RUN_STATUS_RUNNING, RunView

__all__ = ["Annotators", "ConcordError", "Dataset", "InvalidInput", "Report", "Run", "StandsStill", "Story", "run"]

_MOST_NAME = 100
Tell = Callable[[str], object]


@dataclass(frozen=True)
class Annotators:
    """People who answer in this process: `answer(prompt, first, second)` is "first", "second", "tie", or None: cannot say.

    It is called for one pair at a time, in the thread that called `run`. The name becomes part of the run's id, and its
    answers are facts of the run: it is not asked again what it answered.
    """

    name: str
    answer: Callable[[str, str, str], object]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip() or len(self.name) > _MOST_NAME:
            raise InvalidInput(
                f"Annotators: a name of at most {_MOST_NAME} characters is expected, not {self.name!r:.120}"
            )
        if any(c in self.name for c in "+\0"):
            raise InvalidInput(f"Annotators {self.name!r}: `+` and NUL have no place in a name")
        if not callable(self.answer):
            raise InvalidInput(f"Annotators {self.name!r}: a function of (prompt, first, second) is expected")


def run(
    pairs: object,
    *,
    judge: str | None = None,
    annotators: str | Annotators | Sequence[Annotators] | None = None,
    budget: str | float | None = None,
    home: str | Path = "",
    server: str = "",
    out: str | Path | None = None,
    from_run: str = "",
    skip_bad: bool = False,
    columns: str | Mapping[str, str] | None = None,
    contradictions: str = "tie",
    reuse: str = "",
    new: str = "",
    skip_unanswered: bool = False,
    wait: bool = False,
    resume: bool = False,
    accept_judge: bool = False,
    tell: Tell | None = print,
    **settings: object,
) -> "Run":
    """Judges, asks people, trains, and returns the finished run; the same call again goes on where the last one stopped.

    `pairs`: a path, "sample", dicts, a `datasets.Dataset` or a DataFrame. `annotators`: "recorded", "simulated:RATE",
    "people", "file:PATH", or functions (`Annotators`). `budget`: a share such as 0.06 or "6%", or a number of votes.
    `columns` says which column is what where the form is none we know: {"prompt": …, "first": …, "second": …, "winner": …}.
    `from_run`: a run to go on from (`--from`). `home` is CONCORD_HOME; `tell` is given a line of progress at a time, None:
    none. Everything else as the flags of `concord run` and the keys of its settings file.

    Raises InvalidInput for what cannot be, StandsStill where a person has to do something first, other ConcordErrors where
    something that is needed does not answer.
    """
    opened, say = _opened(home), tell or _say_nothing
    wanted = Request(
        given_rows.path_of(pairs, Path(opened.home) / "inputs"),
        partial(options.resolve, {}, _settings(settings, judge, annotators, budget), "concord.run()"),
        opened.home,
        partial(intake.read, columns=columns, contradictions=contradictions),
        server,
        from_run,
        reuse,
        new,
        Path(opened.home) / "set-aside.jsonl" if skip_bad else None,
        _functions(annotators),
        skip_unanswered=skip_unanswered,
        resume=resume,
        accept_judge=accept_judge,
    )
    with ExitStack() as stack:
        # Results must not depend on how many cores a machine has; afterwards the process has them all again.
        stack.enter_context(threadpool_limits(1))
        records = stack.enter_context(_reading(opened, server))
        job = request.job_of(wanted, records)
        place = Path(out) if out else results_dir.folder(opened.home, job.run_id, server)
        questions = Questions(job, place, wait, say, flag=records.flag)
        view = _carried_out(wanted, job, opened, records, questions)
        report, skipped = results(questions.job, view, records, place)
        progress.ended(report, place, job, False, skipped, records.flag, say)
    return Run(view.run_id, opened, server, place)


def _opened(folder: str | Path) -> Settings:
    return home.opened(str(folder))


def _reading(settings: Settings, server: str) -> AbstractContextManager[Records]:
    return home.reading(settings, server)


def _say_nothing(line: str) -> None:
    """For who wants to hear nothing."""


def _carried_out(wanted: Request, job: Job, settings: Settings, records: Records, questions: Questions) -> RunView:
    """The finished run. Raises StandsStill."""
    request.begin(wanted, job, records, questions.out, questions.tell)
    with serving(allowing(settings, job.config), wanted.server, len(job.given.rows), job.config) as running:
        view = driven(job, running, progress.plain(questions.tell), wanted.how, questions)
    if view.status == RUN_STATUS_RUNNING:
        raise StandsStill(questions.line(), job.run_id)
    if view.status != RUN_STATUS_FINISHED:
        for line in evidence(view, records):
            questions.tell(line)
        raise StandsStill(
            f"{steering.standing(view, records.flag)}; in Python: the same call with resume=True", job.run_id
        )
    return view


def _settings(
    settings: Mapping[str, object], judge: object, annotators: object, budget: str | float | None
) -> dict[str, object]:
    """The settings as a settings file would say them."""
    said = {**settings, "judge": judge, "annotators": _named(annotators), "budget": _budget(budget)}
    return {name: value for name, value in said.items() if value is not None}


def _several(annotators: object) -> list[Annotators]:
    """The functions among what may be given for `annotators`."""
    given = [annotators] if isinstance(annotators, Annotators) else annotators
    if given is None or isinstance(given, str):
        return []
    if not isinstance(given, Sequence) or not given or not all(isinstance(one, Annotators) for one in given):
        raise InvalidInput(
            'annotators: "recorded", "file:PATH", "people" or concord.Annotators(NAME, FUNCTION) is expected, not '
            f"{annotators!r:.100}"
        )
    return list(given)


def _functions(annotators: object) -> dict[str, Callable[[str, str, str], object]]:
    found = {one.name: one.answer for one in _several(annotators)}
    if len(found) < len(_several(annotators)):
        raise InvalidInput("annotators: two of them go by one name; each needs its own")
    return found


def _named(annotators: object) -> object:
    several = _several(annotators)
    return "function:" + "+".join(one.name for one in several) if several else annotators


def _budget(budget: str | float | None) -> str | None:
    """A share of up to 1 as per cent, a whole number as votes."""
    if budget is None or isinstance(budget, str):
        return budget
    if isinstance(budget, bool) or not isinstance(budget, int | float):
        raise InvalidInput(
            f"budget: a share such as 0.06, a number of votes or a text such as 6% is expected, not {budget!r}"
        )
    if isinstance(budget, int):
        return str(budget)
    if not 0 <= budget <= 1:
        raise InvalidInput(f"budget {budget}: a share lies between 0 and 1; votes are a whole number")
    return f"{100 * budget:.6f}".rstrip("0").rstrip(".") + "%"


@dataclass(frozen=True)
class Run:
    """A finished run. Everything is read anew from where it lies: it may be kept, and made again from its id."""

    run_id: str
    settings: Settings
    server: str
    out: Path

    @property
    def dataset(self) -> "Dataset":
        """The labelled pairs."""
        return Dataset(self)

    @property
    def figures(self) -> Mapping[str, Any]:
        """What report.json holds."""
        return json.loads((self.out / "report.json").read_text(encoding="utf-8"))

    @property
    def certificate(self) -> Certificate | None:
        """How wrong the labels are, and what that stands on; None where too few answers came."""
        return words.read(self.figures["certificate"])

    @property
    def report(self) -> "Report":
        """The report, which a notebook shows."""
        return Report(self.out / "report.html")

    def export(self, format: str, path: str | Path | None = None, harmful: bool = False) -> Path:
        """Writes the dataset for a trainer (`concord export`); where it lies. `harmful`: with rows that are marked so."""
        with _reading(self.settings, self.server) as records:
            out = Path(path) if path else None
            return release.release(records, self.settings.home, self.run_id, format, out, harmful).path

    def replay(self) -> "Story":
        """The run's story by stage, from its log."""
        lines: list[str] = []
        with _reading(self.settings, self.server) as records:
            replay_commands.tell(records, self.run_id, "", False, lines.append)
        return Story("\n".join(lines))

    def __repr__(self) -> str:
        return f"<concord run {self.run_id[:8]}: {self.out / 'dataset.jsonl'}, {self.out / 'report.html'}>"


@dataclass(frozen=True)
class Dataset:
    """A run's dataset: iterates over its rows, one dict a pair, ties included."""

    run: Run

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with _reading(self.run.settings, self.run.server) as records:
            yield from datasets.rows(records.view(self.run.run_id).dataset_uri, records.blob)

    def __len__(self) -> int:
        with _reading(self.run.settings, self.run.server) as records:
            return records.view(self.run.run_id).pairs

    @property
    def sha256(self) -> str:
        """The hash of what the rows mean."""
        with _reading(self.run.settings, self.run.server) as records:
            return records.view(self.run.run_id).dataset_sha256

    def to_list(self) -> list[dict[str, Any]]:
        """All rows."""
        return list(self)

    def to_hf(self) -> Any:
        """A `datasets.Dataset`; `original` as JSON, for a table has one form for all rows. Raises InvalidInput where that library
        is not installed."""
        library, rows = _library("datasets", "to_hf"), self.to_list()
        if any("original" in row for row in rows):
            held = (json.dumps(row["original"], ensure_ascii=False) if "original" in row else "" for row in rows)
            rows = [row | {"original": text} for row, text in zip(rows, held, strict=True)]
        return library.Dataset.from_list(rows)

    def to_pandas(self) -> Any:
        """A DataFrame. Raises InvalidInput where pandas is not installed."""
        return _library("pandas", "to_pandas").DataFrame(self.to_list())


def _library(name: str, wanted_by: str) -> Any:
    """A library that Concord does not bring along."""
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise InvalidInput(f"{wanted_by} needs {name}, which is not installed here: pip install {name}") from None


@dataclass(frozen=True)
class Report:
    """A report as a file; a notebook shows it in a frame of its own."""

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def _repr_html_(self) -> str:
        from html import escape

        page = escape(self.path.read_text(encoding="utf-8"), quote=True)
        return f'<iframe srcdoc="{page}" width="100%" height="700" style="border:0" sandbox=""></iframe>'


class Story(str):
    """A text of several lines, shown as such."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
