"""The page's sections on the reward distribution and on P(label wrong); None where a run has nothing to show."""

from concord.report import curves, pictures, words
from concord.report.calibration import Bin, Calibration
from concord.report.figures import Figures
from concord.report.markup import Markup, element, joined, table
from concord.report.rewards import FEWEST_BENT, Mark, RewardCurve

_BENDS = {
    "elbow": "left of it a label is most likely right",
    "knee": "right of it they become doubtful fast",
    "reflection": "from here on the model objects as strongly as it agrees at the elbow",
}


def rewards(figures: Figures) -> Markup | None:
    """The reward distribution: its histogram, and the sorted curve with its bends."""
    spread, curve = figures.margins, figures.reward_curve
    if spread is None or curve is None:
        return None
    share = words.percent(spread.against / sum(spread.pairs))
    return element(
        "section",
        element("h2", "Reward distribution"),
        element(
            "p",
            "How far a reward model that never saw the pair agrees with the judge's label. It disagrees with "
            f"{words.count(spread.against, 'label')} ({share}): those, and the ones near zero, are the first to doubt.",
        ),
        pictures.margin_picture(figures),
        element(
            "p",
            "A logit is the logarithm of the odds: at 0 the model is undecided, at 1 it takes the label for right with 73 %, at 3 "
            "with 95 %. The outermost bars hold what lies beyond them, too.",
            class_="note",
        ),
        curves.reward_picture(curve),
        _bends(curve),
    )


def calibrated(figures: Figures) -> Markup | None:
    """P(label wrong) against people's answers, or why that is not drawn; None where nobody was asked."""
    checked = figures.calibration
    if not figures.human_labels:
        return None
    heading = element("h2", "Does P(label wrong) mean what it says?")
    if checked.absent:
        return element("section", heading, element("p", f"Not known: {checked.absent}."))
    return element(
        "section",
        heading,
        element(
            "p",
            f"Before {words.count(checked.answers, 'pair')} were asked, the model expected {checked.expected:,.1f} of their "
            f"labels to be wrong; people found {checked.found:,}.",
        ),
        curves.calibration_picture(checked),
        element("details", element("summary", "As a table"), _table(checked)),
        element(
            "p",
            "Each belief is that of the round which asked the pair, so its own answer had not been learned from. The "
            "numbers are counts of answers: most are of doubtful pairs, as those are asked.",
            class_="note",
        ),
    )


def _bends(curve: RewardCurve) -> Markup:
    found = [element("li", element("strong", name), _place(curve, name, mark)) for name, mark in curve.bends]
    missing = [name for name in _BENDS if name not in dict(curve.bends)]
    none = f"No {' and no '.join(missing)}: the curve does not bend so." if missing else None
    if curve.pairs < FEWEST_BENT:
        none = f"Where the curve bends is not marked: on fewer than {FEWEST_BENT} pairs that is mostly chance."
    thinned = (
        f"{len(curve.answers):,} of {words.count(curve.answers_known, 'answer')} are drawn."
        if len(curve.answers) < curve.answers_known
        else None
    )
    notes = " ".join(part for part in (none, thinned) if part)
    return joined(
        element("ul", *found, class_="plain") if found else None, element("p", notes, class_="note") if notes else None
    )


def _place(curve: RewardCurve, name: str, mark: Mark) -> str:
    return f" at {mark.position + 1:,} of {curve.pairs:,}, margin {words.signed(mark.margin)}: {_BENDS[name]}"


def _table(checked: Calibration) -> Markup:
    head = ["P(label wrong)", "Mean", "Answers", "Found wrong", "Share", "95 % interval"]
    return table(head, [_row(at) for at in checked.bins], "Beliefs and answers")


def _row(at: Bin) -> list[str]:
    share = [words.percent(at.wrong.share), words.interval(at.wrong.low, at.wrong.high)]
    between = words.interval(at.low, at.high)
    return [between, words.percent(at.p_wrong), words.count(at.wrong.of), words.count(at.wrong.count), *share]
