"""The report as one HTML file: no network, no scripts, every text of the run inert. `page` is the entry point."""

from importlib.resources import files
from string import Template

from concord.report import (
    contest_table,
    distribution,
    judge_answer_cases,
    overruled_cases,
    overview,
    policy_table,
    satisfaction_table,
    sections,
    signal_section,
    tuning_table,
)
from concord.report.figures import Figures
from concord.report.markup import joined, text

_SECTIONS = (
    overview.header,
    overview.bought,
    sections.checked,
    sections.rounds,
    distribution.rewards,
    distribution.calibrated,
    sections.ledger,
    sections.leanings,
    signal_section.signals,
    satisfaction_table.satisfaction,
    contest_table.contests,
    tuning_table.tuned,
    policy_table.policy,
    judge_answer_cases.unusable,
    overruled_cases.overruled,
    sections.replay,
)


def page(figures: Figures) -> str:
    """The page's HTML; write it as UTF-8. The same figures give the same page."""
    template = Template(files("concord.report").joinpath("page.html").read_text(encoding="utf-8"))
    title = text(f"{figures.input_name or figures.run_id} · Concord report")
    return template.substitute(title=title, body=joined(*(section(figures) for section in _SECTIONS)))
