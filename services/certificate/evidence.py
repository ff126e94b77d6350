"""What a share of wrong labels is estimated from, and how far a label is from an answer. Pure.

Labels and answers are P(the first is better): 1 the first, 0 the second, 0.5 a tie, or no label at all. A label's error
against an answer is the distance of the two: 0 the same, 1 the opposite, 0.5 where one of them prefers nothing. So a label
that prefers nothing counts as a coin toss, and so does a preference where a person sees none.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from concord.preference.annotations import Answers

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Evidence:
    """A set of labelled pairs (rows), and what people said of some of them.

    `p_error` has shape [rows], everything else [answers]: one entry for each row that people answered, in any order.
    """

    p_error: (
        Array  # P(the row's label is wrong) by a model that never saw the row's own answer; NaN throughout: no model
    )
    pair: Array  # int64, which row
    round: Array  # int64, when it was asked: 0 the pilot, then 1, 2, …; below 0 in an earlier run
    audit: Array  # bool, drawn uniformly from all rows that nobody had been asked about in an earlier round
    error: Array  # in [0, 1]: the label that the row has, or would have without its own answer, against what one person says
    split: Array  # in [0, 1], how far two persons' answers to it are apart; NaN where one person alone was asked
    replaced: Array  # bool, the answer became the row's label
    votes: Array  # int64, how many persons' majority the answer is
    left_out: (
        Array  # bool, the answer became a label that is left out (a tie, of an export): it tells of the others alone
    )

    @property
    def rows(self) -> int:
        """How many labels there are."""
        return len(self.p_error)


def evidence(label: Array, p_error: Array, answers: Answers, replaced: bool = True) -> Evidence:
    """The evidence in these answers.

    label [answers]: as the answered rows' labels are, or would be without their answers. p_error [rows]. `replaced`: whether
    answers became labels. Questions on which nobody could say anything say nothing here either.
    """
    # Where several answered, each of them is "one person"; a label without a preference is compared with what they agree on.
    said = np.where(label == 0.5, answers.p_first, answers.p_mean)
    known = ~np.isnan(said)
    return Evidence(
        p_error=p_error,
        pair=answers.pair[known],
        round=answers.round[known],
        audit=answers.audit[known],
        error=np.abs(label - said)[known],
        split=answers.split[known],
        replaced=np.full(int(known.sum()), replaced),
        votes=answers.votes[known],
        left_out=np.zeros(int(known.sum()), bool),
    )


def evidence_of(arrays: Mapping[str, Array], answers: Answers) -> Evidence | None:
    """The evidence in these answers on the labels of a round, given what its blob holds (see RoundTriaged); None where that
    tells no label from its own answer."""
    if "label_without" not in arrays:
        return None
    label = (1 + arrays["label_without"][answers.pair].astype(float)) / 2
    return evidence(label, arrays["p_error"].astype(float), answers)


def within(evidence: Evidence, kept: Array) -> Evidence:
    """The same of some rows alone: kept bool [rows]. A uniform draw from all of them is one from those."""
    place = np.cumsum(kept) - 1
    mine = kept[evidence.pair]
    columns = {name: column[mine] for name, column in vars(evidence).items() if name not in ("p_error", "pair")}
    return Evidence(p_error=evidence.p_error[kept], pair=place[evidence.pair[mine]].astype(np.int64), **columns)
