"""The page's figures and tables, each a function from the figures to markup; None where a run has nothing to show."""

import json

from services.report import pictures, words
from services.report.accuracy import Audit
from services.report.figures import Figures
from services.report.ledger import StageCost, Usage
from services.report.markup import Markup, element, facts, table


def rounds(figures: Figures) -> Markup | None:
    """Accuracy, or its estimate, against the share that people answered."""
    if not figures.rounds:
        return None
    truth = figures.label_accuracy.final is not None
    head = ["Round", "Answered before", "Asked", "Flipped", "Model's estimate", "Audit estimate", "95 % interval"]
    rows = [
        [
            f"{r.round}, {words.TRUST.get(r.trust, r.trust)}", words.percent(r.human_share), words.count(r.asked),
            words.count(r.flipped), words.percent(r.estimated_accuracy) if r.trust else words.UNKNOWN,
            *_audit(r.audit),
            *([words.percent(r.accuracy)] if truth else []),
        ]
        for r in figures.rounds
    ]  # fmt: skip
    return element(
        "section",
        element("h2", "Labels that are right, round by round"),
        None if truth else element("p", "Nothing here is measured, as no truth is known: these are estimates."),
        pictures.accuracy_picture(figures),
        table([*head, "Measured"] if truth else head, rows, "Rounds"),
        element(
            "p",
            "Estimates cover all labels and take people's own answers as right. The model's is its account of itself; "
            "audits look from outside. Audits are pairs drawn at random; as some were drawn while doubtful pairs were "
            "still open, they err towards too many wrong labels.",
            class_="note",
        ),
    )


def margins(figures: Figures) -> Markup | None:
    """The reward distribution."""
    spread = figures.margins
    if spread is None:
        return None
    share = words.percent(spread.against / sum(spread.pairs))
    return element(
        "section",
        element("h2", "Reward distribution"),
        element(
            "p",
            "How far a reward model that never saw the pair agrees with the judge's label. It disagrees with "
            f"{words.count(spread.against, 'label')} ({share}): those, and the ones near zero, are the first to doubt.",
        ),
        pictures.margin_picture(figures),
        element("p", "The outermost bars hold what lies beyond them, too.", class_="note"),
    )


def ledger(figures: Figures) -> Markup:
    """What it cost."""
    head = ["Stage", "Calls", "Cached", "Tokens in", "Tokens out", "Dollars", "Votes", "Work", "Elapsed"]
    sums = ["Together", *_used(figures.usage, figures.votes), words.duration(figures.wall_seconds)]
    rows = [
        [_stage(cost), *_used(cost.usage, cost.votes), words.duration(cost.wall_seconds)] for cost in figures.ledger
    ]
    used = [at for at, _ in enumerate(head) if sums[at]]
    return element(
        "section",
        element("h2", "Ledger"),
        table(
            [head[at] for at in used], [[row[at] for at in used] for row in rows], "Ledger", [sums[at] for at in used]
        ),
        element(
            "p",
            "The sum over the run's facts. Elapsed is the log's own time between a stage's opening and its closing, "
            "waiting for people and pauses included; work is the workers' time, which may overlap. Cached calls cost nothing.",
            class_="note",
        ),
    )


def leanings(figures: Figures) -> Markup:
    """The judge's biases, with people beside it."""
    flips, length, agreement = figures.order_flips, figures.length, figures.agreement
    order = (
        f"Shown the two answers the other way round, the judge changes its verdict in {words.percent(flips.share)} of the "
        f"cases ({flips.count:,} of {flips.of:,}, 95 % interval {words.interval(flips.low, flips.high)})."
        if flips
        else "No pair has usable verdicts of the judge in both orders, so nothing is known about its taste for a place."
        if figures.config["judge"].get("both_orders") or figures.without_verdict == figures.pairs
        else "The judge was asked in one order only, so nothing is known about its taste for the first or second place."
    )
    longer = [
        ("Judge, all pairs", length.judge),
        ("Judge, where people were asked", length.judge_where_asked),
        ("People, the same pairs", length.people),
    ]
    agreed = [
        ("Pilot, drawn at random", agreement.pilot),
        ("Audits, drawn at random", agreement.audit),
        ("Chosen because doubtful", agreement.chosen),
    ]
    return element(
        "section",
        element("h2", "Where the judge leans"),
        element("p", order),
        pictures.share_picture("The longer answer is preferred", longer, "no taste for length"),
        element(
            "p",
            "People saw mostly doubtful pairs: compare the two lower rows, where both judge the same ones.",
            class_="note",
        )
        if length.people.of
        else None,
        pictures.share_picture("People confirm the judge's label", agreed, "no better than a coin"),
        element(
            "p", "Lines are 95 % intervals. Pairs chosen because they were doubtful are low by design.", class_="note"
        ),
    )


def replay(figures: Figures) -> Markup:
    """How to see all this again, and what it must come out as."""
    hashes = [
        ("Run", figures.run_id),
        ("Input, SHA-256", figures.input_sha256),
        ("Dataset, SHA-256", figures.dataset_sha256),
        ("History, SHA-256", figures.history_sha256),
        ("History up to offset", figures.through_offset),
    ]
    configuration = json.dumps(figures.config, indent=2, ensure_ascii=False)
    return element(
        "section",
        element("h2", "Replay"),
        element("p", "Every decision of this run is on its log. This folds it again, from the first fact on:"),
        element("pre", f"concord replay {figures.run_id}"),
        facts([(name, element("code", value)) for name, value in hashes if value not in ("", None)]),
        element(
            "p", "The history's hash shows accidents, not forgers: against those, keep it elsewhere.", class_="note"
        ),
        element("details", element("summary", "Configuration"), element("pre", configuration)),
    )


def _audit(audit: Audit | None) -> tuple[str, str]:
    if audit is None:
        return words.UNKNOWN, words.UNKNOWN
    return words.percent(audit.accuracy), words.interval(audit.accuracy_low, audit.accuracy_high)


def _stage(cost: StageCost) -> str:
    name = words.STAGES.get(cost.stage, cost.stage) + (f" ×{cost.rounds}" if cost.rounds > 1 else "")
    return f"{name} ({words.count(cost.failed_units, 'unit')} failed)" if cost.failed_units else name


def _used(usage: Usage, votes: int) -> list[str]:
    """Nothing rather than a zero: in a wide table the zeros hide the numbers."""
    counts = [usage.calls, usage.cached_calls, usage.prompt_tokens, usage.completion_tokens]
    return [
        *(words.count(number) if number else "" for number in counts),
        words.dollars(usage.dollars) if usage.dollars else "",
        words.count(votes) if votes else "",
        words.duration(usage.seconds) if usage.seconds else "",
    ]
