"""The page's section on models beside each other."""

from collections.abc import Sequence

from concord.report import words
from concord.report.contests import Contest, Rate
from concord.report.figures import Figures
from concord.report.markup import Markup, element, table
from concord.report.measures import Measures


def contests(figures: Figures) -> Markup | None:
    """Win rates of every two models and satisfaction with both; None where no pair is of two models."""
    if not figures.contests:
        return None
    return element("section", element("h2", "Model against model"), *map(_contest, figures.contests))


def _contest(found: Contest) -> Markup:
    rows = rates(
        (
            ("The judge", found.judge),
            ("The judge, at equal length", found.judge_at_equal_length),
            ("People, pairs drawn at random", found.people),
        )
    )
    sides = [satisfied(found.model, found.satisfaction), satisfied(found.against, found.against_satisfaction)]
    known = found.satisfaction.satisfaction.of or found.against_satisfaction.satisfaction.of
    title = f"{found.model} against {found.against}"
    alarm = _alarm(found) if found.alarm else ""
    return element(
        "div",
        element("h3", title),
        element("p", element("strong", "Alarm. "), alarm, class_="simulation") if alarm else None,
        table([f"{found.model} wins", "Win rate", "95 % interval", "Verdicts"], rows, title),
        table(["Answers of", "Satisfaction", "95 % interval", "Known"], sides, f"Satisfaction, {title}")
        if known
        else None,
        element("p", " ".join(_explained(found)), class_="note"),
    )


def _alarm(found: Contest) -> str:
    assert found.alarm is not None
    return (
        f"The judge prefers the answers of {found.model}, and fewer of them are correct and acceptable "
        f"({100 * found.alarm.satisfaction_change:+.1f} points): it has learned style, not substance."
    )


def _explained(found: Contest) -> list[str]:
    said = [
        f"{words.count(found.pairs, 'pair')}; a tie, and a verdict that changes with the order, is half a win. At equal "
        "length: what a model of the verdicts says of answers that are equally long."
    ]
    if found.longer is not None:
        said.append(f"{found.model} has the longer answer in {words.percent(found.longer)} of them.")
    if found.without_pair:
        said.append(
            f"{words.count(found.without_pair, 'prompt')} gave no pair: the answers are nearly the same, or one was of no use. "
            "Counted as ties they would draw the rates towards one half."
        )
    return said


def rates(told: Sequence[tuple[str, Rate | None]]) -> list[list[str]]:
    """A row for each win rate that is known, with who says it."""
    return [[name, *_rate(rate)] for name, rate in told if rate]


def _rate(rate: Rate) -> list[str]:
    return [words.percent(rate.rate), words.interval(rate.low, rate.high), words.count(rate.of)]


def satisfied(model: str, of: Measures) -> list[str]:
    """The row of the model whose answers these measures are of."""
    share = of.satisfaction
    ends = words.interval(share.low, share.high) if share.low is not None else words.UNKNOWN
    return [model, words.percent(share.share), ends, words.count(share.of)]
