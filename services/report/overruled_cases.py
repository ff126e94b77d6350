"""The page's single pairs: where people overruled the judge."""

from concord.kit.plural import many
from concord.report import words
from concord.report.figures import Figures
from concord.report.markup import Markup, behind_a_click, element
from concord.report.overruled import Overruled


def overruled(figures: Figures) -> Markup | None:
    """Ten pairs to learn from; None where people overruled nothing."""
    if not figures.overruled:
        return None
    shown, total = len(figures.overruled), figures.overruled_count
    which = f"{shown:,} of {many(total, 'pair')}" if shown < total else words.count(total, "pair")
    sure = any(pair.judge_confidence is not None for pair in figures.overruled)
    order = "the judge's surest verdicts" if sure else "those where the reward model agreed most with the judge"
    return element(
        "section",
        element("h2", "Where people overruled the judge"),
        element("p", f"{which}, {order} first. Long texts are shortened."),
        *map(_case, figures.overruled),
    )


def _case(pair: Overruled) -> Markup:
    sure = f", {words.percent(pair.judge_confidence, 0)} sure" if pair.judge_confidence is not None else ""
    texts = {"first": pair.first, "second": pair.second}
    return element(
        "article",
        element("h3", f"Pair {pair.pair_id}"),
        behind_a_click(
            pair.harmful,
            _said(pair.prompt, "no prompt"),
            element(
                "div",
                _answer("people", f"People chose the {pair.people}", texts[pair.people]),
                _answer("judge", f"The judge chose the {pair.judge}{sure}", texts[pair.judge]),
                class_="answers",
            ),
            element("p", f"A person added: “{pair.comment}”", class_="note") if pair.comment else None,
        ),
    )


def _answer(who: str, title: str, said: str) -> Markup:
    return element("div", element("h4", title), _said(said, "an empty answer"), class_=who)


def _said(said: str, otherwise: str) -> Markup:
    if not said:
        return element("p", otherwise, class_="empty")
    return element("div", said, class_="said", dir="auto")
