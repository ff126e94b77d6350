"""A finished run's dataset, written for others: found, converted, put into a file or a folder."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

from concord.certificate.certificate import Certificate
from concord.client.intake import parquet
from concord.client.results.card import card
from concord.client.results.export import FORMATS, Exported, uniform
from concord.client.results.records import Records
from concord.client.results.results_dir import folder, remembered_truth, writable
from concord.kit.enums import word
from concord.kit.errors import InvalidInput
from concord.kit.files import whole
from concord.preference import datasets
from concord.report import certified
from concord.report.figures import Figures, figures_of
from concord.report.history import read_history
from concord.v1.runs_service_pb2 import RUN_STATUS_FINISHED, RunStatus

_ENDINGS = {"parquet": ".parquet", "hf": ""}
_SHARD = "train-00000-of-00001.parquet"


@dataclass(frozen=True)
class Released:
    """An export as it lies there."""

    path: Path
    made: Exported
    certificate: Certificate | None  # of its own rows; None where nothing is known


def release(records: Records, home: str, name: str, format_: str, out: Path | None, harmful: bool = False) -> Released:
    """Writes the dataset of the run that `name` means; where it lies, and what is in it.

    `harmful`: with the rows that are marked as harmful.
    `out`: the file, or with `hf` the folder; None: beside the run's results in `home` (CONCORD_HOME). Raises InvalidInput
    for a format that is none, for a run that is not finished and for a dataset of which nothing is left.
    """
    if format_ not in FORMATS:
        raise InvalidInput(f"--format {format_}: one of {', '.join(FORMATS)} is expected")
    run_id = records.find(name)
    results = folder(home, run_id, records.server)
    figures, dataset = _finished(records, run_id, results)
    made = Exported()
    certificate = cache(lambda: _certificate(records, run_id, made))
    rows = uniform(dataset, format_, made, harmful)
    first = next(rows, None)
    if first is None:
        raise InvalidInput(
            f"run {run_id}: nothing is left to export: {'; '.join(made.notes) or 'the dataset has no rows'}"
        )
    rows = chain((first,), rows)
    out = out or results / f"export-{format_}{_ENDINGS.get(format_, '.jsonl')}"
    if format_ == "hf":
        _write_folder(out, rows, lambda: card(figures.as_json(), made, version("concord-preference"), certificate()))
    else:
        with writable(out.parent), whole(out) as path:
            (parquet.write_parquet if format_ == "parquet" else _jsonl)(path, rows)
    return Released(out, made, certificate())


def _certificate(records: Records, run_id: str, made: Exported) -> Certificate | None:
    """Of the rows that are in the export, once they have all gone by."""
    history = read_history(records.events(run_id), records.blob)
    return certified.of_export(history, records.blob, made.kept, made.hashed.hexdigest())


def _finished(records: Records, run_id: str, results: Path) -> tuple[Figures, Callable[[], Iterator[dict[str, Any]]]]:
    """What is known of the run, and what gives its dataset's rows."""
    view = records.view(run_id)
    if view.status != RUN_STATUS_FINISHED:
        status = word(RunStatus, view.status)
        raise InvalidInput(
            f"run {run_id} is {status}: only a finished run has a dataset; its own command goes on with it"
        )
    truth = remembered_truth(results, run_id) or None
    figures = figures_of(records.events(run_id), records.blob, truth)
    return figures, lambda: datasets.rows(view.dataset_uri, records.blob)


def _write_folder(out: Path, rows: Iterable[Mapping[str, Any]], readme: Callable[[], str]) -> None:
    """The rows, and then the card, which counts them."""
    data = out / "data"
    with writable(data):
        # The card names data/train-*: rows of another export would be read with these.
        others = sorted(path.name for path in data.glob("train-*") if path.name != _SHARD)
        if others:
            raise InvalidInput(f"{data}: holds {others[0]} of another export; choose another folder with --out")
        # One inside the other: where the card cannot be written, there are no rows without one.
        with whole(data / _SHARD) as path:
            parquet.write_parquet(path, rows)
            with whole(out / "README.md") as beside:
                beside.write_text(readme(), encoding="utf-8")


def _jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
