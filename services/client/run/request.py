"""A run as a caller asks for it, on the command line or in Python: the steps from what is said to a run that begins.

Both doors take these, so that what one of them checks the other checks too.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from concord.client.results import results_dir
from concord.client.results.records import Records
from concord.client.run import continue_run, drive, preflight, progress
from concord.client.run.job import Functions, Job, Read, prepare
from concord.client.run.options import Options
from concord.client.run.session import Resume
from concord.client.run.voters import Skipping


@dataclass(frozen=True)
class Request:
    """What is asked for, before anything is read."""

    # Pairs: a file, a folder or `sample`; empty: those of the run that it goes on from.
    path: str
    # What is said of the settings, put over those of an earlier run where it goes on from one.
    asked: Callable[..., Options]
    home: str
    # Of the pairs and of test pairs alike: what is said of columns holds for both.
    read: Read
    server: str = ""
    from_: str = ""
    reuse: str = ""
    new: str = ""
    # Where rows that cannot be used are put; None: they stop everything.
    aside: Path | None = None
    functions: Functions | None = None
    test: Path | None = None
    skip_unanswered: bool = False
    resume: bool = False
    accept_judge: bool = False

    @property
    def how(self) -> Resume | None:
        """What lets a paused run go on, where that is wanted."""
        return partial(drive.resume, accept_judge=self.accept_judge) if self.resume else None


def job_of(request: Request, records: Records) -> Job:
    """Everything read and checked, nothing recorded. Raises InvalidInput, NotFound."""
    reused = continue_run.answers_of(records, request.reuse) if request.reuse else None
    if request.from_:
        job = continue_run.go_on(
            records,
            request.home,
            request.from_,
            request.path,
            request.asked,
            request.aside,
            request.new,
            reused,
            request.read,
            request.functions,
        )
    else:
        job = prepare(
            request.path,
            request.asked(),
            request.aside,
            request.new,
            reused,
            None,
            request.functions,
            request.read,
        )
    job = continue_run.as_begun(records, job)
    if request.resume:
        continue_run.check_begun(records, job)
    if request.test:
        from concord.client.run import evaluate

        test = evaluate.read_test(request.test, request.read)
        job = replace(job, notes=(*job.notes, *evaluate.check_test(job.given.rows, request.test, test)))
    return replace(job, voters=Skipping(job.voters)) if request.skip_unanswered and job.voters else job


def begin(request: Request, job: Job, records: Records, out: Path, say: Callable[[str], object]) -> None:
    """The last look before anything is paid, and what is said of the run. Raises InvalidInput, Unavailable."""
    if not request.server:
        preflight.check((job.config.judge, *job.config.helpers, *job.config.generators))
    results_dir.remember(out, job.run_id, job.truth)
    progress.began(job, request.aside, say)
    if differing := continue_run.told(records, job):
        say(f"  {differing}")
