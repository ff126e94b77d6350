"""The page's section on the language models that were trained."""

from concord.report import words
from concord.report.figures import Figures
from concord.report.markup import Markup, element, table
from concord.report.pictures import tuning_picture
from concord.report.tunings import Tuning


def tuned(figures: Figures) -> Markup | None:
    """A row for each training, and its curves; None where none was."""
    if not figures.tunings:
        return None
    head = ["Unit", "Model", "Learned from", "Held out", "Right", "Margin"]
    bases = ", ".join(sorted({one.base for one in figures.tunings if one.base}))
    note = (
        f"Fine-tuned from {bases}. Right and margin are of the pairs that the training itself held out, by the labels of the "
        "moment: not a measurement against people."
    )
    return element(
        "section",
        element("h2", "Language models"),
        tuning_picture(figures),
        table(head, [_row(one) for one in figures.tunings], "Trainings of language models"),
        element("p", note, class_="note"),
    )


def _row(one: Tuning) -> list[str]:
    return [
        one.unit,
        one.kind,
        words.UNKNOWN if one.learned is None else words.count(one.learned, "pair"),
        words.UNKNOWN if one.held_out is None else words.count(one.held_out, "pair"),
        words.UNKNOWN if one.accuracy is None else words.percent(one.accuracy),
        words.UNKNOWN if one.margin is None else f"{one.margin:+.2f}",
    ]
