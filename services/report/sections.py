"""The page's figures and tables, each a function from the figures to markup; None where a run has nothing to show."""

import json
from collections.abc import Iterator

from concord.preference.stages import STAGES, stage_name
from concord.report import curves, pictures, words
from concord.report.accuracy import Audit
from concord.report.annotator_agreement import Between
from concord.report.figures import Figures
from concord.report.ledger import StageCost, Usage
from concord.report.markup import Markup, element, facts, table

# The ledger's rows by the stage's name.
_TITLES = {stage_name(stage): kind.title for stage, kind in STAGES.items()}


def rounds(figures: Figures) -> Markup | None:
    """Accuracy, or its estimate, against the share that people answered."""
    if not figures.rounds:
        return None
    truth = figures.label_accuracy.final is not None
    head = ["Round", "Answered before", "Asked", "Flipped", "Model's estimate", "Audit estimate", "95 % interval"]
    rows = [
        [
            f"{r.round}, {words.TRUST.get(r.trust, r.trust)}",
            words.percent(r.human_share),
            words.count(r.asked),
            words.count(r.flipped),
            words.percent(r.estimated_accuracy) if r.trust else words.UNKNOWN,
            *_audit(r.audit),
            *([words.percent(r.accuracy)] if truth else []),
        ]
        for r in figures.rounds
    ]
    return element(
        "section",
        element("h2", "Labels that are right, round by round"),
        None if truth else element("p", "Nothing here is measured, as no truth is known: these are estimates."),
        pictures.accuracy_picture(figures),
        element("p", why) if (why := words.sobered(figures.rounds)) else None,
        table([*head, "Measured"] if truth else head, rows, "Rounds"),
        element(
            "p",
            " ".join(_explained(figures)),
            class_="note",
        ),
    )


def _explained(figures: Figures) -> Iterator[str]:
    """What the columns of the rounds mean, those that say something here."""
    yield "Estimates cover all labels and take people's own answers as right. The model's is its account of itself."
    stands = {r.trust for r in figures.rounds}
    told = [f"{words.TRUST[trust]}: {why}" for trust, why in words.TRUSTED.items() if trust in stands]
    if told:
        yield f"Beside the round stands what the model had to go by; {'; '.join(told)}."
    if any(r.audit for r in figures.rounds):
        yield (
            "An audit looks from outside, at answers on pairs drawn at random. Some were drawn while doubtful pairs were "
            "still open, so it takes too many labels for wrong rather than too few."
        )


def checked(figures: Figures) -> Markup | None:
    """What checks decided before the judge was asked."""
    found = figures.checks
    if found is None:
        return None
    truth = any(one.right for one in found.kinds)
    head = ["Kind", "Tried", "Decided", "Both wrong", "Left to the judge", "People agree"]
    rows = [
        [
            one.kind.replace("_", " "),
            words.count(one.tried),
            words.count(one.decided),
            words.count(one.both_wrong),
            words.count(one.left),
            words.of(one.people) if one.people else words.UNKNOWN,
            *([words.of(one.right) if one.right else words.UNKNOWN] if truth else []),
        ]
        for one in found.kinds
    ]
    saved = f" That spared {words.count(found.calls_saved, 'call')} to judges." if found.calls_saved else ""
    return element(
        "section",
        element("h2", "Checked before the judge"),
        element(
            "p",
            f"Rules that know the right answer gave {words.count(found.decided, 'label')}: right beats wrong, whatever the "
            f"style.{saved} Where both answers are wrong there is no preference: a person decides, or nobody.",
        ),
        table([*head, "Measured"] if truth else head, rows, "Checks"),
        element("p", "People agree: where audits drew a pair that checks had decided.", class_="note"),
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
        *_cost(figures),
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
        *_between(figures.between),
        element(
            "p", "Lines are 95 % intervals. Pairs chosen because they were doubtful are low by design.", class_="note"
        ),
    )


def replay(figures: Figures) -> Markup:
    """How to see all this again, and what it must come out as."""
    hashes = [
        ("Run", figures.run_id),
        ("Goes on from run", figures.parent.run_id if figures.parent else ""),
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


def _cost(figures: Figures) -> list[Markup | None]:
    """This run beside a dataset that people label alone."""
    cost = figures.cost
    if cost.judge is None:
        calls = words.count(figures.usage.calls, "call")
        unknown = (
            f"What the judge's {calls} cost is not known: no price was given (--prompt-price, --completion-price)."
        )
        return [element("p", unknown, class_="note")]
    if cost.share is None:
        return []
    labels = words.count(figures.human_labels, "label")
    judge = f"{words.dollars(cost.judge)} for judging" if cost.judge else "nothing for judging"
    return [
        element("h3", "Beside people alone"),
        element(
            "p",
            f"At an assumed {words.price(cost.label_price)} for a human label, people's {labels} cost "
            f"{words.dollars(cost.people)}, and {judge} was paid: {words.dollars(cost.together)}, or "
            f"{words.percent(cost.share)} of the {words.dollars(cost.all_human)} that all "
            f"{words.count(figures.pairs, 'pair')} would cost if people labelled them.",
        ),
        curves.cost_picture(cost),
        element(
            "p",
            "The price is an assumption (by default three annotators at $0.012 each, as in the RLTHF paper); with ",
            element("code", "concord report RUN --label-price DOLLARS"),
            " the page reckons with another one.",
            class_="note",
        ),
    ]


def _between(people: Between | None) -> list[Markup | None]:
    """How far people agree with each other."""
    if people is None:
        alone = (
            "Each question was answered by one person, so nothing is known about how far people agree with each other."
        )
        return [element("p", alone, class_="note")]
    rows = [("All who answered a question", people.unanimous), ("Two votes on a question", people.pairs_of_votes)]
    alpha = (
        f"Krippendorff's alpha is {people.alpha:.2f}: 1 is full agreement, 0 is chance."
        if people.alpha is not None
        else None
    )
    return [
        pictures.share_picture("People say the same as each other", rows, "as often as not"),
        element("p", alpha, class_="note") if alpha else None,
    ]


def _audit(audit: Audit | None) -> tuple[str, str]:
    if audit is None:
        return words.UNKNOWN, words.UNKNOWN
    return words.percent(audit.accuracy), words.interval(audit.accuracy_low, audit.accuracy_high)


def _stage(cost: StageCost) -> str:
    name = _TITLES.get(cost.stage, cost.stage) + (f" ×{cost.rounds}" if cost.rounds > 1 else "")
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
