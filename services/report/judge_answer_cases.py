"""The page's section on answers of the judge that are no verdict; None where there are none."""

from concord.report import words
from concord.report.figures import Figures
from concord.report.judge_answers import Example, UnusableAnswers
from concord.report.markup import Markup, behind_a_click, element, facts


def unusable(figures: Figures) -> Markup | None:
    """Cause, count, what to do, and a few of the answers themselves."""
    found = figures.unusable_answers
    if not found:
        return None
    several = len({answers.judge for answers in found}) > 1
    return element(
        "section",
        element("h2", "Answers of the judge that are no verdict"),
        element(
            "p",
            "Each was asked for a second time before it was given up. A pair without a verdict in either order is a tie "
            "unless a person decided.",
        ),
        # No table: what to do is a sentence, which must wrap.
        facts([(_name(answers, several), answers.do) for answers in found]),
        *(_case(answers, example) for answers in found for example in answers.examples),
    )


def _name(answers: UnusableAnswers, several: bool) -> str:
    judge = f", {answers.judge}" if several else ""
    return f"{answers.cause}: {words.count(answers.answers, 'answer')}{judge}"


def _case(answers: UnusableAnswers, example: Example) -> Markup:
    swapped = ", with the responses in the other order" if example.swapped else ""
    said = (
        element("div", example.text, class_="said", dir="auto")
        if example.text
        else element("p", "nothing", class_="empty")
    )
    title = element("h3", f"{answers.cause} · pair {example.pair_id}{swapped}")
    return element("article", title, behind_a_click(example.harmful, said))
