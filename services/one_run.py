"""One run between its job and its results: what `concord run`, `concord annotate` and `concord.run` share.

Every command imports it: the drawings of a report are imported where one is written.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from concord.client.results import results_dir
from concord.client.results.records import Records
from concord.client.run import session
from concord.client.run.drive import JUDGE_STOPPED
from concord.client.run.job import Job
from concord.client.run.voters import WEB
from concord.kit.plural import many
from concord.preference import answer_faults, datasets
from concord.preference.pairs import ids_at
from concord.report.accuracy import Evaluation
from concord.report.figures import Method
from concord.v1.runs_service_pb2 import RunView


@dataclass
class Questions:
    """What people are asked and nobody has answered: written beside the results, told, and waited for where that is wanted."""

    job: Job
    out: Path
    wait: bool
    tell: Callable[[str], object]
    command: str = "concord"
    flag: str = ""
    asked: int = field(default=0, init=False)
    path: Path = field(default=Path(), init=False)
    # A round that is half answered is no news.
    _told: set[int] = field(default_factory=set, init=False)

    def __call__(self, pairs: Sequence[int], flaw: str) -> bool:
        """Notes these pairs (by index), and a file of answers that cannot be read; whether to wait for answers."""
        from concord.client.results import outputs

        self.asked, self.path = len(pairs), outputs.write_asked(self.out, self.job, pairs)
        if flaw:
            self.tell(f"  {flaw}; waiting until that is mended")
        if self.wait and not self._told.issuperset(pairs):
            self._told.update(pairs)
            self.tell(f"  {self._what}; {self._how}; waiting")
        return self.wait

    def line(self) -> str:
        """Why the run waits, and how to go on."""
        return f"run {self.job.run_id} waits for people: {self._what}; {self._how}"

    @property
    def _what(self) -> str:
        questions = many(self.asked, "question stands", "questions stand")
        return f"{questions} in {self.path}"

    @property
    def _how(self) -> str:
        annotate = f"`{self.command} annotate {self.job.run_id[:8]}{self.flag}` asks them here"
        kind, _, file = self.job.options.annotators.partition(":")
        if kind == WEB and self.wait:
            return "the pages ask them"
        if kind != "file":
            return annotate
        go_on = "" if self.wait else " and give the same command again"
        return f'answer them in {file}, {{"pair_id": …, "choice": "first"}} a line,{go_on}, or {annotate}'


def driven(
    job: Job, services: session.Services, seen: session.Seen, resume: session.Resume | None, questions: Questions
) -> RunView:
    """The run at its end, or at a pause that needs a person; from then on `questions.job` has the rows as the run numbers them."""
    questions.job = session.selected(job, services, seen, resume)
    if job.config.select:
        results_dir.remember(questions.out, job.run_id, questions.job.truth)
    view = session.run(questions.job, services, seen, resume, questions)
    if (known := session.with_answers(questions.job, view, services)) is not None:
        questions.job = known
        view = session.run(known, services, seen, None, questions)
    return view


def evidence(view: RunView, records: Records) -> list[str]:
    """What a judge that stopped its run answered instead of verdicts: causes, what to do, an example or two."""
    if view.pause_reason not in JUDGE_STOPPED:
        return []
    labeled = answer_faults.standing(event for event, _ in records.events(view.run_id))
    causes = answer_faults.collected(labeled)
    kept = [example.pair_index for answers in causes for example in answers.examples]
    found = answer_faults.lines(causes, ids_at(kept, view.pairs_uri, records.blob))
    return [f"  {line}" for line in (*found, f"more of it: concord report {view.run_id[:8]}{records.flag}")]


def results(
    job: Job,
    view: RunView,
    records: Records,
    out: Path,
    evaluation: Evaluation | None = None,
    methods: Mapping[str, Method] | None = None,
) -> tuple[Mapping[str, object], tuple[int, Path]]:
    """Writes what a finished run leaves; what report.json holds, and the questions that were skipped with their file."""
    from concord.client.results import models, outputs

    made = models.write(out, view, records)
    events = records.events(job.run_id)
    dataset = datasets.parts(view.dataset_uri, records.blob)
    report = outputs.write(out, job.truth, events, records.blob, dataset, evaluation, methods or {})
    models.tell(made, report)
    return report, outputs.write_questions(out, job, events)


def written_again(records: Records, view: RunView, out: Path) -> Mapping[str, object]:
    """Writes what a finished run leaves where its input is not at hand; what report.json holds."""
    from concord.client.results import models, outputs

    made = models.write(out, view, records)
    truth = results_dir.remembered_truth(out, view.run_id)
    dataset = datasets.parts(view.dataset_uri, records.blob)
    outputs.forget_asked(out)
    report = outputs.write(out, truth, records.events(view.run_id), records.blob, dataset, None, {})
    models.tell(made, report)
    return report
