"""The page's sections, each a function from the figures to markup; None where a run has nothing to show there."""

import json

from services.report import pictures, words
from services.report.figures import Figures
from services.report.ledger import Usage
from services.report.markup import Markup, element, joined, table
from services.report.overruled import Overruled

_NO_TRUTH = "The input carries no truth, so nothing here is measured: these are estimates."


def header(figures: Figures) -> Markup:
    """What this is about, the paragraph in words, and four numbers."""
    judge = figures.config["judge"]
    name = " ".join(part for part in (judge["kind"], judge["name"]) if part)
    meta = [f"method {figures.config['method']}", f"judge {name}", f"people {figures.config['humans'] or 'not named'}"]
    return element(
        "header",
        element("p", "Concord report", class_="kind"),
        element("h1", figures.input_name or figures.run_id),
        element("p", " · ".join(meta), class_="meta"),
        _simulation(figures),
        element("p", words.summary(figures), class_="lead"),
        _numbers(figures),
    )


def bought(figures: Figures) -> Markup:
    """What people were asked, and what it bought."""
    minutes = figures.human_time.minutes
    rows = [
        ("Questions answered", f"{figures.human_labels:,} of {words.count(figures.pairs, 'pair')}"),
        ("Votes that counted", f"{figures.votes:,} of a budget of {figures.human_budget:,}"),
        ("Skipped or expired", words.count(figures.unanswered)) if figures.unanswered else None,
        ("Votes that came too late", words.count(figures.late_votes)) if figures.late_votes else None,
        ("People's time, assumed", _human_time(figures, minutes)) if figures.votes else None,
        ("Labels people overruled", words.count(figures.overruled_count)),
        ("Labels the model flipped", _flips(figures)) if figures.flips else None,
        ("People against the truth", words.of(figures.human_accuracy)) if figures.human_accuracy else None,
    ]
    facts = [element("dt", row[0]) + element("dd", row[1]) for row in rows if row]
    how = words.METHODS.get(figures.config["method"])
    return _section(
        "What was asked of people, and what it bought",
        element("p", f"Method {figures.config['method']}: {how}.") if how else None,
        element("dl", *map(Markup, facts), class_="facts"),
        _evaluation(figures),
        _methods(figures),
    )


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
            words.percent(r.audited_accuracy), words.interval(r.audited_accuracy_low, r.audited_accuracy_high),
            *([words.percent(r.accuracy)] if truth else []),
        ]
        for r in figures.rounds
    ]  # fmt: skip
    return _section(
        "Labels that are right, round by round",
        None if truth else element("p", _NO_TRUTH),
        pictures.accuracy_picture(figures),
        table([*head, "Measured"] if truth else head, rows, "Rounds"),
        element(
            "p",
            "Estimates cover all labels and take people's own answers as right. The model judges itself and tends to be "
            "too sure. Audits are pairs drawn at random; as some were drawn while doubtful pairs were still open, they "
            "err towards too many wrong labels.",
            class_="note",
        ),
    )


def margins(figures: Figures) -> Markup | None:
    """The reward distribution."""
    spread = figures.margins
    if spread is None:
        return None
    share = words.percent(spread.against / max(1, sum(spread.pairs)))
    return _section(
        "Reward distribution",
        element(
            "p",
            "How far a reward model that never saw the pair agrees with the judge's label. It disagrees with "
            f"{words.count(spread.against, 'label')} ({share}): those, and the ones near zero, are the likeliest to be wrong.",
        ),
        pictures.margin_picture(figures),
        element("p", "The outermost bars hold what lies beyond them, too.", class_="note"),
    )


def ledger(figures: Figures) -> Markup:
    """What it cost."""
    head = [
        "Stage",
        "Units",
        "Calls",
        "Cached",
        "Tokens in",
        "Tokens out",
        "Dollars",
        "Votes",
        "Worker time",
        "Elapsed",
    ]
    rows = [
        [
            words.STAGES.get(cost.stage, cost.stage) + (f" ×{cost.rounds}" if cost.rounds > 1 else ""),
            words.count(cost.units) + (f" ({cost.failed_units:,} failed)" if cost.failed_units else ""),
            *_usage(cost.usage), _some(cost.votes), words.duration(cost.usage.seconds) if cost.usage.seconds else "",
            words.duration(cost.wall_seconds),
        ]
        for cost in figures.ledger
    ]  # fmt: skip
    total = ["Together", "", *_usage(figures.usage), _some(figures.votes), words.duration(figures.usage.seconds)]
    return _section(
        "Ledger",
        table(head, [*rows, [*total, words.duration(figures.wall_seconds)]], "Ledger"),
        element(
            "p",
            "The sum over the run's facts. Elapsed is the log's own time between a stage's opening and its closing, "
            "waiting for people and pauses included; workers' time may overlap. Cached calls cost nothing.",
            class_="note",
        ),
    )


def leanings(figures: Figures) -> Markup:
    """The judge's biases, with people beside it."""
    flips, length, agreement = figures.order_flips, figures.length, figures.agreement
    order = (
        f"With the two answers shown the other way round, the verdict changes on {words.of(flips)} pairs."
        if flips
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
    return _section(
        "Where the judge leans",
        element("h3", "Order"),
        element("p", order.replace(") pairs.", ") of the pairs.")),
        element("h3", "Length"),
        element(
            "p", "People saw mostly doubtful pairs, so compare the two lower rows: the same pairs, judged by both."
        ),
        pictures.share_picture("The longer answer is preferred", longer, "no taste for length"),
        element("h3", "Agreement with people"),
        pictures.share_picture("People confirm the judge's label", agreed, "no better than a coin"),
        element(
            "p", "Lines are 95 % intervals. Pairs chosen because they were doubtful are low by design.", class_="note"
        ),
    )


def overruled(figures: Figures) -> Markup | None:
    """Ten pairs to learn from."""
    if not figures.overruled:
        return None
    shown, total = len(figures.overruled), figures.overruled_count
    which = "All" if shown == total else f"{shown} of the {total:,}"
    pairs = "pair" if shown == total == 1 else "pairs"
    return _section(
        "Where people overruled the judge",
        element("p", f"{which} {pairs}, the judge's surest verdicts first. Long texts are shortened."),
        *(_overruled(pair) for pair in figures.overruled),
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
    facts = [
        element("dt", name) + element("dd", element("code", value)) for name, value in hashes if value not in ("", None)
    ]
    return _section(
        "Replay",
        element("p", "Every decision of this run is on its log. This folds it again from the first fact:"),
        element("pre", f"concord replay {figures.run_id}"),
        element("dl", *map(Markup, facts), class_="facts"),
        element(
            "p", "The history's hash shows accidents, not forgers: against those, keep it elsewhere.", class_="note"
        ),
        element(
            "details",
            element("summary", "Configuration"),
            element("pre", json.dumps(figures.config, indent=2, ensure_ascii=False)),
        ),
    )


def _section(title: str, *parts: object) -> Markup:
    return element("section", element("h2", title), *parts)


def _simulation(figures: Figures) -> Markup | None:
    if not figures.simulation:
        return None
    why = " and ".join(figures.simulation)
    says = f"{why[0].upper()}{why[1:]}. The figures say how the method fares in it, not what your judge and your people would do."
    return element("div", element("p", element("strong", "This is a simulation. "), says), class_="simulation")


def _numbers(figures: Figures) -> Markup:
    flipped = figures.flips.count if figures.flips else 0
    calls = words.count(figures.usage.calls, "call")
    numbers = [
        ("Asked of people", words.percent(figures.human_share), f"of {words.count(figures.pairs, 'pair')}"),
        _accuracy_number(figures),
        ("Labels corrected", words.count(figures.overruled_count + flipped),
         f"{figures.overruled_count:,} by people, {flipped:,} by the model"),
        ("Paid for judging", words.dollars(figures.usage.dollars), f"{calls}, {figures.usage.cached_calls:,} more cached"),
    ]  # fmt: skip
    return element(
        "dl",
        *(
            element("div", element("dt", name), element("dd", value), element("dd", more))
            for name, value, more in numbers
        ),
        class_="numbers",
    )


def _accuracy_number(figures: Figures) -> tuple[str, str, str]:
    measured, estimate = figures.label_accuracy, figures.estimate
    if measured.final is not None:
        return (
            "Labels right, measured",
            words.percent(measured.final),
            f"the judge alone: {words.percent(measured.start)}",
        )
    if estimate is None or estimate.basis == "prior":
        return "Labels right", words.UNKNOWN, "not known"
    ends = f"95 % interval {words.interval(estimate.low, estimate.high)}" if estimate.low is not None else "no interval"
    return "Labels right", f"≈{words.NARROW}{words.percent(estimate.accuracy, 0)}", f"estimated; {ends}"


def _human_time(figures: Figures, minutes: float | None) -> str:
    if minutes is None:
        return "no answer carries a time"
    median = words.duration(figures.human_time.median_seconds)
    return f"{words.duration(60 * minutes)}: {words.count(figures.votes, 'vote')} at the median of {median}"


def _flips(figures: Figures) -> str:
    flips = figures.flips
    if flips is None or flips.right is None or not flips.count:
        return words.count(flips.count if flips else 0)
    return f"{flips.count:,}; against the truth {flips.right:,} for the better, {flips.wrong:,} for the worse"


def _evaluation(figures: Figures) -> Markup | None:
    tested = figures.evaluation
    if tested is None:
        return None
    gap = (
        f"so this run closed {words.percent(figures.gap_closed, 0)} of the gap."
        if figures.gap_closed is not None
        else "a gap of under 8 points: which share of it is closed would be mostly chance, and is not given."
    )
    on = f" on {words.count(tested.pairs, 'test pair')}" if tested.pairs else " on the test pairs"
    return element(
        "p",
        f"A reward model that learns from the judge alone is right{on} in {words.percent(tested.ai_only)} of the cases, one "
        f"that learns from this run in {words.percent(tested.final)}, one that learns from the truth in "
        f"{words.percent(tested.full)}; {gap}",
    )


def _methods(figures: Figures) -> Markup | None:
    if len(figures.methods) < 2:
        return None
    rows = [
        [name, words.count(method.human_labels), words.percent(method.label_accuracy)]
        for name, method in figures.methods.items()
    ]
    heading = element("h3", "Beside other methods, on the same input")
    return joined(heading, table(["Method", "Human labels", "Labels right"], rows, "Methods"))


def _usage(usage: Usage) -> list[str]:
    numbers = (usage.calls, usage.cached_calls, usage.prompt_tokens, usage.completion_tokens)
    return [*map(_some, numbers), words.dollars(usage.dollars) if usage.dollars else ""]


def _some(number: int) -> str:
    """Nothing rather than a zero: in a wide table the zeros hide the numbers."""
    return words.count(number) if number else ""


def _overruled(pair: Overruled) -> Markup:
    sure = f", {words.percent(pair.judge_confidence, 0)} sure" if pair.judge_confidence is not None else ""
    answers = []
    for side, said in (("first", pair.first), ("second", pair.second)):
        who = "judge" if side == pair.judge else "people"
        title = f"The judge's choice{sure}" if who == "judge" else "People's choice"
        answers.append(element("div", element("h4", title), _said(said, "an empty answer"), class_=who))
    return element(
        "article",
        element("h3", f"Pair {pair.index} · {pair.pair_id}"),
        _said(pair.prompt, "no prompt"),
        element("div", *answers, class_="answers"),
        element("p", f"A person added: “{pair.comment}”", class_="note") if pair.comment else None,
    )


def _said(said: str, otherwise: str) -> Markup:
    if not said:
        return element("p", otherwise, class_="empty")
    return element("div", said, class_="said", dir="auto")
