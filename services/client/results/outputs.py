"""What a run leaves in its folder: dataset.jsonl, report.json, report.html, questions.jsonl."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from concord.client.results.results_dir import writable
from concord.client.run.job import Job
from concord.kit.files import whole
from concord.report import figures
from concord.report.accuracy import Evaluation
from concord.report.cost import LABEL_PRICE
from concord.v1.events_pb2 import Event, TaskOutcome
from concord.v1.pairs_pb2 import Choice, Pair

# Of a question.
_KEYS = {"pair_id", "prompt", "first", "second"}
# A run's facts and their append times, in order.
Events = Sequence[tuple[Event, float]]


def write(
    out: Path,
    job_truth: Mapping[int, "Choice.ValueType"],
    events: Events,
    blob: Callable[[str], bytes],
    dataset: Iterable[bytes] | None,
    evaluation: Evaluation | None,
    methods: Mapping[str, "figures.Method"],
    label_price: float = LABEL_PRICE,
) -> dict[str, object]:
    """dataset.jsonl, report.json and report.html of the run of these events; returns what report.json holds.

    Where the run chose its pairs, left-out.jsonl has those that it did not label.

    What a report of the same dataset knew from `--compare` and `--test` stays where nothing newer is given.
    """
    # Its drawings need matplotlib, half a second that a command without a report need not wait.
    from concord.report import page

    made = figures.figures_of(events, blob, job_truth or None, evaluation, methods, label_price)
    with writable(out):
        made = _with_measured_before(out / "report.json", made)
        report = made.as_json()
        if dataset is not None:
            with whole(out / "dataset.jsonl") as unfinished, unfinished.open("wb") as file:
                file.writelines(dataset)
        (out / "report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        (out / "report.html").write_text(page.page(made), encoding="utf-8")
        if made.selection:
            (out / "left-out.jsonl").write_bytes(blob(made.selection.left_out_uri))
    return report


def _with_measured_before(path: Path, made: figures.Figures) -> figures.Figures:
    """The figures with other methods and evaluation of the report at `path`, if it is of the same run and dataset."""
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        same = (before["run_id"], before["dataset_sha256"]) == (made.run_id, made.dataset_sha256 or None)
        methods = {name: figures.method_of(method) for name, method in before["methods"].items()} if same else {}
        tested = Evaluation(**before["evaluation"]) if same and before["evaluation"] else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return made
    tested = made.evaluation or tested
    gap_closed = tested.gap_closed if tested else None
    return replace(made, methods={**methods, **made.methods}, evaluation=tested, gap_closed=gap_closed)


def write_questions(out: Path, job: Job, events: Events) -> tuple[int, Path]:
    """Asked pairs that nobody answered, as JSON Lines in questions.jsonl; how many there are, and the file."""
    silent = (TaskOutcome.TASK_OUTCOME_SKIPPED, TaskOutcome.TASK_OUTCOME_EXPIRED)
    said = [e.task_resolved for e, _ in events if e.WhichOneof("kind") == "task_resolved"]
    known = len(job.given.rows)
    asked = sorted({task.pair_index for task in said if task.outcome in silent and task.pair_index < known})
    return len(asked), write_asked(out, job, asked)


def write_asked(out: Path, job: Job, asked: Sequence[int]) -> Path:
    """These pairs as questions; the file. Where none is left, what was asked before does not stand there any more.

    A file with answers is never written over, should it be that very one, or one that somebody filled in.
    """
    path = out / "questions.jsonl"
    is_the_answers = Path(job.options.annotators.partition(":")[2]).absolute() == path.absolute()
    if is_the_answers or not _is_ours(path):
        path = out / f"questions-{job.run_id[:8]}.jsonl"
    with writable(out):
        if asked:
            lines = "".join(_question(job.given.rows[index].pair) for index in asked)
            path.write_text(lines, encoding="utf-8")
        elif _is_ours(path):
            path.unlink(missing_ok=True)
    return path


def forget_asked(out: Path) -> None:
    """Takes questions away that are answered by now, where nothing else stands there."""
    path = out / "questions.jsonl"
    with writable(out):
        if _is_ours(path):
            path.unlink(missing_ok=True)


def _is_ours(path: Path) -> bool:
    """Whether nothing stands there but questions as they were written."""
    try:
        with path.open(encoding="utf-8") as file:
            return all(set(json.loads(line)) - {"harmful"} == _KEYS for line in file)
    except FileNotFoundError:
        return True
    except (OSError, ValueError, TypeError):
        return False


def _question(pair: Pair) -> str:
    prompt = [{"role": message.role, "content": message.content} for message in pair.prompt]
    row = {"pair_id": pair.pair_id, "prompt": prompt, "first": pair.first.text, "second": pair.second.text}
    row |= {"harmful": True} if pair.harmful else {}
    return json.dumps(row, ensure_ascii=False) + "\n"
