"""Drawings of curves: methods beside each other, the sorted reward margins, beliefs against answers, and what it cost.

Whatever a colour says, a shape, a place or a word says too.
"""

from collections.abc import Sequence
from typing import Any

from concord.report import words
from concord.report.calibration import Calibration
from concord.report.cost import Cost
from concord.report.figures import Figures, Method
from concord.report.markup import Markup
from concord.report.pictures import (
    BAR,
    BLUE,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    PAPER,
    PURPLE,
    Axes,
    Figure,
    Key,
    drawn,
    percent_axes,
)
from concord.report.rewards import RewardCurve

# Colour and dashes come again after a few methods, a marker after eight; the run's own method comes first.
_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, FAINT)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_DASHES = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
_BENDS = {"elbow": ("s", (3, 22), "left"), "knee": ("^", (3, 22), "left"), "reflection": ("D", (-5, -30), "right")}
# Pixels between two labels at the lines' ends.
_APART = 16.0
# Pixels of a count with four digits.
_COUNT_WIDE = 28.0


def methods_picture(figures: Figures) -> Markup | None:
    """Share of right labels against people's votes, a line a method; None where fewer than two are known."""
    own = figures.config["method"]
    # A method that asks about everything would squeeze the others together; it stands in the table.
    most = max(figures.human_budget, figures.votes)
    known = [(name, it) for name, it in figures.methods.items() if it.curve and it.curve[-1][0] <= most]
    if len(known) < 2 or not any(len(method.curve) > 1 for _, method in known):
        return None
    known.sort(key=lambda named: (named[0] != own, -(named[1].label_accuracy or 0), named[0]))

    def draw(picture: Figure) -> None:
        axes = picture.subplots()
        limits = _limits([method for _, method in known])
        end = max(method.curve[-1][0] for _, method in known)
        for at, (_, method) in reversed(list(enumerate(known))):
            _line(axes, method, end, at, limits[0])
        percent_axes(axes)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set(xlim=(-0.02 * end, 1.02 * end), ylim=limits)
        axes.set_xlabel("votes of people")
        _end_labels(axes, known, end, picture.get_figheight() * 72 - 70)

    return drawn(draw, 340, 360, "Right labels by method, at the same budget, in per cent", [])


def _limits(methods: Sequence[Method]) -> tuple[float, float]:
    """Where the lines are that people's votes move; one that stays far below them would flatten all others."""
    moving = [100 * right for method in methods if len(method.curve) > 1 for _, right in method.curve]
    room = max(0.08 * (max(moving) - min(moving)), 0.5)
    return max(0.0, min(moving) - room), min(100.0, max(moving) + room)


def _look(at: int) -> dict[str, Any]:
    marker = _MARKERS[at % len(_MARKERS)]
    # The paper-coloured edge eats most of a slender marker.
    size = 10 if marker in "PX*" else 7
    return {"color": _COLOURS[at % len(_COLOURS)], "marker": marker, "markeredgecolor": PAPER, "markersize": size}


def _line(axes: Axes, method: Method, end: int, at: int, low: float) -> None:
    votes, right = zip(*((votes, 100 * right) for votes, right in method.curve), strict=True)
    look, dashes = _look(at), _DASHES[at % len(_DASHES)]
    # A mark at 100 % reaches beyond the axes; a method that stays far below them is cut off where they end.
    axes.plot(votes, right, **look, linestyle=dashes, linewidth=2.2 if at == 0 else 1.4, clip_on=min(right) < low)
    # From the line's last point on nothing changed any more: that leads the eye to the name at the right.
    axes.plot([votes[-1], end], [right[-1]] * 2, color=look["color"], linewidth=1, linestyle=":")


def _end_labels(axes: Axes, known: Sequence[tuple[str, Method]], end: int, height: float) -> None:
    """Each line's name at the right, moved apart where two would lie on each other; `height` of the axes in pixels."""
    low, high = axes.get_ylim()
    ends = sorted((100 * method.curve[-1][1], name, at) for at, (name, method) in enumerate(known))
    places = _spread([max(right, low) for right, _, _ in ends], _APART * (high - low) / height, high)
    for (right, name, at), place in zip(ends, places, strict=True):
        axes.plot([end * 1.05], [place], **_look(at), clip_on=False)
        axes.annotate(
            f"{name} {right:.1f}",
            (end * 1.05, place),
            (9, 0),
            textcoords="offset points",
            va="center",
            color=INK,
            annotation_clip=False,
            weight="bold" if at == 0 else "normal",
        )


def _spread(places: Sequence[float], apart: float, top: float) -> list[float]:
    """Ascending places, moved so that neighbours lie at least `apart` from each other and none above `top`."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + apart) if moved else place)
    for at in range(len(moved) - 1, -1, -1):
        moved[at] = min(moved[at], top - apart * (len(moved) - 1 - at))
    return moved


def reward_picture(curve: RewardCurve) -> Markup:
    """The sorted margins with their bends, and people's answers above (confirmed) and below (overruled) the curve."""

    def draw(picture: Figure) -> None:
        axes = picture.subplots()
        margins = [point.margin for point in curve.points]
        lift = 0.045 * (max(margins) - min(margins))
        axes.axhline(0, color=INK, linewidth=0.9)
        axes.plot([point.position for point in curve.points], margins, color=FAINT)
        for overruled, colour, marker, up in ((False, BLUE, "o", lift), (True, ORANGE, "x", -lift)):
            said = [answer for answer in curve.answers if answer.overruled == overruled]
            axes.plot(
                [answer.position for answer in said],
                [answer.margin + up for answer in said],
                linestyle="none",
                marker=marker,
                color=colour,
                markerfacecolor="none",
                markersize=5,
                markeredgewidth=1.4,
            )
        for name, mark in curve.bends:
            marker, offset, side = _BENDS[name]
            axes.plot([mark.position], [mark.margin], marker=marker, color=INK, markersize=8, markeredgecolor=PAPER)
            axes.annotate(name, (mark.position, mark.margin), offset, textcoords="offset points", ha=side, color=INK)
        axes.grid(visible=False, axis="x")
        axes.margins(x=0.02, y=0.1)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlabel("pairs, in descending order")

    keys = [Key("line faint", "margin toward the judge's label, logits")]
    if curve.answers:
        keys += [Key("ring blue", "above: people confirmed it"), Key("cross orange", "below: people overruled it")]
    return drawn(draw, 320, 320, "The same margins, sorted", keys)


def calibration_picture(checked: Calibration) -> Markup | None:
    """Share of labels that people found wrong against what was believed; None where there are no bins."""
    if not checked.bins:
        return None

    def draw(picture: Figure) -> None:
        axes = picture.subplots()
        axes.plot([0, 100], [0, 100], color=FAINT, linewidth=0.9, linestyle=":")
        for at in checked.bins:
            share, low, high = (100 * (part or 0.0) for part in (at.wrong.share, at.wrong.low, at.wrong.high))
            axes.plot([100 * at.p_wrong] * 2, [low, high], color=BLUE, linewidth=1.4, solid_capstyle="butt")
            axes.plot([100 * at.p_wrong], [share], "o", color=BLUE, markersize=8, markeredgecolor=PAPER, clip_on=False)
        percent_axes(axes)
        axes.set(xlim=(-2, 102), ylim=(-2, 102))
        _counts(axes, checked, picture.get_figwidth() * 72 - 60)
        axes.set_xlabel("P(label wrong) before the answer; on top: answers")

    keys = [Key("line blue", "found wrong by people, 95 % interval"), Key("dots faint", "as it should be")]
    return drawn(draw, 320, 300, "Labels that people found wrong", keys)


def _counts(axes: Axes, checked: Calibration, width: float) -> None:
    """How many answers each point stands on, above the axes, moved apart where two would lie on each other."""
    apart = _COUNT_WIDE * 104 / width
    for at, place in zip(checked.bins, _spread([100 * at.p_wrong for at in checked.bins], apart, 102), strict=True):
        axes.annotate(
            f"{at.wrong.of:,}",
            (place, 1.0),
            (0, 5),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            va="bottom",
            color=FAINT,
            size=10,
            annotation_clip=False,
        )


def cost_picture(cost: Cost) -> Markup | None:
    """What this run cost beside people alone; None where neither is anything, or the judge's price is not known."""
    if not cost.all_human or cost.judge is None:
        return None
    paid, together = cost.judge, cost.people + cost.judge

    def draw(picture: Figure) -> None:
        axes = picture.subplots()
        axes.barh([1], [cost.people], color=BLUE, height=0.5)
        axes.barh([1], [paid], left=[cost.people], color=ORANGE, height=0.5, edgecolor=PAPER)
        axes.barh([0], [cost.all_human], color=BAR, height=0.5)
        widest = max(cost.all_human, together)
        for y, name, dollars in ((1, "this run", together), (0, "people alone", cost.all_human)):
            axes.text(0, y + 0.32, name, color=INK, va="bottom")
            axes.text(widest, y + 0.32, words.dollars(dollars), color=FAINT, va="bottom", ha="right")
        axes.set(xlim=(0, widest), ylim=(-0.4, 1.9), yticks=[], xticks=[])
        axes.grid(visible=False)
        axes.spines["bottom"].set_visible(False)

    keys = [
        Key("box blue", "people"),
        *([Key("box orange", "judge")] if cost.judge else []),
        Key("box bar", "all by people"),
    ]
    return drawn(draw, 130, 130, "Dollars, people's at an assumed price", keys)
