"""How much of the gap between the judge's labels and people's a run closed, on test pairs that it never saw.

Three reward models of one kind on the same features: taught by the judge's labels, by the run's, by people's own.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from concord.client.run.job import Read
from concord.kit.arrays import unpack
from concord.kit.errors import InvalidInput
from concord.kit.plural import many
from concord.preference.columns import columns_of, domain_number, judge_targets
from concord.preference.pairs import Row, pair_hash
from concord.report.accuracy import Evaluation
from concord.reward import features, head
from concord.v1.events_pb2 import Stage, StageManifest
from concord.v1.pairs_pb2 import Choice
from concord.v1.runs_service_pb2 import RunView

Truth = Mapping[int, "Choice.ValueType"]
DECIDED = {Choice.CHOICE_FIRST: 1.0, Choice.CHOICE_SECOND: 0.0}


def evaluate(view: RunView, read: Callable[[str], bytes], truth: Truth, test: Sequence[Row]) -> Evaluation:
    """Accuracies on the decided test rows. Raises InvalidInput where the test file knows no truth."""
    rows = [row for row in test if row.truth in DECIDED]
    if not rows:
        raise InvalidInput("--test: no row of that file has people's label, so nothing can be measured on it")
    manifests = {stage.stage: stage.manifest_uri for stage in view.stages}
    features_of = StageManifest.FromString(read(manifests[Stage.STAGE_FEATURES]))
    columns = columns_of(features_of, lambda uri: unpack(read(uri)))
    labels = StageManifest.FromString(read(manifests[Stage.STAGE_LABEL]))
    basis = features.Basis.from_arrays(unpack(read(view.basis_uri)))
    x = features.differences(basis, [row.pair.first.text for row in rows], [row.pair.second.text for row in rows])
    domain = np.array([domain_number(row.pair.domain) for row in rows], np.int64)
    right = np.array([DECIDED[row.truth] for row in rows]) == 1.0  # type: ignore[index]

    def accuracy(model: head.Head) -> float:
        return float(((head.margins(model, x, domain) > 0) == right).mean())

    p_judge, by_judge = judge_targets(labels, len(columns.x))
    p_people, by_people = np.full(len(columns.x), 0.5), np.zeros(len(columns.x))
    for index, choice in truth.items():
        if choice in DECIDED:
            p_people[index], by_people[index] = DECIDED[choice], 1.0
    final = head.Head.from_arrays(unpack(read(view.model_uri)))
    return Evaluation(
        ai_only=accuracy(head.fit_head(columns.x, p_judge, by_judge, columns.domain)),
        final=accuracy(final),
        full=accuracy(head.fit_head(columns.x, p_people, by_people, columns.domain)),
        pairs=len(rows),
    )


def read_test(test: Path, read: Read) -> Sequence[Row]:
    """The rows of `--test PATH`, read as the pairs are (`--columns`)."""
    return read(str(test), None).rows


def check_test(given: Sequence[Row], test: Path, rows: Sequence[Row]) -> tuple[str, ...]:
    """Raises InvalidInput where nothing can be measured on these rows of `test`; a note where they share pairs with the run."""
    if not any(row.truth in (Choice.CHOICE_FIRST, Choice.CHOICE_SECOND) for row in rows):
        raise InvalidInput(f"--test {test}: no row of that file has people's label, so nothing can be measured on it")
    known = {pair_hash(row.pair) for row in given}
    both = sum(pair_hash(row.pair) in known for row in rows)
    return (
        (f"{many(both, 'test pair is', 'test pairs are')} also in the run: what is measured there flatters it",)
        if both
        else ()
    )
