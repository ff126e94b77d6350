"""What is known of each pair, and what it says about its label being wrong. PURE.

The judge's label is a = +1 (first), -1 (second) or 0 (no usable verdict). Everything "toward the label" is multiplied
by a, so that exchanging a pair's responses changes nothing. A signal that is absent is 0: it then says nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from scipy.special import expit, logit

from concord.preference import checked
from concord.preference.annotations import Answers
from concord.preference.columns import helper_columns, judge_labels, rubric_against, signal_columns, verdict_column
from concord.preference.pilot import proven
from concord.v1 import events_pb2

Array = np.ndarray

# A domain with fewer pairs gets no coefficients of its own: 6 % of 200 are a dozen answers, hardly more than flips need.
PAIRS_FOR_OWN_DOMAIN = 200
# One answer in twenty is five points, the gap that the helpers' rule looks for; with fewer it would judge chance.
AUDITED_FOR_HELPERS = 20
_HELPER_GAP = 0.05
_EXPECTED_DISAGREEMENT = 0.3
_LOWEST_CONFIDENCE = 0.01
# Of a token; surer ones are alike.
_LONGEST_ODDS = 12.0
# Of a label that checks gave, before anybody audited one: wrong references are rarer than this, and so are misread answers.
P_CHECK_WRONG = 0.01
# Mean and sd of the coefficients of what the labelling judge says when it is asked otherwise. Scores of each answer alone are
# nearly as good as another judge (fitted on half of LLMBar's ratings: 2.0 to 3.7, less where the judge is at its worst); the
# others are verdicts of the same mind, and those that spoke share what one of them would count.
RUBRIC = (2.0, 1.0)
# Of what fine-tuned reward models say: the light margin's mean, and more room, for they may be much better than that.
TUNED = (-0.35, 0.5)
FURTHER = (1.2, 0.8)


@dataclass(frozen=True, eq=False)
class Signals:
    """Columns over the run's pairs; all have length [pairs] unless said."""

    label: Array  # int: 1 the first, -1 the second is better, 0 no usable verdict
    margin: Array  # out-of-fold reward(first) - reward(second), logits; zeros where there is no reward model
    confidence: Array  # P(label right) as the judge gave it, in [0, 1]; -1 none
    order_flipped: Array  # 1 the verdict changes with the order, 0 it does not, -1 asked in one order
    own_disagree: Array  # share of the same LLM's other verdicts against the label; -1 none
    helpers: tuple[str, ...]
    helper_disagree: Array  # [helpers, pairs], share of that helper's verdicts against the label; -1 none
    length_difference: Array  # log characters of the first minus the second
    domain: Array  # int
    group: Array  # uint64; pairs of one group are never on both sides of a fold
    x: Array  # [pairs, dimensions] feature differences, first minus second; 0 dimensions where there are none
    statistics: int = 12  # so many of x's last columns are surface statistics
    p_tokens: Array | None = None  # P(label right) by the verdict token's log-probabilities, in [0, 1]; -1 none
    rubric: Array | None = None  # how far scores of each answer alone speak against the label, in [0, 1]; -1 none
    # Name → share of the same judge's further verdicts against the label; -1 none.
    further: Mapping[str, Array] = field(default_factory=dict)
    checked: Array | None = None  # bool: checks gave the label, and no judge was asked; None: of no pair
    tuned: Array | None = None  # as `margin`, by fine-tuned reward models; None: there are none

    def is_checked(self, pair: Array) -> Array:
        """bool, of these pairs."""
        return np.zeros(len(pair), bool) if self.checked is None else self.checked[pair]


@dataclass(frozen=True, eq=False)
class Design:
    """The low-dimensional part of the model: columns [pairs, signals] and a Gaussian prior for each coefficient."""

    names: tuple[str, ...]
    columns: Array
    mean: Array
    sd: Array


def signals_of(
    labeled: Sequence[events_pb2.ShardLabeled], margin: Array, x: Array, group: Array, domain: Array
) -> Signals:
    """The shards' columns put together; pairs that no shard labels have no usable verdict. Shapes as in Signals."""
    pairs = len(margin)
    column = partial(verdict_column, labeled, pairs=pairs, missing=-1)
    helpers = helper_columns(labeled, pairs)
    return Signals(
        label=judge_labels(labeled, pairs),
        margin=margin,
        confidence=column("confidence"),
        order_flipped=column("order_flipped"),
        own_disagree=column("own_disagree"),
        helpers=tuple(helpers),
        helper_disagree=np.stack(list(helpers.values())) if helpers else np.zeros((0, pairs)),
        length_difference=column("length_difference", missing=0),
        domain=domain,
        group=group,
        x=x,
        p_tokens=column("p_tokens"),
        rubric=rubric_against(labeled, pairs),
        further=signal_columns(labeled, pairs),
        checked=found if (found := checked.decided(labeled, pairs)).any() else None,
    )


def taught(signals: Signals, shards: Sequence[events_pb2.ShardTaught]) -> Signals:
    """The signals, with what the judge says once it has seen what people answered elsewhere."""
    against = np.full(len(signals.label), -1.0)
    for shard in shards:
        against[np.array(shard.pair_index, np.int64)] = shard.against
    return replace(signals, further={**signals.further, "taught": against})


def in_order(answers: Answers) -> Answers:
    """By pair index: in whatever order people answered, everything computed from it is the same."""
    order = np.argsort(answers.pair, kind="stable")
    return answers.at(order)


def wrong_labels(signals: Signals, answers: Answers) -> tuple[Array, Array]:
    """Which answers judge a label of the judge's (rows of `answers`, int), and whether it was wrong (float 0 or 1).

    Ties, pairs without a usable verdict and labels that checks gave judge nothing.
    """
    return _wrong(signals, answers, ~signals.is_checked(answers.pair))


def wrong_checks(signals: Signals, answers: Answers) -> tuple[Array, Array]:
    """The same of the labels that checks gave."""
    return _wrong(signals, answers, signals.is_checked(answers.pair))


def _wrong(signals: Signals, answers: Answers, of: Array) -> tuple[Array, Array]:
    decided = (answers.p_first == 0) | (answers.p_first == 1)
    rows = np.flatnonzero(decided & of & (signals.label[answers.pair] != 0))
    said_first = answers.p_first[rows] == 1
    return rows, (said_first != (signals.label[answers.pair[rows]] > 0)).astype(float)


def p_check_wrong(signals: Signals, answers: Answers) -> float:
    """P(a label that checks gave is wrong), below one half: what people found, the prior counting for fifty answers."""
    _, wrong = wrong_checks(signals, answers)
    return min((float(wrong.sum()) + 50 * P_CHECK_WRONG) / (len(wrong) + 50), 0.499)


def weak_helpers(signals: Signals, answers: Answers) -> Array:
    """bool [helpers]: over 5 points less often right than the judge, on AUDITED_FOR_HELPERS or more audited answers."""
    rows, wrong = wrong_labels(signals, answers)
    audited = answers.audit[rows]
    pair, wrong = answers.pair[rows][audited], wrong[audited]
    weak = np.zeros(len(signals.helpers), dtype=bool)
    for j, disagree in enumerate(signals.helper_disagree):
        spoke = disagree[pair] >= 0
        if spoke.sum() >= AUDITED_FOR_HELPERS:
            right = np.where(wrong == 1, disagree[pair], 1 - disagree[pair])[spoke].mean()
            weak[j] = right < (1 - wrong[spoke]).mean() - _HELPER_GAP
    return weak


def proven_helpers(signals: Signals, answers: Answers) -> Array:
    """bool [helpers]: where it and the judge differed, people sided with it too often for luck.

    That is p < .05, one-sided, against a helper who is right every second time there; five of five are the fewest. All
    answers count: however a pair was chosen, nobody knew what people would say.
    """
    rows, wrong = wrong_labels(signals, answers)
    against = signals.helper_disagree[:, answers.pair[rows]] > 0.5
    sided, differed = (against & (wrong == 1)).sum(axis=1), against.sum(axis=1)
    return np.array([proven(int(k), int(n)) for k, n in zip(sided, differed, strict=True)], bool)


def design(signals: Signals, weak: Array) -> Design:
    """The signals as columns, with their priors; `weak` [helpers] marks helpers that deserve little trust.

    Columns that are 0 for every pair are left out, the intercept excepted.
    """
    a = signals.label.astype(float)
    toward = _scaled(signals.margin, signals.domain) * a
    tokens = np.full(len(a), -1.0) if signals.p_tokens is None else signals.p_tokens
    rows = [
        ("intercept", np.ones(len(a)), -1.3, 1.0),
        ("margin", toward, -0.35, 0.3),
        ("size of the margin", np.abs(toward), 0.0, 0.5),
        *_tuned(signals),
        # Where the token's odds are known, the confidence is made of them: said once.
        ("confidence", _doubt(np.where(tokens < 0, signals.confidence, -1)), 0.3, 0.7),
        ("log-probabilities", _token_doubt(tokens), 0.4, 0.5),
        ("order flip", _centred(signals.order_flipped), 0.8, 0.7),
        ("own other prompts", _centred(signals.own_disagree), 1.2, 0.8),
        ("length", _unit(signals.length_difference) * a, 0.0, 0.5),
    ]
    if signals.rubric is not None:
        rows.append(("rubric", _centred(signals.rubric), *RUBRIC))
    shared = len(signals.further) ** 0.7
    rows += [(name, _centred(against), FURTHER[0] / shared, FURTHER[1]) for name, against in signals.further.items()]
    strong_mean = 2.2 / max(len(signals.helpers), 1) ** 0.7
    for name, disagree, is_weak in zip(signals.helpers, signals.helper_disagree, weak, strict=True):
        rows.append((f"helper {name}", _centred(disagree), 0.5 if is_weak else strong_mean, 1.0))
    for number, inside in _domains(signals.domain):
        rows.append((f"domain {number}", inside, 0.0, 0.7))
        rows.append((f"domain {number} x margin", inside * toward, 0.0, 0.4))
    kept = [row for row in rows if row[0] == "intercept" or np.any(row[1])]
    names, columns, mean, sd = zip(*kept, strict=True)
    return Design(names, np.stack(columns, axis=1), np.array(mean), np.array(sd))


def _tuned(signals: Signals) -> list[tuple[str, Array, float, float]]:
    """What fine-tuned reward models say, beside the light ones; how far which of them is believed, answers show."""
    if signals.tuned is None:
        return []
    return [("fine-tuned margin", _scaled(signals.tuned, signals.domain) * signals.label, *TUNED)]


def by_tuned(signals: Signals) -> Signals:
    """The signals with the fine-tuned margins in place of the light ones, for a rule that has room for one reward model."""
    return signals if signals.tuned is None else replace(signals, margin=signals.tuned, tuned=None)


def _centred(share: Array) -> Array:
    return np.where(share < 0, 0.0, share - _EXPECTED_DISAGREEMENT)


def _doubt(confidence: Array) -> Array:
    likely = np.clip(confidence, _LOWEST_CONFIDENCE, 1 - _LOWEST_CONFIDENCE)
    return np.where(confidence < 0, 0.0, 1 - logit(likely) / 2)


def _token_doubt(p_tokens: Array) -> Array:
    """How much less sure than this judge usually is, in its own unit: whether .99 or .9999 is usual differs by endpoint."""
    spoke = p_tokens >= 0
    least = expit(-_LONGEST_ODDS)
    odds = logit(np.clip(p_tokens[spoke], least, 1 - least))
    out = np.zeros(len(p_tokens))
    if len(odds):
        out[spoke] = _unit(np.median(odds) - odds)
    return out


def _unit(values: Array) -> Array:
    """Scaled to a root mean square of 1, which unlike the sd does not change when responses are exchanged."""
    rms = np.sqrt(np.mean(np.square(values, dtype=np.float64))) if len(values) else 0.0
    return values / rms if rms > 1e-9 else np.zeros(len(values))


def _scaled(margin: Array, domain: Array) -> Array:
    scaled = _unit(margin)
    for number, _ in _domains(domain):
        scaled[domain == number] = _unit(margin[domain == number])
    return scaled


def _domains(domain: Array) -> list[tuple[int, Array]]:
    """Each domain that has enough pairs, as a 0/1 column; none where all pairs are of one domain."""
    numbers, sizes = np.unique(domain, return_counts=True)
    if len(numbers) < 2:
        return []
    return [(int(number), (domain == number).astype(float)) for number in numbers[sizes >= PAIRS_FOR_OWN_DOMAIN]]
