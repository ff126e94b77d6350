"""What each stage asks of whom: its units, its work items, and what they may cost. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from concord.kit.ids import uri_of, work_id
from concord.kit.log import topics
from concord.kit.loop.fold import Dispatch
from concord.preference import budget, call_costs, checked, evaluating, further, generating, pilot
from concord.preference.deviating import set_aside
from concord.preference.judges import networked
from concord.preference.methods import METHODS
from concord.preference.shards import manifest_bytes
from concord.preference.stages import STAGES
from concord.runs.state import RunState
from concord.v1.config_pb2 import JudgeConfig
from concord.v1.events_pb2 import Stage, StageOpened, Unit, Usage
from concord.v1.work_pb2 import Teacher, Work

# The basis of the features is fitted on at most so many texts; more change it little.
MAX_BASIS_TEXTS = 20_000
# Keeps the draw of questions for a second person apart from that of a round's part.
AGAIN = 1_000_000
# The same of the draw of a policy's answers.
OF_POLICY = 2_000_000
# Paid stages whose units are whole shards.
_WHOLE = (Stage.STAGE_GENERATE, Stage.STAGE_LABEL, Stage.STAGE_TEACH)


def draw_pilot(state: RunState) -> list[int]:
    """The pilot's pairs: uniform, seeded by the configuration, ascending."""
    size = budget.pilot_size(state.view.config, state.view.pairs, state.view.human_budget)
    return pilot.draw_pilot(state.view.pairs, size, state.view.config.seed).tolist()


def pilot_for_people(state: RunState) -> list[int]:
    """The pilot's labelled pairs; where the human budget has shrunk since, a uniform part of them."""
    assert state.pilot is not None
    labelled, most = state.pilot.pair_indexes, budget.tasks(state.view.config, state.view.human_budget)
    kept = pilot.draw_pilot(len(labelled), min(len(labelled), most), state.view.config.seed)
    return sorted(labelled[at] for at in kept)


@dataclass(frozen=True)
class StageWork:
    """A stage as work: how many units it has, what a unit's item says, which pairs it is about."""

    # Of the stage as far as it is opened: fixed when it opens.
    units: Callable[[RunState, StageOpened], int]
    # Completes the work item of a unit; None: people do it.
    fill: Callable[[RunState, Work, int], None] | None = None
    # Writes the chosen pairs; None: the stage is about all of them.
    choose: Callable[[RunState, StageOpened], None] | None = None


def _one(state: RunState, opened: StageOpened) -> int:
    return 1


def _a_shard(state: RunState, opened: StageOpened) -> int:
    return len(state.shards)


def _a_fold(state: RunState, opened: StageOpened) -> int:
    return state.view.config.folds


def _a_pair(state: RunState, opened: StageOpened) -> int:
    return len(opened.pair_indexes)


def _an_answered_shard(state: RunState, opened: StageOpened) -> int:
    return len(evaluating.compared(state.view.answered))


def _chunks(state: RunState, opened: StageOpened) -> int:
    return -(-len(opened.pair_indexes) // state.view.config.shard_pairs)


def _choose_pilot(state: RunState, opened: StageOpened) -> None:
    _choose_uniformly(state, opened, draw_pilot(state), people=False)


def _choose_pilot_for_people(state: RunState, opened: StageOpened) -> None:
    _choose_uniformly(state, opened, pilot_for_people(state), people=True)


def _choose_uniformly(state: RunState, opened: StageOpened, drawn: Sequence[int], people: bool) -> None:
    """Drawn without looking, so that all of them may audit."""
    opened.pair_indexes.extend(drawn)
    opened.p_ask.extend([len(drawn) / state.view.pairs] * len(drawn))
    opened.audit.extend([True] * len(drawn))
    if people:
        _ask_again(state, opened)


def _choose_answers(state: RunState, opened: StageOpened) -> None:
    """A uniform part of the policy's answers; none of them says anything of the run's labels, so none is an audit."""
    manifest = evaluating.numbered(state.view.answered, state.view.pairs)
    size = min(evaluating.questions(state.view.config), manifest.pairs)
    drawn = pilot.draw_part(manifest.pairs, size, state.view.config.seed, OF_POLICY)
    opened.pairs_uri = uri_of(manifest_bytes(manifest))
    opened.pair_indexes.extend(state.view.pairs + at for at in drawn)
    opened.p_ask.extend([size / max(1, manifest.pairs)] * size)
    opened.audit.extend([False] * size)


def blobs_of(state: RunState, opened: StageOpened) -> tuple[bytes, ...]:
    """What the opening stage names that nobody wrote yet."""
    return (manifest_bytes(evaluating.numbered(state.view.answered, state.view.pairs)),) if opened.pairs_uri else ()


def _choose_asked(state: RunState, opened: StageOpened) -> None:
    """Those that triage chose; where the budget has shrunk since, a uniform part of them.

    Not the most useful ones: a pair's probability of being asked would follow from the others' ranks, and audit places
    would no longer be drawn from all pairs alike. Of a uniform part both are known.
    """
    said = state.view.last_round
    paid = max(0, state.view.human_budget - state.view.votes - _re_asks_left(state)) // max(1, state.view.config.quorum)
    if min(said.p_ask, default=1.0) == 1 and not any(said.audit):
        # A ranking: the first ones are asked, however many there are.
        kept, share = list(range(min(paid, len(said.asked)))), 1.0
    else:
        kept = pilot.draw_part(len(said.asked), paid, state.view.config.seed, opened.round)
        share = len(kept) / max(1, len(said.asked))
    opened.pair_indexes.extend(said.asked[at] for at in kept)
    # No fact may stop the loop, not even one whose columns are of different lengths.
    opened.p_ask.extend(said.p_ask[at] * share for at in kept if at < len(said.p_ask))
    opened.audit.extend(said.audit[at] for at in kept if at < len(said.audit))
    _ask_again(state, opened)


def _re_asks_left(state: RunState) -> int:
    """Votes that are still kept for a second person."""
    return max(0, budget.re_asks(state.view.config, state.view.human_budget) - state.view.re_asked)


def _ask_again(state: RunState, opened: StageOpened) -> None:
    """Marks random places for a second person, by chance: in each stage the same share of them, and none of the targeted."""
    view, left = state.view, _re_asks_left(state)
    random = [at for at, is_random in enumerate(opened.audit) if is_random]
    if not left or not random:
        return
    planned = budget.random_questions(view.config, view.pairs, view.human_budget)
    count = min(left, len(random), ceil(len(random) * budget.re_asks(view.config, view.human_budget) / planned))
    again = {random[at] for at in pilot.draw_part(len(random), count, view.config.seed, AGAIN + opened.round)}
    opened.re_ask.extend(at in again for at in range(len(opened.pair_indexes)))


def unit_of(state: RunState, number: int) -> Unit:
    """The unit's name as it stands now: RetryStage renames what failed."""
    assert state.open is not None
    retry = state.open.retries.get(number, 0)
    return Unit(stage=state.open.stage, round=state.open.round, number=number, retry=retry)


def window(state: RunState) -> int:
    """Units of the open stage that are out at once: all of them where they wait for batches, which costs nobody a place."""
    assert state.open is not None
    config = state.view.config
    asked = {Stage.STAGE_LABEL: (config.judge,), Stage.STAGE_GENERATE: config.generators}.get(state.open.stage, ())
    waits = any(networked(one) and one.batch for one in asked)
    return state.open.units if waits else max(1, state.view.config.window)


def work_item(state: RunState, number: int) -> Dispatch:
    """The work item for one unit of the open stage."""
    assert state.open is not None
    view, stage, round_ = state.view, state.open.stage, state.open.round
    unit = unit_of(state, number)
    work = Work(
        work_id=work_id(view.run_id, unit), run_id=view.run_id, unit=unit, config=view.config, pairs_uri=view.pairs_uri
    )
    if STAGES[stage].per_shard:
        # There are many of these, and none of them looks at what people said.
        if view.config.HasField("parent"):
            work.config.parent.ClearField("annotation_uris")
    else:
        work.set_aside.extend(set_aside(view.last_round))
    topic, fill = STAGES[stage].topic, WORK[stage].fill
    assert topic is not None and fill is not None, "people have no work items"
    fill(state, work, number)
    return Dispatch(topic, topics.work_place(view.run_id, stage, round_, number), work)


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


def _generate(state: RunState, work: Work, number: int) -> None:
    work.generate_shard.shard_uri = state.shards[number].uri


def _embed(state: RunState, work: Work, number: int) -> None:
    work.embed_shard.shard_uri = state.shards[number].uri
    work.embed_shard.basis_uri = state.view.basis_uri


def _select(state: RunState, work: Work, number: int) -> None:
    work.select_pairs.embeddings_uri = state.manifest(Stage.STAGE_EMBED)


def _train(state: RunState, work: Work, number: int) -> None:
    work.train_fold.fold = number
    work.train_fold.labels_uri = state.manifest(Stage.STAGE_LABEL)
    work.train_fold.features_uri = state.manifest(Stage.STAGE_FEATURES)
    work.train_fold.teacher = METHODS[state.view.config.method].teacher
    if work.train_fold.teacher != Teacher.TEACHER_UNSPECIFIED:
        work.train_fold.annotation_uris.extend(state.annotations())
        work.train_fold.human_weight = state.view.last_round.human_weight or state.view.config.human_weight
    if work.train_fold.teacher == Teacher.TEACHER_TRIAGE:
        work.train_fold.chosen_uri = state.view.last_round.posterior_uri


def _score(state: RunState, work: Work, number: int) -> None:
    work.score_shard.features_uri = state.manifest(Stage.STAGE_FEATURES)
    work.score_shard.models_uri = state.latest(Stage.STAGE_TRAIN)
    work.score_shard.first_index = state.shards[number].first_index
    if state.view.config.reward_model:
        work.score_shard.shard_uri = state.shards[number].uri


def _triage(state: RunState, work: Work, number: int) -> None:
    assert state.open is not None
    view = state.view
    task = work.triage_round
    task.labels_uri = state.manifest(Stage.STAGE_LABEL)
    task.features_uri = state.manifest(Stage.STAGE_FEATURES)
    task.scores_uri = state.latest(Stage.STAGE_SCORE)
    task.taught_uri = state.latest(Stage.STAGE_TEACH)
    task.previous_uri = view.last_round.posterior_uri
    task.annotation_uris.extend(state.annotations())
    last = budget.rounds(view.config, view.pairs, view.human_budget)
    task.last = state.open.round > last
    votes = view.votes - view.re_asked
    if not view.enough:
        task.ask = budget.ask_in_round(view.config, view.pairs, view.human_budget, votes, state.open.round, last)


def _teach(state: RunState, work: Work, number: int) -> None:
    task = work.teach_shard
    task.shard_uri = state.shards[number].uri
    task.labels_uri = state.manifest(Stage.STAGE_LABEL)
    task.features_uri = state.manifest(Stage.STAGE_FEATURES)
    task.annotation_uris.extend(state.annotations())
    task.posterior_uri = state.view.last_round.posterior_uri


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
        if state.view.last_round.trust:
            # Else it is an assumption, and no account of these labels.
            task.expected_error = state.view.last_round.expected_error
        if state.view.last_round.HasField("audited_error"):
            task.audited_error = state.view.last_round.audited_error


def _policy(state: RunState, work: Work, number: int) -> None:
    work.train_policy.dataset_uri = state.view.dataset.dataset_uri


def _score_policy(state: RunState, work: Work, number: int) -> None:
    answered, task = evaluating.compared(state.view.answered)[number], work.score_policy
    task.shard_uri, task.step, task.kept = answered.shard.uri, answered.step, answered.kept
    task.basis_uri, task.model_uri, task.reward_uri = state.view.basis_uri, state.view.model_uri, state.view.reward_uri


def _evaluate(state: RunState, work: Work, number: int) -> None:
    answered, task = evaluating.compared(state.view.answered)[number], work.judge_policy
    task.shard_uri, task.step, task.kept = answered.shard.uri, answered.step, answered.kept


# What each stage is about, and what its work items say; what else a stage is stands in `preference/stages.py`.
WORK: dict[int, StageWork] = {
    Stage.STAGE_GENERATE: StageWork(_a_shard, _generate),
    Stage.STAGE_EMBED: StageWork(_a_shard, _embed),
    Stage.STAGE_SELECT: StageWork(_one, _select),
    Stage.STAGE_PILOT_LABEL: StageWork(_chunks, _pilot_label, choose=_choose_pilot),
    Stage.STAGE_PILOT_ANNOTATE: StageWork(_a_pair, choose=_choose_pilot_for_people),
    Stage.STAGE_LABEL: StageWork(_a_shard, _label),
    Stage.STAGE_FIT_FEATURES: StageWork(_one, _fit_features),
    Stage.STAGE_FEATURES: StageWork(_a_shard, _features),
    Stage.STAGE_TRAIN: StageWork(_a_fold, _train),
    Stage.STAGE_SCORE: StageWork(_a_shard, _score),
    Stage.STAGE_TEACH: StageWork(_a_shard, _teach),
    Stage.STAGE_TRIAGE: StageWork(_one, _triage),
    Stage.STAGE_ANNOTATE: StageWork(_a_pair, choose=_choose_asked),
    Stage.STAGE_FINAL: StageWork(_one, _final),
    Stage.STAGE_DATASET: StageWork(_one, _dataset),
    Stage.STAGE_POLICY: StageWork(_one, _policy),
    Stage.STAGE_SCORE_POLICY: StageWork(_an_answered_shard, _score_policy),
    Stage.STAGE_EVALUATE: StageWork(_an_answered_shard, _evaluate),
    Stage.STAGE_ANNOTATE_POLICY: StageWork(_a_pair, choose=_choose_answers),
}


def opened(state: RunState, stage: int, round_: int) -> StageOpened:
    """The stage as it opens now: the pairs that it is about, if it is about chosen ones, and how many units it has."""
    out = StageOpened(stage=stage, round=round_)
    if choose := WORK[stage].choose:
        choose(state, out)
    out.units = WORK[stage].units(state, out)
    return out


def affordable(state: RunState, undone: Sequence[int]) -> list[int]:
    """The leading units for which there is money; only one of them while nothing is known of what an answer costs."""
    assert state.open is not None
    if not state.view.dollar_budget or not STAGES[state.open.stage].paid:
        return list(undone)
    left, out = state.view.dollar_budget - state.view.usage.dollars, []
    rates = _rates(state)
    for number in undone if is_known(state) else undone[:1]:
        left -= _bound(state, number, rates)
        if left < 0:
            break
        out.append(number)
    return out


def is_known(state: RunState) -> bool:
    """Whether anything that the open stage's models answered shows what an answer takes."""
    used = _used(state)
    return bool(used.calls or used.cached_calls)


def bound(state: RunState, number: int) -> float:
    """Dollars that are held back for a paid unit: what it is expected to cost, and half as much again.

    What is expected is learned from what the run used so far.
    """
    return _bound(state, number, _rates(state))


def expected(state: RunState, number: int) -> float:
    """Dollars that this unit will probably cost."""
    return _expected(state, number, _rates(state))


def pairs_of(state: RunState, number: int) -> int:
    """Pairs, or prompts, of a paid unit."""
    return _texts(state, number)[1]


def _bound(state: RunState, number: int, rates: call_costs.Rates) -> float:
    return call_costs.held_back(_expected(state, number, rates), rates)


def _expected(state: RunState, number: int, rates: call_costs.Rates) -> float:
    if _is_generating(state):
        return generating.expected(state.view.config, *_texts(state, number), rates).dollars
    judges, more = _asked(state)
    return call_costs.expected(judges, *_texts(state, number), rates, more).dollars


def _is_generating(state: RunState) -> bool:
    assert state.open is not None
    return state.open.stage == Stage.STAGE_GENERATE


def _used(state: RunState) -> Usage:
    """What the models that the open stage asks have used so far: judges, or those that answer prompts."""
    return state.view.generated if _is_generating(state) else generating.judging(state.view)


def _rates(state: RunState) -> call_costs.Rates:
    """What an answer costs, as far as this run knows."""
    pairs = sum(shard.pairs for shard in state.shards)
    mean = sum(shard.text_bytes for shard in state.shards) / max(1, pairs)
    if _is_generating(state):
        return generating.learned(state.view.config, state.view.generated, mean)
    judged = sum(len(checked.judged(event.shard_labeled)) for event in state.settled.values())
    judged += pairs if state.open is not None and state.open.stage == Stage.STAGE_TEACH else 0
    judged += len(state.pilot.pair_indexes) if state.pilot is not None else 0
    return call_costs.learned(_judges(state), _used(state), mean, judged, _more(state))


def _judges(state: RunState) -> tuple[JudgeConfig, ...]:
    return (state.view.config.judge, *state.view.config.helpers)


def _more(state: RunState) -> Sequence[further.Calls]:
    """What the judge is asked beside its verdicts: nothing in the pilot."""
    assert state.open is not None
    return further.calls(state.view.config) if state.open.stage in _WHOLE else ()


def _asked(state: RunState) -> tuple[Sequence[JudgeConfig], Sequence[further.Calls]]:
    """Who is asked for verdicts in the open stage, and what is asked beside."""
    assert state.open is not None
    if state.open.stage == Stage.STAGE_TEACH:
        return (), further.teaching(state.view.config, state.view.pairs)
    if state.open.stage == Stage.STAGE_EVALUATE:
        return evaluating.judges(state.view.config), ()
    return _judges(state), _more(state)


def _texts(state: RunState, number: int) -> tuple[float, int]:
    """(bytes of text, pairs) of a unit of judging; of chosen pairs the mean of their shards."""
    assert state.open is not None
    if state.open.stage == Stage.STAGE_EVALUATE:
        return evaluating.compared(state.view.answered)[number].shard.text_bytes, evaluating.compared(
            state.view.answered
        )[number].shard.pairs
    if state.open.stage in _WHOLE:
        return state.shards[number].text_bytes, state.shards[number].pairs
    mine = _chunk(state, number)
    shards = [state.shards[at] for at in _shards_of(state, mine)]
    return sum(shard.text_bytes / max(1, shard.pairs) for shard in shards), len(mine)


def _chunk(state: RunState, number: int) -> Sequence[int]:
    size = state.view.config.shard_pairs
    return state.asked[number * size : (number + 1) * size]


def _shards_of(state: RunState, pairs: Sequence[int]) -> list[int]:
    """For each pair the place of its shard."""
    firsts = np.array([shard.first_index for shard in state.shards])
    return (np.searchsorted(firsts, pairs, side="right") - 1).tolist()
