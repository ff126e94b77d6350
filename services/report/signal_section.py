"""The page's table of what each signal said of the labels, and what people found there. PURE."""

from concord.report import words
from concord.report.figures import Figures
from concord.report.markup import Markup, element, table


def signals(figures: Figures) -> Markup | None:
    """Nothing where no signal spoke: then the judge was asked once, and nobody else."""
    if not figures.signals:
        return None
    head = ["Signal", "Spoke of", "Against the label", "People: wrong where against", "People: wrong where for"]
    rows = [
        [
            said.says,
            words.count(said.spoke, "pair"),
            words.count(said.against),
            words.of(said.wrong_against),
            words.of(said.wrong_for),
        ]
        for said in figures.signals
    ]
    judges = figures.judges
    return element(
        "section",
        element("h2", "What each signal said"),
        element("p", f"{judges[0].upper()}{judges[1:]}.") if judges else None,
        table(head, rows, "Signals"),
        element(
            "p",
            "A signal is worth its calls where people find the label wrong much more often where it speaks against it than where "
            "it speaks for it. They saw mostly doubtful pairs, so compare the two columns and not one of them with the whole.",
            class_="note",
        ),
    )
