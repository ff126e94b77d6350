"""An earlier run that a new one goes on from: its pairs stand first in the new one, and what people said of them counts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from concord.client.intake.intake import Input
from concord.client.intake.verdicts import verdicts_seen
from concord.client.run.options import semantic
from concord.client.run.voters import Reused
from concord.kit.errors import InvalidInput
from concord.kit.plural import many
from concord.preference import selecting
from concord.preference.budget import human_budget, new_pairs, votes_each
from concord.preference.methods import METHODS
from concord.preference.pairs import Row, unordered_hash
from concord.preference.stages import LABELLING
from concord.v1.config_pb2 import Parent, RunConfig
from concord.v1.pairs_pb2 import Choice, Pair
from concord.v1.runs_service_pb2 import RunView

# Ids that we gave to rows without one: every file has them, so they say nothing of which pair is meant.
_OURS = re.compile(r"row-\d+(/\d+-\d+)?")
_SHOWN = 3


@dataclass(frozen=True)
class Earlier:
    """What is known of it. `rows` are its pairs in order, with people's labels where the caller still knows them."""

    view: RunView
    rows: tuple[Row, ...]
    # What people answered in it and in the runs that it goes on from, by the pair's hash.
    answered: Reused

    @property
    def parent(self) -> Parent:
        """The link as a configuration holds it: its own human stages behind those that it took over."""
        own = [stage.manifest_uri for stage in self.view.stages if stage.stage in LABELLING and stage.closed]
        taken = self.view.config.parent.annotation_uris
        return Parent(run_id=self.view.run_id, pairs=len(self.rows), annotation_uris=[*taken, *own])


@dataclass(frozen=True)
class Joined:
    """The earlier run's pairs, then the new ones."""

    given: Input
    left_out: frozenset[str] = frozenset()  # ids of pairs in the file that the earlier run has already


def rows_of(pairs: Sequence[Pair], truth: Mapping[int, "Choice.ValueType"]) -> tuple[Row, ...]:
    """An earlier run's pairs as rows of an input. Of the verdicts in its file they hold those that it used."""
    return tuple(Row(pair, truth.get(index), (), tuple(pair.verdicts)) for index, pair in enumerate(pairs))


def join(earlier: Earlier, given: Input | None) -> Joined:
    """The earlier run's pairs with the new ones of this input behind them; None: its pairs alone, looked at once more.

    A pair is new if the earlier run has none with the same texts, one way round or the other. Raises
    InvalidInput where none is, and for a new pair that goes by another one's id.
    """
    view, ours = (
        earlier.view,
        f"goes on from run {earlier.view.run_id[:8]} with its {many(len(earlier.rows), 'pair')}",
    )
    if given is None:
        form, seen = "pairs of an earlier run", verdicts_seen(earlier.rows)
        return Joined(Input(view.input_name, view.input_sha256, form, earlier.rows, {}, seen, (ours,)))
    known = {unordered_hash(row.pair) for row in earlier.rows}
    new = [row for row in given.rows if unordered_hash(row.pair) not in known]
    if not new:
        raise InvalidInput(
            f"{given.name}: none of its {many(len(given.rows), 'pair')} is new: run {view.run_id} has them all"
        )
    left_out = {row.pair.pair_id for row in given.rows} - {row.pair.pair_id for row in new}
    new, renamed = _with_ids_of_their_own(new, {row.pair.pair_id for row in earlier.rows}, given, view.run_id)
    rows = (*earlier.rows, *new)
    notes = [
        f"{ours} and {many(len(new), 'new one')}"
        + (f"; {len(left_out):,} of the file it has already" if left_out else "")
    ]
    if renamed:
        notes.append(
            f"{many(renamed, 'new row has', 'new rows have')} no id of its own, and row-N is taken: row-N@{given.sha256[:8]} here"
        )
    if given.rows_with_truth and not any(row.truth is not None for row in earlier.rows):
        notes.append(
            "people's labels of the earlier pairs are not known here: only results in their usual place hold them"
        )
    both = replace(given, rows=rows, judges=verdicts_seen(rows), notes=(*given.notes, *notes))
    return Joined(both, frozenset(left_out))


def _with_ids_of_their_own(new: Sequence[Row], taken: set[str], given: Input, run_id: str) -> tuple[list[Row], int]:
    """The rows, those of ours among their ids made new where they are taken, and how many were."""
    clashes = [row.pair.pair_id for row in new if row.pair.pair_id in taken and not _OURS.fullmatch(row.pair.pair_id)]
    if clashes:
        raise InvalidInput(
            f"{given.name}: {many(len(clashes), 'new pair has', 'new pairs have')} an id that run {run_id} uses for another "
            "pair, such as "
            f"{', '.join(clashes[:_SHOWN])}; give them ids of their own, or answers could not tell them apart"
        )
    out = [_renamed(row, given.sha256) if row.pair.pair_id in taken else row for row in new]
    return out, sum(row.pair.pair_id in taken for row in new)


def _renamed(row: Row, sha256: str) -> Row:
    pair = Pair()
    pair.CopyFrom(row.pair)
    pair.pair_id += f"@{sha256[:8]}"
    return replace(row, pair=pair)


def link(config: RunConfig, earlier: Earlier, pairs: int) -> None:
    """Notes in the configuration of a run of so many pairs where it goes on from."""
    config.parent.CopyFrom(earlier.parent)
    selecting.check(config)
    if not METHODS[config.method].asks:
        # Their labels are the judge's or the rule's, nobody else's.
        config.parent.ClearField("annotation_uris")
    if METHODS[config.method].asks_all:
        # Of all pairs, not of the new ones.
        config.human_budget = pairs * votes_each(config)


def check(config: RunConfig, given: Input, earlier: Earlier) -> None:
    """Raises InvalidInput where the run would not hold all earlier pairs, or would be the earlier run once more."""
    kept = {row.pair.pair_id for row in given.rows}
    if missing := sum(row.pair.pair_id not in kept for row in earlier.rows):
        raise InvalidInput(
            f"--judge recorded:{config.judge.name}: {many(missing, 'pair')} of run {earlier.view.run_id} without a "
            "verdict of that judge: "
            "an earlier run keeps only the verdicts that it used; name its judge, or one that can be asked"
        )
    view, pairs = earlier.view, len(given.rows)
    before = view.human_budget / new_pairs(view.config, pairs)
    # A budget of votes and one that is a share are one budget if they come to the same vote.
    same_budget = abs(human_budget(config, pairs) / pairs - before) * new_pairs(view.config, pairs) <= 0.5
    if pairs == len(earlier.rows) and same_budget and _settings(config) == _settings(view.config):
        raise InvalidInput(
            f"run {earlier.view.run_id} has these pairs and these settings already: give new pairs, or say what is to be "
            "different (--criteria, --judge, --method, --budget …)"
        )


def _settings(config: RunConfig) -> bytes:
    """What decides the result but for the budget, wherever the run goes on from."""
    kept = RunConfig.FromString(semantic(config))
    for field in ("parent", "human_budget", "human_budget_share"):
        kept.ClearField(field)
    return kept.SerializeToString(deterministic=True)
