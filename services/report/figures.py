"""A run's figures: all that the report says, as one value. PURE.

`figures_of` is the entry point; `Figures.as_json` is `report.json`; `page.page` draws the same value for people.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np
from google.protobuf.json_format import MessageToDict

from concord.certificate.certificate import Certificate
from concord.preference.judges import priced, simulated
from concord.report import accuracy, bias, certified, judge_answers, ledger, margins, overruled, signal_table
from concord.report.alarms import Alarm, alarms
from concord.report.annotator_agreement import Between, between
from concord.report.calibration import Calibration, calibration
from concord.report.checks import Checks, checks
from concord.report.contests import Contest, contests
from concord.report.cost import LABEL_PRICE, Cost, cost_of
from concord.report.deviations import Deviating, deviations
from concord.report.history import History, read_history
from concord.report.ledger import HumanTime, StageCost, StageTime, Usage
from concord.report.margins import MarginDistribution
from concord.report.overruled import Overruled
from concord.report.patterns import bribes, patterns
from concord.report.policies import PolicyEvaluation, policy
from concord.report.rewards import RewardCurve, reward_curve
from concord.report.rounds_gain import Bought, bought, curve
from concord.report.satisfaction import Satisfaction, satisfaction
from concord.report.shares import Share
from concord.report.tunings import Tuning, tunings
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Event

FORMAT = 1


@dataclass(frozen=True)
class Method:
    """What one method reached on this input; accuracy in [0, 1], None without truth."""

    label_accuracy: float | None
    human_labels: int
    # (votes of people, share of right labels) from the judge alone on, round by round; empty without truth.
    curve: tuple[tuple[int, float], ...] = ()


def method_of(plain: Mapping[str, Any]) -> Method:
    """The method that `as_json` made; raises KeyError, TypeError or ValueError where it made none."""
    points = tuple((int(votes), float(right)) for votes, right in plain.get("curve", ()))
    return Method(plain["label_accuracy"], plain["human_labels"], points)


@dataclass(frozen=True)
class Parent:
    """The earlier run that this one goes on from."""

    run_id: str
    pairs: int  # the first pairs of this run are its pairs
    answers: int  # pairs that people decided there, or before, and were not asked about again


@dataclass(frozen=True)
class Generated:
    """Answers that were sampled, and what became of them."""

    models: tuple[str, ...]
    prompts: int
    without_pair: int  # prompts of which no candidate pair could be made
    answers: int
    kept: int
    dropped: Mapping[str, int]  # `model: reason` → answers
    candidates: int  # pairs


@dataclass(frozen=True)
class Selection:
    """Which of the pairs that came in are labelled."""

    strategy: str
    came: int
    left_out: Mapping[str, int]  # reason → pairs
    cut: float | None  # likeness above which responses are near-duplicates; None where the strategy keeps them
    left_out_uri: str  # JSON Lines of the pairs that were left out


@dataclass(frozen=True)
class Figures:
    """One run in numbers. Shares and accuracies are in [0, 1]; what is not known is None."""

    format: int
    run_id: str
    input_name: str
    input_sha256: str
    # "finished", "running", "paused", "cancelled" or "created"; anything but the first: as of the last closed stage.
    status: str
    status_detail: str
    # Why these figures are no account of a real judge and real people; empty where they are one.
    simulation: tuple[str, ...]
    config: Mapping[str, Any]
    parent: Parent | None

    pairs: int
    generated: Generated | None  # None where pairs were given
    selection: Selection | None  # None where all pairs that came in are labelled
    rows: int | None
    without_verdict: int | None  # rows on which the judge gave nothing usable; None without a dataset
    human_budget: int
    enough: str  # why nobody was asked any more before the budget was spent; empty where it was, or people were too few
    human_labels: int  # pairs whose question people answered
    human_share: float  # of the pairs
    unanswered: int  # questions that people skipped or let expire
    set_aside: int  # questions whose answers are set aside
    deviations: tuple[Deviating, ...]  # annotators who deviate from the others
    alarms: tuple[Alarm, ...]  # what was steady and then was so no more
    votes: int  # that counted
    late_votes: int  # that came for a settled question and changed nothing
    human_time: HumanTime

    label_accuracy: accuracy.LabelAccuracy
    human_accuracy: Share | None
    certificate: Certificate | None  # how wrong the labels are, whether the input carries truth or not
    evaluation: accuracy.Evaluation | None
    gap_closed: float | None
    methods: Mapping[str, Method]
    rounds: tuple[accuracy.Round, ...]
    bought: tuple[Bought, ...]
    flips: accuracy.Flips | None
    margins: MarginDistribution | None
    reward_curve: RewardCurve | None
    calibration: Calibration

    usage: Usage
    cost: Cost
    ledger: tuple[StageCost, ...]
    timeline: tuple[StageTime, ...]
    wall_seconds: float

    agreement: bias.Agreement
    between: Between | None
    checks: Checks | None  # None where nothing was checked
    order_flips: Share | None
    order: judge_answers.Order | None
    unusable_answers: tuple[judge_answers.UnusableAnswers, ...]
    length: bias.LengthBias
    signals: tuple[signal_table.Said, ...]
    judges: str  # judge and helpers on the answers that were drawn at random, in words; empty without helpers
    satisfaction: Satisfaction | None
    contests: tuple[Contest, ...]  # models beside each other, where pairs are of two
    tunings: tuple[Tuning, ...]  # language models that were trained
    policy: PolicyEvaluation | None  # the policy beside its start, where the run compares them
    overruled_count: int
    overruled: tuple[Overruled, ...]

    dataset_sha256: str
    history_sha256: str
    through_offset: int | None

    def as_json(self) -> dict[str, Any]:
        """Plain values for `report.json`; fractions to six digits."""
        return _plain(self)


def figures_of(
    events: Sequence[tuple[Event, float]],
    read: Callable[[str], bytes],
    truth: accuracy.Truth | None = None,
    evaluation: accuracy.Evaluation | None = None,
    methods: Mapping[str, Method] | None = None,
    label_price: float = LABEL_PRICE,
) -> Figures:
    """The figures of one run.

    `events`: the run's deduplicated events in the log's order, each with its append time in Unix seconds. `read` gives a
    blob by its URI. `truth`: Choice by pair index, or None where the input carries none; ties count as undecided.
    `evaluation` and `methods` (other methods by name) are the caller's own measurements; `label_price` is the assumed price
    of a human label in dollars. Raises ValueError where the events are not those of one run from its beginning; what
    `read` raises passes through.
    """
    history = read_history(events, read)
    config, finished = history.created.config, history.finished
    label_accuracy = accuracy.label_accuracy(history, truth)
    human_labels = sum(answer.given for answer in history.answers)
    votes, known = ledger.votes(history.answers), priced(config)
    usage = ledger.total(history).where_price_is(known)
    rounds = accuracy.rounds(history, truth, read)
    mine = Method(label_accuracy.final, human_labels, curve(rounds, label_accuracy, votes))
    overruled_count, shown = overruled.overruled(history, read)
    status, detail = _status(history)
    return Figures(
        format=FORMAT,
        run_id=history.run_id,
        input_name=history.created.input_name,
        input_sha256=history.created.input_sha256,
        status=status,
        status_detail=detail,
        simulation=_simulation(config),
        config=_config(config),
        parent=_parent(history),
        pairs=history.pairs,
        generated=_generated(history),
        selection=_selection(history),
        rows=len(history.rows.index) if history.rows is not None else None,
        without_verdict=_without_verdict(history),
        human_budget=_budget(history),
        enough=next((said.enough for _, said in history.rounds if said.enough), ""),
        human_labels=human_labels,
        human_share=human_labels / history.pairs if history.pairs else 0.0,
        unanswered=len(history.answers) - human_labels - sum(answer.set_aside for answer in history.answers),
        set_aside=sum(answer.set_aside for answer in history.answers),
        deviations=deviations(history),
        alarms=(
            *alarms([event for event, _ in history.events], config),
            *patterns(history, read),
            *bribes(history, read),
        ),
        votes=votes,
        late_votes=ledger.late_votes(history),
        human_time=ledger.human_time(history),
        label_accuracy=label_accuracy,
        human_accuracy=accuracy.human_accuracy(history, truth),
        certificate=certified.certificate(history, read),
        evaluation=evaluation,
        gap_closed=evaluation.gap_closed if evaluation else None,
        methods={**(methods or {}), config.method: mine},
        rounds=rounds,
        bought=bought(history, rounds, label_accuracy),
        flips=accuracy.flips(history, truth),
        margins=margins.margin_distribution(history),
        reward_curve=reward_curve(history),
        calibration=calibration(history, read),
        usage=usage,
        cost=cost_of(human_labels, history.pairs, usage.dollars, label_price),
        ledger=tuple(replace(cost, usage=cost.usage.where_price_is(known)) for cost in ledger.ledger(history)),
        timeline=ledger.timeline(history),
        wall_seconds=history.events[-1][1] - history.events[0][1],
        agreement=bias.agreement(history),
        between=between(history),
        checks=checks(history, truth),
        order_flips=bias.order_flips(history),
        order=judge_answers.order(history),
        unusable_answers=judge_answers.unusable_answers(history, read),
        length=bias.length_bias(history),
        signals=signal_table.signals(history),
        judges=signal_table.judges(history),
        satisfaction=satisfaction(history),
        contests=contests(history),
        tunings=tunings(history, read),
        policy=policy(history, read),
        overruled_count=overruled_count,
        overruled=shown,
        dataset_sha256=finished.dataset_sha256 if finished else "",
        history_sha256=finished.history_sha256 if finished else "",
        through_offset=finished.through_offset if finished else None,
    )


def _without_verdict(history: History) -> int | None:
    """Rows that the judge was asked about and gave nothing usable on; None without a dataset."""
    if history.rows is None:
        return None
    asked = ~np.isin(history.rows.index, list(history.spared))
    return int((history.rows.judge_label[asked] == 0).sum())


def _status(history: History) -> tuple[str, str]:
    """Where the run stands, and why in words if it stands still."""
    if history.finished:
        return "finished", ""
    status, detail = "created", ""
    for event, _ in history.events:
        match event.WhichOneof("kind"):
            case "run_started" | "run_resumed":
                status, detail = "running", ""
            case "run_paused":
                status, detail = "paused", event.run_paused.detail
            case "run_cancelled":
                return "cancelled", event.run_cancelled.reason
    return status, detail


def _simulation(config: RunConfig) -> tuple[str, ...]:
    reasons = []
    if simulated(config.judge):
        reasons.append("the judge is the bundled sample judge, no LLM")
    if config.annotators.startswith("simulated"):
        reasons.append(f"people are simulated ({config.annotators})")
    return tuple(reasons)


def _selection(history: History) -> Selection | None:
    chosen = history.selection
    if chosen is None:
        return None
    left_out = {one.why: one.pairs for one in chosen.left_out}
    came = chosen.pairs + sum(left_out.values())
    cut = chosen.cut if chosen.HasField("cut") else None
    return Selection(history.created.config.select, came, left_out, cut, chosen.selection_uri)


def _generated(history: History) -> Generated | None:
    shards = history.generated
    if not shards:
        return None
    dropped = Counter[str]()
    for one in (one for shard in shards for one in shard.dropped):
        dropped[f"{one.model}: {one.why}"] += one.answers
    return Generated(
        tuple(model.name for model in history.created.config.generators),
        sum(shard.prompts for shard in shards),
        sum(shard.without_pair for shard in shards),
        sum(shard.answers for shard in shards),
        sum(shard.kept for shard in shards),
        dict(dropped.most_common()),
        sum(shard.shard.pairs for shard in shards),
    )


def _parent(history: History) -> Parent | None:
    named = history.created.config.parent
    return Parent(named.run_id, named.pairs, len(history.taken)) if named.run_id else None


def _budget(history: History) -> int:
    changed = [e.budget_changed.human_budget for e, _ in history.events if e.WhichOneof("kind") == "budget_changed"]
    return changed[-1] if changed else history.corpus.human_budget


def _config(config: RunConfig) -> dict[str, Any]:
    """The configuration as plain values. A key never stands in it; should an address carry one, it is cut off."""
    plain = MessageToDict(config, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    plain["seed"] = config.seed  # JSON's own mapping makes 64-bit numbers strings
    for judge in (plain.get("judge", {}), *plain["helpers"], *plain["generators"]):
        if judge.get("url"):
            judge["url"] = _without_credentials(judge["url"])
    return plain


def _without_credentials(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return round(value, 6) if isinstance(value, float) else value
