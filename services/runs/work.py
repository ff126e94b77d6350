"""What each stage asks of whom: its units, its work items, and what they may cost. Pure."""

from collections.abc import Sequence

import numpy as np

from concord.kit.ids import work_id
from concord.kit.log import topics
from concord.kit.loop.fold import Dispatch
from concord.preference import budget, pilot
from concord.preference.call_limits import MAX_AROUND, MAX_TOKENS
from concord.runs import plan
from concord.runs.state import RunState
from concord.v1.events_pb2 import Stage, StageOpened, Unit
from concord.v1.work_pb2 import Teacher, Work

TOPIC_OF = {
    Stage.STAGE_PILOT_LABEL: topics.LABEL,
    Stage.STAGE_LABEL: topics.LABEL,
    Stage.STAGE_FIT_FEATURES: topics.SCORE,
    Stage.STAGE_FEATURES: topics.SCORE,
    Stage.STAGE_SCORE: topics.SCORE,
    Stage.STAGE_TRIAGE: topics.TRIAGE,
    Stage.STAGE_DATASET: topics.TRIAGE,
    Stage.STAGE_TRAIN: topics.TRAIN,
    Stage.STAGE_FINAL: topics.TRAIN,
}
PER_SHARD = (Stage.STAGE_LABEL, Stage.STAGE_FEATURES, Stage.STAGE_SCORE)
# The basis of the features is fitted on at most so many texts; more change it little.
MAX_BASIS_TEXTS = 20_000


def draw_pilot(state: RunState) -> list[int]:
    """The pilot's pairs: uniform, seeded by the configuration, ascending."""
    size = budget.pilot_size(state.view.config, state.view.pairs, state.view.human_budget)
    return pilot.draw_pilot(state.view.pairs, size, state.view.config.seed).tolist()


def pilot_for_people(state: RunState) -> list[int]:
    """The pilot's labelled pairs; where the human budget has shrunk since, a uniform part of them."""
    assert state.pilot is not None
    labelled, most = state.pilot.pair_indexes, state.view.human_budget // max(1, state.view.config.quorum)
    kept = pilot.draw_pilot(len(labelled), min(len(labelled), most), state.view.config.seed)
    return sorted(labelled[at] for at in kept)


def units_of(state: RunState, stage: int, opened: StageOpened) -> int:
    """How many units the stage has; fixed when it opens."""
    if stage in PER_SHARD:
        return len(state.shards)
    if stage == Stage.STAGE_TRAIN:
        return state.view.config.folds
    if stage == Stage.STAGE_PILOT_LABEL:
        return -(-len(opened.pair_indexes) // state.view.config.shard_pairs)
    if stage in (Stage.STAGE_PILOT_ANNOTATE, Stage.STAGE_ANNOTATE):
        return len(opened.pair_indexes)
    return 1


def unit_of(state: RunState, number: int) -> Unit:
    """The unit's name as it stands now: RetryStage renames what failed."""
    assert state.open is not None
    retry = state.open.retries.get(number, 0)
    return Unit(stage=state.open.stage, round=state.open.round, number=number, retry=retry)


def work_item(state: RunState, number: int) -> Dispatch:
    """The work item for one unit of the open stage."""
    assert state.open is not None
    view, stage, round_ = state.view, state.open.stage, state.open.round
    unit = unit_of(state, number)
    work = Work(
        work_id=work_id(view.run_id, unit), run_id=view.run_id, unit=unit, config=view.config, pairs_uri=view.pairs_uri
    )
    if stage in PER_SHARD and view.config.HasField("parent"):
        # There are many of these, and none of them looks at what people said.
        work.config.parent.ClearField("annotation_uris")
    TASKS[stage](state, work, number)
    topic = TOPIC_OF[stage]
    return Dispatch(topic, topics.work_partition(topic, view.run_id, stage, round_, number), work)


def _pilot_label(state: RunState, work: Work, number: int) -> None:
    mine = _chunk(state, number)
    work.label_shard.shard_uris.extend(state.shards[at].uri for at in sorted(set(_shards_of(state, mine))))
    work.label_shard.pair_indexes.extend(mine)


def _label(state: RunState, work: Work, number: int) -> None:
    work.label_shard.shard_uris.append(state.shards[number].uri)


def _fit_features(state: RunState, work: Work, number: int) -> None:
    work.fit_features.max_texts = MAX_BASIS_TEXTS


def _features(state: RunState, work: Work, number: int) -> None:
    work.featurise_shard.shard_uri = state.shards[number].uri
    work.featurise_shard.basis_uri = state.view.basis_uri


def _train(state: RunState, work: Work, number: int) -> None:
    work.train_fold.fold = number
    work.train_fold.labels_uri = state.manifest(Stage.STAGE_LABEL)
    work.train_fold.features_uri = state.manifest(Stage.STAGE_FEATURES)
    work.train_fold.teacher = plan.TEACHERS.get(state.view.config.method, Teacher.TEACHER_UNSPECIFIED)
    if work.train_fold.teacher != Teacher.TEACHER_UNSPECIFIED:
        work.train_fold.annotation_uris.extend(state.annotations())
        work.train_fold.human_weight = state.view.last_round.human_weight or state.view.config.human_weight
    if work.train_fold.teacher == Teacher.TEACHER_TRIAGE:
        work.train_fold.chosen_uri = state.view.last_round.posterior_uri


def _score(state: RunState, work: Work, number: int) -> None:
    work.score_shard.features_uri = state.manifest(Stage.STAGE_FEATURES)
    work.score_shard.models_uri = state.latest(Stage.STAGE_TRAIN)
    work.score_shard.first_index = state.shards[number].first_index


def _triage(state: RunState, work: Work, number: int) -> None:
    assert state.open is not None
    view = state.view
    task = work.triage_round
    task.labels_uri = state.manifest(Stage.STAGE_LABEL)
    task.features_uri = state.manifest(Stage.STAGE_FEATURES)
    task.scores_uri = state.latest(Stage.STAGE_SCORE)
    task.previous_uri = view.last_round.posterior_uri
    task.annotation_uris.extend(state.annotations())
    last = budget.rounds(view.config, view.pairs, view.human_budget)
    task.last = state.open.round > last
    task.ask = budget.ask_in_round(view.config, view.pairs, view.human_budget, view.votes, state.open.round, last)


def _final(state: RunState, work: Work, number: int) -> None:
    task = work.train_final
    task.labels_uri = state.manifest(Stage.STAGE_LABEL)
    task.features_uri = state.manifest(Stage.STAGE_FEATURES)
    task.posterior_uri = state.view.last_round.posterior_uri
    task.trust = state.view.last_round.trust
    task.annotation_uris.extend(state.annotations())


def _dataset(state: RunState, work: Work, number: int) -> None:
    task = work.build_dataset
    task.labels_uri = state.manifest(Stage.STAGE_LABEL)
    task.annotation_uris.extend(state.annotations())
    task.posterior_uri = state.view.last_round.posterior_uri
    if state.view.HasField("last_round"):
        task.expected_error = state.view.last_round.expected_error
        if state.view.last_round.HasField("audited_error"):
            task.audited_error = state.view.last_round.audited_error


TASKS = {
    Stage.STAGE_PILOT_LABEL: _pilot_label,
    Stage.STAGE_LABEL: _label,
    Stage.STAGE_FIT_FEATURES: _fit_features,
    Stage.STAGE_FEATURES: _features,
    Stage.STAGE_TRAIN: _train,
    Stage.STAGE_SCORE: _score,
    Stage.STAGE_TRIAGE: _triage,
    Stage.STAGE_FINAL: _final,
    Stage.STAGE_DATASET: _dataset,
}


def affordable(state: RunState, undone: Sequence[int]) -> list[int]:
    """The leading units whose upper bounds fit in what is left of the money."""
    assert state.open is not None
    if not state.view.dollar_budget or state.open.stage not in (Stage.STAGE_PILOT_LABEL, Stage.STAGE_LABEL):
        return list(undone)
    left, out = state.view.dollar_budget - state.view.usage.dollars, []
    for number in undone:
        left -= bound(state, number)
        if left < 0:
            break
        out.append(number)
    return out


def bound(state: RunState, number: int) -> float:
    """Dollars that judging this unit can cost at most: every call at its token cap, a token being at least one byte.

    Each verdict may be asked once more when it does not parse; the prompt around the texts is covered by the criteria
    and MAX_AROUND.
    """
    text, pairs = _texts(state, number)
    dollars = 0.0
    for judge in (state.view.config.judge, *state.view.config.helpers):
        calls = 2 * (2 if judge.both_orders else 1)
        prompt = text + pairs * (MAX_AROUND + len(judge.criteria.encode()))
        completion = pairs * (judge.max_tokens or MAX_TOKENS)
        dollars += calls * (prompt * judge.prompt_dollars + completion * judge.completion_dollars) / 1e6
    return dollars


def _texts(state: RunState, number: int) -> tuple[int, int]:
    """(bytes of text, pairs) of a labelling unit, at most."""
    assert state.open is not None
    if state.open.stage == Stage.STAGE_LABEL:
        return state.shards[number].text_bytes, state.shards[number].pairs
    mine = _chunk(state, number)
    return sum(state.shards[at].largest_pair_bytes for at in _shards_of(state, mine)), len(mine)


def _chunk(state: RunState, number: int) -> Sequence[int]:
    size = state.view.config.shard_pairs
    return state.asked[number * size : (number + 1) * size]


def _shards_of(state: RunState, pairs: Sequence[int]) -> list[int]:
    """For each pair the place of its shard."""
    firsts = np.array([shard.first_index for shard in state.shards])
    return (np.searchsorted(firsts, pairs, side="right") - 1).tolist()
