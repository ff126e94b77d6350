"""The certificate as the page's first box: the error of the labels, what it stands on, and its parts. PURE."""

from concord.certificate import words
from concord.certificate.certificate import MODEL, Certificate, Part
from concord.report.figures import Figures
from concord.report.markup import Markup, element, joined, table


def certificate(figures: Figures) -> Markup | None:
    """The box; None where nothing is known."""
    made = figures.certificate
    if made is None:
        return None
    return element(
        "section",
        element("h2", "Certificate"),
        _figure(made),
        element("p", words.headline(made)),
        element("p", words.of_people(made)) if made.method != MODEL else None,
        element("p", words.covers(made), class_="note"),
        _parts(made),
        class_="certificate",
    )


def _figure(made: Certificate) -> Markup:
    """The figures alone: first against one person's answer, then without people's own error, where that is known."""
    if made.method == MODEL:
        return element(
            "p", f"{words.percent(made.error)} of the labels are wrong, says the model itself", class_="error"
        )
    first = element("p", f"{words.percent(made.error)} differ from one person's answer", class_="error")
    if made.corrected is None:
        return first
    return joined(first, element("p", f"{words.percent(made.corrected)} without people's own error", class_="error"))


def _parts(made: Certificate) -> Markup | None:
    """By source and by kind, folded away."""
    if not made.sources and not made.kinds:
        return None
    head = ["Labels that no person gave", *words.PART_HEAD[1:]]
    return element(
        "details",
        element("summary", "By source and kind"),
        _table(head, made.sources, "By source"),
        _table(head, made.kinds, "By kind") if made.kinds else None,
        element("p", "Each against one person's answer.", class_="note"),
    )


def _table(head: list[str], parts: tuple[Part, ...], label: str) -> Markup:
    return table(head, [words.part_row(part) for part in parts], label)
