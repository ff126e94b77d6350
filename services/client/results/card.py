"""The dataset card: README.md of a data set for the hub, its YAML header and where the labels come from. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from concord.certificate import words
from concord.certificate.certificate import Certificate
from concord.client.results.export import Exported
from concord.kit.plural import many
from concord.preference.judges import named
from concord.preference.methods import METHODS

Report = Mapping[str, Any]
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10**7, "1M<n<10M"))
_SOURCES = {
    "people": "a person decided",
    "judge": "the judge's label stands",
    "checked": "a rule found one answer right and the other wrong, or its reasoning at fault; no judge was asked",
    "flipped": "the judge's label, corrected by a model that learned from people's answers",
    "none": "nobody said anything usable",
}
_PEOPLE = {
    "recorded": "labels that came with the input",
    "file": "answers from a file",
    "simulated": "simulated, by a program",
}


def card(report: Report, exported: Exported, version: str, made: Certificate | None) -> str:
    """The card of this export; `report` is what report.json holds, `made` the certificate of the export's own rows.

    Names of files and models go in as they were given, folders and addresses do not: a card is for others to read.
    """
    lines = [
        *_header(report, exported),
        f"# {_title(report)}",
        "",
        "Preference pairs with the probability that the chosen response is the better one, made by Concord from an LLM",
        "judge's verdicts and a few people's answers.",
        "",
        *_simulation(report),
        *_columns(exported),
        *_provenance(report, version),
        *_checks(report),
        *_quality(report, made),
        "## Licence",
        "",
        "Unknown: it is that of the prompts and responses in the input. Whoever publishes this data set must name it.",
        "",
    ]
    return "\n".join(lines)


def size_category(rows: int) -> str:
    """The hub's word for so many rows."""
    return next((words for most, words in _SIZES if rows < most), "n>10M")


def _header(report: Report, exported: Exported) -> list[str]:
    # A text in JSON is a text in YAML.
    return [
        "---",
        f"pretty_name: {json.dumps(_title(report), ensure_ascii=False)}",
        "license: unknown",
        "tags:",
        "- preference",
        "- dpo",
        "- reward-modelling",
        "- concord",
        "size_categories:",
        f"- {size_category(exported.rows)}",
        "configs:",
        "- config_name: default",
        "  data_files:",
        "  - split: train",
        "    path: data/train-*",
        "---",
        "",
    ]


def _simulation(report: Report) -> list[str]:
    if not report["simulation"]:
        return []
    return [f"**This is a simulation:** {' and '.join(report['simulation'])}. It says nothing of real answers.", ""]


def _columns(exported: Exported) -> list[str]:
    rows = [f"| `{name}` | {count:,} | {_SOURCES.get(name, '')} |" for name, count in exported.sources.items()]
    return [
        "## Rows",
        "",
        f"{many(exported.rows, 'row')}: `prompt`, `chosen` and `rejected` as lists of messages; `p_chosen`, the probability that",
        "`chosen` is the better one; `weight`; `source`; `pair_id`; `judge_agrees` and `judge_confidence`, null where the judge",
        "gave none; `pair_sha256`, the hash of prompt and responses.",
        *([f"Of the run's rows, {'; '.join(exported.notes)}."] if exported.notes else []),
        "",
        "| source | rows | |",
        "| --- | --- | --- |",
        *rows,
        "",
    ]


def _provenance(report: Report, version: str) -> list[str]:
    config = report["config"]
    judges = [_judge(judge) for judge in (config["judge"], *config["helpers"])]
    helpers = f" (informed by {', '.join(judges[1:])})" if judges[1:] else ""
    asked = (
        f"{report['human_labels']:,} of {many(report['pairs'], 'pair')} answered, {report['votes']:,} of a budget of "
    )
    facts = [
        ("Concord", version),
        ("run", _code(report["run_id"])),
        ("method", f"{_code(config['method'])}, seed {config['seed']}"),
        ("judge", judges[0] + helpers),
        ("people", f"{_people(config)}: {asked}{many(report['human_budget'], 'vote')}"),
        *_parent(report),
        ("input", f"{_code(report['input_name'])}, sha256 {_code(report['input_sha256'])}"),
        ("dataset", f"sha256 {_code(report['dataset_sha256'])}"),
        ("history", f"sha256 {_code(report['history_sha256'])}"),
    ]
    return [
        "## Where the labels come from",
        "",
        "| | |",
        "| --- | --- |",
        *(f"| {name} | {said} |" for name, said in facts),
        "",
    ]


def _parent(report: Report) -> list[tuple[str, str]]:
    parent = report["parent"]
    if parent is None:
        return []
    what = f"{parent['pairs']:,} of the pairs, {parent['answers']:,} of people's answers"
    return [("goes on from run", f"{_code(parent['run_id'])}: {what}")]


def _checks(report: Report) -> list[str]:
    """What was checked, kind by kind; nothing where nothing was."""
    found = report.get("checks")
    if not found:
        return []
    rows = [
        f"| {_code(one['kind'])} | {one['tried']:,} | {one['decided']:,} | {one['both_wrong']:,} |"
        for one in found["kinds"]
    ]
    return [
        "## What was checked before the judge",
        "",
        "Rules that know the right answer: right beats wrong, whatever the style.",
        "",
        "| kind | pairs tried | labels decided | both answers wrong |",
        "| --- | --- | --- | --- |",
        *rows,
        "",
    ]


def _quality(report: Report, made: Certificate | None) -> list[str]:
    known = report["label_accuracy"]
    lines = ["## How right the labels are", ""]
    if made is None:
        lines.append("Not known: nobody was asked, or too few to learn from.")
    else:
        lines += [*words.sentences(made), "", *_parts(made)]
    if known["final"] is not None:
        judged = "" if known["start"] is None else f"{known['start']:.1%} as the judge gave them, "
        was = f"{judged}{known['final']:.1%} as they are here"
        lines.append(
            f"Measured against people's labels in the input, on {many(known['rows'], 'row')} of the run: {was} are right."
        )
    return [*lines, ""]


def _parts(made: Certificate) -> list[str]:
    """The certificate by source and kind."""
    shown = [part for part in (*made.sources, *made.kinds) if part.error is not None]
    if not shown:
        return []
    head = ["labels that no person gave", *words.PART_HEAD[1:]]
    cells = [head, ["---"] * len(head), *([_plain(cell) for cell in words.part_row(part)] for part in shown)]
    return [*(f"| {' | '.join(row)} |" for row in cells), ""]


def _judge(judge: Mapping[str, Any]) -> str:
    return _code(named(judge["kind"], judge["name"]))


def _people(config: Mapping[str, Any]) -> str:
    kind = str(config["annotators"]).partition(":")[0]
    return "nobody" if not METHODS[str(config["method"])].asks else _PEOPLE.get(kind, kind or "not named")


def _title(report: Report) -> str:
    return f"{_plain(report['input_name'] or 'Preferences')}, labelled by Concord"


def _code(text: object) -> str:
    """A stranger's text in a table's cell."""
    return f"`{_plain(text).replace('|', '/')}`"


def _plain(text: object) -> str:
    return "".join(c for c in str(text) if c.isprintable() and c not in "`<>\\")
