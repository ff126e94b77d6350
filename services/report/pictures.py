"""Drawings for the page, as SVG that takes its colours and its font from the page's style sheet.

Each is drawn twice, for a wide column and for a phone, as letters that shrink with the picture cannot be read. No text
from the run's data stands in a drawing.
"""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from concord.report.figures import Figures
from concord.report.markup import Markup, element, joined
from concord.report.shares import Share

__all__ = ["Axes", "Figure", "Key", "drawn", "percent_axes"]

# Stand-ins that matplotlib can draw with; each becomes a variable of the style sheet, so that dark mode and print work.
INK, FAINT, GRID, BAR, PAPER = "#010101", "#020202", "#030303", "#040404", "#050505"
BLUE, ORANGE, GREEN, PURPLE = "#060606", "#070707", "#080808", "#090909"
_VARIABLES = {
    INK: "--ink",
    FAINT: "--faint",
    GRID: "--grid",
    BAR: "--bar",
    PAPER: "--paper",
    BLUE: "--blue",
    ORANGE: "--orange",
    GREEN: "--green",
    PURPLE: "--purple",
}
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "concord",
    "font.size": 12,
    "text.color": INK,
    "axes.labelcolor": FAINT,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "ytick.left": False,
    "lines.linewidth": 2,
    "lines.markersize": 6,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}
_WIDE, _NARROW = 680, 340
_PERCENT = FuncFormatter(lambda value, _: f"{value:g} %")


@dataclass(frozen=True)
class Key:
    """One entry of a legend: `mark` is a class of the style sheet."""

    mark: str
    says: str


def accuracy_picture(figures: Figures) -> Markup | None:
    """Share of right labels against the share that people answered; None where there is nothing to draw."""
    known = [(r.human_share, r.accuracy) for r in figures.rounds if r.accuracy is not None]
    audited = [(r.human_share, r.audit) for r in figures.rounds if r.audit is not None]
    believed = [(r.human_share, r.estimated_accuracy) for r in figures.rounds if r.estimated_accuracy is not None]
    measured = figures.label_accuracy
    if not known and not audited and not believed:
        return None

    def draw(picture: Figure) -> None:
        axes = picture.subplots()
        if believed:
            x, y = [100 * share for share, _ in believed], [100 * right for _, right in believed]
            # A mark at 100 % reaches beyond the axes: none of these may be clipped there.
            axes.plot(x, y, color=FAINT, linestyle=(0, (3, 2)), marker="s", markersize=4, linewidth=1.4, clip_on=False)
        if audited:
            y = [100 * audit.accuracy for _, audit in audited]
            down = [100 * (audit.accuracy - audit.accuracy_low) for _, audit in audited]
            up = [100 * (audit.accuracy_high - audit.accuracy) for _, audit in audited]
            x = [100 * share for share, _ in audited]
            bars = axes.errorbar(x, y, (down, up), color=ORANGE, fmt="D", markersize=6, elinewidth=1.4, capsize=3)
            for part in bars.get_children():
                part.set_clip_on(False)
        if measured.start is not None and measured.final is not None:
            points = [(0.0, measured.start), *known, (figures.human_share, measured.final)]
            axes.axhline(100 * measured.start, color=BLUE, linewidth=0.9, linestyle=":")
            x, y = [100 * share for share, _ in points], [100 * right for _, right in points]
            axes.plot(x, y, color=BLUE, marker="o", clip_on=False)
        percent_axes(axes)
        axes.set_xlabel("pairs answered by people")

    keys = [
        *([Key("line blue", "right, measured against the truth")] if measured.final is not None else []),
        *([Key("dots blue", "the judge alone, measured")] if measured.final is not None else []),
        *([Key("diamond orange", "estimated from random audits, 95 % interval")] if audited else []),
        *([Key("dashes faint", "the model's own estimate")] if believed else []),
    ]
    return drawn(draw, 300, 280, "Share of labels that are right", keys)


def margin_picture(figures: Figures) -> Markup | None:
    """The reward distribution, and below it what people said; None where the method scores nothing."""
    spread = figures.margins
    if spread is None:
        return None
    left, width = spread.edges[:-1], spread.edges[1] - spread.edges[0]
    asked = any(spread.agreed) or any(spread.overruled)

    def draw(picture: Figure) -> None:
        panels = picture.subplots(
            2 if asked else 1, sharex=True, height_ratios=(3, 2) if asked else None, squeeze=False
        )
        bars = {"width": width * 0.9, "align": "edge", "linewidth": 0}
        at = [edge + 0.05 * width for edge in left]
        panels[0, 0].bar(at, spread.pairs, color=BAR, **bars)
        if asked:
            panels[1, 0].bar(at, spread.agreed, color=BLUE, **bars)
            panels[1, 0].bar(at, spread.overruled, bottom=spread.agreed, color=ORANGE, **bars)
        for axes in panels[:, 0]:
            axes.grid(visible=False, axis="x")
            axes.axvline(0, color=INK, linewidth=0.9)
            axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        panels[-1, 0].set_xlabel("left of 0 the reward model disagrees")

    keys = [
        Key("box bar", "all pairs"),
        *([Key("box blue", "people confirmed the label"), Key("box orange", "people overruled it")] if asked else []),
    ]
    return drawn(
        draw,
        340 if asked else 220,
        340 if asked else 220,
        "Pairs by reward margin toward the judge's label, in logits",
        keys,
    )


def tuning_picture(figures: Figures) -> Markup | None:
    """Loss over the steps of each training, and below it the margin of held-out pairs; None where no curve is known."""
    told = [one for one in figures.tunings if one.loss]
    if not told:
        return None
    colour = {one.kind: ORANGE if one.kind == "policy" else BLUE for one in told}
    judged = any(one.margins for one in told)

    def draw(picture: Figure) -> None:
        panels = picture.subplots(2 if judged else 1, sharex=True, squeeze=False)
        for one in told:
            for axes, curve in zip(panels[:, 0], (one.loss, one.margins), strict=False):
                axes.plot(*zip(*curve, strict=True), color=colour[one.kind], linewidth=1.4) if curve else None
        panels[0, 0].set_ylabel("loss")
        if judged:
            panels[1, 0].set_ylabel("margin, held out")
        panels[-1, 0].set_xlabel("steps")

    kinds = [Key(f"line {'orange' if kind == 'policy' else 'blue'}", kind) for kind in sorted(colour)]
    return drawn(draw, 340 if judged else 220, 340 if judged else 220, "How the trainings went", kinds)


def share_picture(title: str, rows: Sequence[tuple[str, Share]], middle: str) -> Markup | None:
    """Shares with their intervals, one a row; `middle` says what 50 % means. None where all rows are empty."""
    rows = [(name, share) for name, share in rows if share.of]
    if not rows:
        return None

    def draw(picture: Figure) -> None:
        axes = picture.subplots()
        for at, (name, share) in enumerate(rows):
            y, percent = -at, 100 * share.count / share.of
            ends = [100 * end for end in (share.low, share.high) if end is not None]
            axes.plot(ends, [y, y], color=BLUE, linewidth=1.6, solid_capstyle="butt")
            axes.plot([percent], [y], "o", color=BLUE, markersize=8, clip_on=False)
            axes.text(0, y + 0.3, name, color=INK, va="bottom")
            axes.text(100, y + 0.3, f"{percent:.1f} % of {share.of:,}", color=FAINT, va="bottom", ha="right")
        axes.axvline(50, color=FAINT, linewidth=0.9, linestyle=":")
        axes.set(xlim=(0, 100), ylim=(-len(rows) + 0.5, 0.9), yticks=[], xticks=[0, 25, 50, 75, 100])
        axes.grid(visible=False)
        axes.xaxis.set_major_formatter(_PERCENT)
        axes.set_xlabel(f"dotted: {middle}")

    height = 62 + 52 * len(rows)
    return drawn(draw, height, height, title, [])


def percent_axes(axes: Axes) -> None:
    """Both axes in per cent, their upper ends at 100 at most: what lies there must not be clipped (`clip_on`)."""
    axes.grid(visible=False, axis="x")
    axes.set_xlim(left=-0.02 * axes.get_xlim()[1])
    axes.set_ylim(top=min(100.0, axes.get_ylim()[1]))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(_PERCENT)
    axes.yaxis.set_major_formatter(_PERCENT)


def drawn(draw: Callable[[Figure], None], wide: int, narrow: int, title: str, keys: Sequence[Key]) -> Markup:
    """The figure element; heights in pixels."""
    drawings = (
        element("div", _svg(draw, _WIDE, wide, title), class_="wide"),
        element("div", _svg(draw, _NARROW, narrow, title), class_="narrow"),
    )
    legend = (element("li", element("i", class_=f"key {key.mark}", aria_hidden="true"), key.says) for key in keys)
    caption = element("figcaption", element("strong", title), element("ul", *legend, class_="keys") if keys else None)
    return element("figure", caption, joined(*drawings))


def _svg(draw: Callable[[Figure], None], width: int, height: int, title: str) -> Markup:
    with mpl.rc_context(_STYLE):
        # At 72 dots per inch one point is one pixel, so sizes are what a style sheet would call them.
        picture = Figure(figsize=(width / 72, height / 72), dpi=72, layout="constrained")
        draw(picture)
        buffer = io.StringIO()
        FigureCanvasSVG(picture).print_svg(buffer, metadata={"Date": None, "Creator": None})
    return _inline(buffer.getvalue(), width, height, title)


def _inline(svg: str, width: int, height: int, title: str) -> Markup:
    """What a browser needs of matplotlib's file: no prologue, no fixed size, no ids but those in use."""
    body = svg[svg.index(">", svg.index("<svg")) + 1 : svg.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", body)
    used = set(re.findall(r"#(\w+)\)?\"", body)) | set(re.findall(r"url\(#(\w+)\)", body))
    # The same id may come in another drawing of the page, so each drawing gets its own.
    mine = f"{re.sub(r'[^a-z]+', '-', title.lower())}-{width}-"
    body = re.sub(r' id="([^"]*)"', lambda m: f' id="{mine}{m[1]}"' if m[1] in used else "", body)
    body = re.sub(r"(href=\"|url\()#", rf"\1#{mine}", body)
    for stand_in, variable in _VARIABLES.items():
        body = body.replace(stand_in, f"var({variable})")
    head = element("title", title)
    return Markup(f'<svg viewBox="0 0 {width} {height}" role="img" preserveAspectRatio="xMidYMid">{head}{body}</svg>')
