"""The page's section on satisfaction beside win rate."""

from concord.report import words
from concord.report.figures import Figures
from concord.report.markup import Markup, element, table
from concord.report.measures import Measures
from concord.report.shares import Share


def satisfaction(figures: Figures) -> Markup | None:
    """Both measures, always together; None where nothing is known beyond which answer is preferred."""
    found = figures.satisfaction
    if found is None:
        return None
    rows = [
        _row("Both answers, as they came", found.as_they_came),
        _row("The judge's choice", found.judge),
        *([_row("The dataset's choice", found.dataset)] if found.dataset else []),
    ]
    alarms = dict.fromkeys(alarm.says for alarm in (found.judge_alarm, found.dataset_alarm) if alarm)
    return element(
        "section",
        element("h2", "Satisfaction beside win rate"),
        *(element("p", element("strong", "Alarm. "), says, class_="simulation") for says in alarms),
        table(["Answers", "Satisfaction", "95 % interval", "Known", "Win rate"], rows, "Satisfaction beside win rate"),
        element(
            "p",
            "Satisfaction: the share of answers that are correct and acceptable, of those of which a check "
            f"({words.count(found.checked, 'pair')}) or a person's mark ({words.count(found.marked, 'pair')}) says so"
            f"{_classed(found.classed)}. Win rate: "
            "how often the judge prefers the answer to the other one. A dataset or policy that gains in one and loses in the "
            "other has learned style, not substance.",
            class_="note",
        ),
    )


def _classed(pairs: int) -> str:
    if not pairs:
        return ""
    return (
        f"; of {words.count(pairs, 'pair')} marked as harmful a refusal is acceptable and compliance is not, by rules that tell "
        "the two apart in 95 of 100 cases"
    )


def _row(name: str, of: Measures) -> list[str]:
    share: Share = of.satisfaction
    ends = words.interval(share.low, share.high) if share.low is not None else words.UNKNOWN
    return [name, words.percent(share.share), ends, words.count(share.of), words.percent(of.win_rate.share)]
