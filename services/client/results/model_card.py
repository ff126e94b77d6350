"""RUN.md beside a model's own card: the run that made it, from what, at what cost, how right its labels were. Pure."""

from collections.abc import Mapping
from typing import Any

from concord.certificate import words
from concord.kit.plural import many

Report = Mapping[str, Any]
NAME = "RUN.md"


def run_card(report: Report, is_policy: bool) -> str:
    """Of what `report.json` holds; nothing of it is known to the program that trained the model."""
    usage, cost = report["usage"], report["cost"]
    facts = [
        ("run", report["run_id"]),
        ("input", f"{report['input_name'] or 'without a name'}, sha256 {report['input_sha256']}"),
        ("dataset, sha256", report["dataset_sha256"]),
        ("history, sha256", report["history_sha256"]),
        ("pairs", f"{report['pairs']:,}"),
        ("people", f"{many(report['votes'], 'vote')} on {many(report['human_labels'], 'pair')}"),
        ("judge", f"{many(usage['calls'], 'call')}, {_dollars(cost)}"),
    ]
    made = words.read(report["certificate"])
    sure = words.sentences(made) if made else ["Not known: nobody was asked, or too few to learn from."]
    lines = ["# The run that made this model", ""]
    if report["simulation"]:
        lines += [f"**This is a simulation:** {_plain(' and '.join(report['simulation']))}.", ""]
    lines += ["| | |", "| --- | --- |", *(f"| {name} | {_plain(said)} |" for name, said in facts), ""]
    lines += ["## How right its labels are", "", *sure, ""]
    return "\n".join([*lines, *(_compared(report.get("policy")) if is_policy else [])])


def _dollars(cost: Mapping[str, Any]) -> str:
    known = cost["judge"]
    return "price not known" if known is None else f"${known:,.2f}"


def _compared(found: Mapping[str, Any] | None) -> list[str]:
    """The policy beside the model that it began as."""
    if not found:
        return []
    contest = found["contest"]
    lines = ["## Whether it is better than what it began as", ""]
    if contest is None or not contest["says"]:
        return [*lines, "Not known: too few of their answers differ, or were judged.", ""]
    lines += [f"By the run's judge, on prompts that taught it nothing: {_plain(contest['says'])}.", ""]
    people = (found.get("people") or {}).get("rate")
    rows = [("the reward model prefers it", found["reward"]), ("judge and helpers together", found["panel"])]
    rows += [("people prefer it, a blind sample", people)]
    lines += [
        f"- {name}: {rate['rate']:.1%} ({rate['low']:.1%} to {rate['high']:.1%}) of {rate['of']:,}"
        for name, rate in rows
        if rate
    ]
    sides = (("its own answers", contest["satisfaction"]), ("its start's answers", contest["against_satisfaction"]))
    lines += [
        f"- correct and acceptable of {whose}: {good['share']:.1%} of {good['of']:,}"
        for whose, said in sides
        if (good := said["satisfaction"])["of"]
    ]
    lines += [f"- **alarm:** {_plain(one)}" for one in found["alarms"]]
    return [*lines, ""]


def _plain(text: object) -> str:
    """A stranger's text in a table's cell."""
    return "".join(c for c in str(text) if c.isprintable() and c not in "<>\\|`")
