"""One round of triage: from what is known to who is asked and what is believed. PURE; one function for each method."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from concord.certificate.evidence import Evidence, evidence
from concord.preference.annotations import Answers
from concord.preference.budget import audit_share
from concord.preference.wilson import wilson
from concord.triage import selection
from concord.triage.annotators import Deviation
from concord.triage.posterior import Posterior, Trust, posterior
from concord.triage.signals import Signals, in_order, p_check_wrong, wrong_checks, wrong_labels
from concord.triage.without import labels_without
from concord.v1 import config_pb2, events_pb2

Array = np.ndarray

# Fewer audited answers say too little about the error that is left.
AUDITED_FOR_ESTIMATE = 8


@dataclass(frozen=True)
class AuditEstimate:
    """The label error left, from audit places alone, with its 95 % interval."""

    error: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Round:
    """One round's decisions; what RoundTriaged and its blob hold."""

    asked: selection.Asks
    p_wrong: Array  # float32 [pairs]
    target: Array  # float32 [pairs], P(first is better)
    trust: Trust
    flipped: int
    coefficients: tuple[tuple[str, float], ...]
    expected_error: float
    audited: AuditEstimate | None
    # Who teaches the next reward model, where this method says so: float32 [pairs], and how often an answer counts.
    weight: Array | None = None
    human_weight: float = 0.0
    # Helpers for whose sake labels flip although there are fewer than ten answers.
    proven: tuple[str, ...] = ()
    # Each pair's label and P(it is wrong) without the answers of its own fold, both float [pairs], and what the answers so far
    # say of these labels; None where a label cannot be told from its own answer.
    without: tuple[Array, Array] | None = None
    evidence: Evidence | None = None


@dataclass(frozen=True, eq=False)
class RoundContext:
    """Where the loop stands, for methods that look back."""

    previous: Array | None = None  # the round before's targets [pairs]; None in the first
    latest: Answers | None = None  # what people said since then; None in the first
    last: bool = False  # nobody is asked any more


FIRST = RoundContext()


def triage_posterior(
    signals: Signals,
    answers: Answers,
    config: config_pb2.RunConfig,
    round_: int,
    places: int,
    context: RoundContext = FIRST,
) -> Round:
    """The default method: fit P(label wrong), flip what is more likely wrong, ask where the flip leaves most error.

    `places` pairs are asked, 0 to only update what is believed. Reads seed and audit_share of `config`.
    """
    return _modelled(signals, answers, config, round_, places, audit_share(config))


def triage_posterior_random(
    signals: Signals,
    answers: Answers,
    config: config_pb2.RunConfig,
    round_: int,
    places: int,
    context: RoundContext = FIRST,
) -> Round:
    """The default's model, and random asking: what the model is worth without the choice of whom to ask."""
    return _modelled(signals, answers, config, round_, places, 1.0)


def _modelled(
    signals: Signals, answers: Answers, config: config_pb2.RunConfig, round_: int, places: int, audits: float
) -> Round:
    """Believes the correction model; `audits` is the share of places that are drawn uniformly."""
    answers = in_order(answers)
    believed = posterior(signals, answers)
    score, open_ = _worth(signals, selection.usefulness(believed.p_wrong)), unasked(signals, answers)
    rows, wrong = wrong_labels(signals, answers)
    p_held_out = believed.p_held_out[rows] if believed.trust > Trust.PRIORS else None
    if selection.random_only(wrong, answers.audit[rows], p_held_out):
        asked = selection.random_asks(score, open_, places, config.seed, round_)
    else:
        asked = selection.targeted_asks(score, open_, places, audits, config.seed, round_)
    return round_of(asked, believed, signals, answers)


def triage_random(
    signals: Signals,
    answers: Answers,
    config: config_pb2.RunConfig,
    round_: int,
    places: int,
    context: RoundContext = FIRST,
) -> Round:
    """The baseline: ask anybody about anything, keep the judge's labels elsewhere."""
    answers = in_order(answers)
    believed = judge_believed(signals, answers)
    score = selection.usefulness(believed.p_wrong)
    asked = selection.random_asks(score, unasked(signals, answers), places, config.seed, round_)
    return round_of(asked, believed, signals, answers)


def _worth(signals: Signals, score: Array) -> Array:
    """The score, nothing for what checks decided: only an audit's draw has it asked about."""
    return score if signals.checked is None else np.where(signals.checked, 0.0, score)


def judge_believed(signals: Signals, answers: Answers) -> Posterior:
    """People's answers, elsewhere what checks decided, and elsewhere the judge's labels.

    P(wrong) is the same for all pairs, people's share with one error in four answers added as a prior.
    """
    rows, wrong = wrong_labels(signals, answers)
    share = float((wrong.sum() + 1) / (len(wrong) + 4))
    p_wrong = np.where(signals.label == 0, 0.5, min(share, 0.499))
    if signals.checked is not None:
        p_wrong[signals.checked] = p_check_wrong(signals, answers)
    target = np.where(signals.label > 0, 1 - p_wrong, p_wrong)
    said = ~np.isnan(answers.p_first)
    target[answers.pair[said]] = answers.p_first[said]
    p_held_out = np.full(len(answers.pair), np.nan)
    p_held_out[rows] = 0.0
    return Posterior(p_wrong, target, Trust.PRIORS, 0, (("share wrong", share),), p_held_out, p_wrong)


def fact(
    decided: Round, posterior_uri: str, enough: str = "", found: Sequence[Deviation] = ()
) -> events_pb2.RoundTriaged:
    """The round as an event; its posteriors lie under `posterior_uri`. `enough`: why nobody is asked any more; `found`: annotators
    who deviate."""
    asked = selection.NOBODY if enough else decided.asked
    message = events_pb2.RoundTriaged(
        asked=asked.pair.tolist(),
        p_ask=asked.p_ask.tolist(),
        audit=asked.audit.tolist(),
        enough=enough,
        posterior_uri=posterior_uri,
        trust=int(decided.trust),
        flipped=decided.flipped,
        coefficients=[events_pb2.Coefficient(signal=name, value=value) for name, value in decided.coefficients],
        expected_error=decided.expected_error,
        human_weight=decided.human_weight,
        proven_helpers=decided.proven,
        deviations=[events_pb2.Deviation(**vars(one)) for one in found],
    )
    if decided.audited:
        message.audited_error = decided.audited.error
        message.audited_error_low, message.audited_error_high = decided.audited.low, decided.audited.high
    return message


def arrays(decided: Round) -> dict[str, Array]:
    """What the round's blob holds, all [pairs]; see RoundTriaged."""
    kept = {"p_wrong": decided.p_wrong, "target": decided.target}
    if decided.weight is not None:
        kept["weight"] = decided.weight
    if decided.without is not None:
        label, p_error = decided.without
        kept |= {"label_without": np.rint(2 * label - 1).astype(np.int8), "p_error": p_error.astype(np.float32)}
    return kept


def unasked(signals: Signals, answers: Answers) -> Array:
    """Pairs that people have not been asked about, ascending."""
    open_ = np.ones(len(signals.label), dtype=bool)
    open_[answers.pair] = False
    return np.flatnonzero(open_)


def round_of(asked: selection.Asks, believed: Posterior, signals: Signals, answers: Answers) -> Round:
    """The round that follows from who is asked and what is believed."""
    left = believed.target[unasked(signals, answers)]
    without = labels_without(believed, signals)
    return Round(
        asked=asked,
        p_wrong=believed.p_wrong.astype(np.float32),
        target=believed.target.astype(np.float32),
        trust=believed.trust,
        flipped=believed.flipped,
        coefficients=believed.coefficients,
        expected_error=float(np.minimum(left, 1 - left).mean()) if len(left) else 0.0,
        audited=_audited(believed, signals, answers),
        proven=believed.proven,
        without=without,
        evidence=evidence(without[0][answers.pair], without[1], answers) if without else None,
    )


def _audited(believed: Posterior, signals: Signals, answers: Answers) -> AuditEstimate | None:
    """Wrong labels among audited pairs, each labelled by a fit that has not seen its answer's fold.

    A pair that the judge gave no usable verdict on has no label, so it is not labelled right. Early audits were drawn while
    the doubtful pairs, which people answered since, were still open; so the estimate errs on the side of too much error.
    """
    rows, wrong = wrong_labels(signals, answers)
    rows, wrong = rows[answers.audit[rows]], wrong[answers.audit[rows]]
    decided = (answers.p_first == 0) | (answers.p_first == 1)
    unlabelled = int((answers.audit & decided & (signals.label[answers.pair] == 0)).sum())
    of_checks, wrong_there = wrong_checks(signals, answers)
    checks_wrong = wrong_there[answers.audit[of_checks]]
    audited = len(rows) + unlabelled + len(checks_wrong)
    if audited < AUDITED_FOR_ESTIMATE:
        return None
    flipped = (believed.p_held_out[rows] > 0.5) & (believed.trust > Trust.PRIORS)
    errors = int((flipped != (wrong == 1)).sum()) + unlabelled + int(checks_wrong.sum())
    return AuditEstimate(errors / audited, *wilson(errors, audited))
