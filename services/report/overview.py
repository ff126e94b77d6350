"""The page's first screen: what this is about, in words and numbers, and what was asked of people."""

from collections.abc import Mapping

from concord.preference import deviating
from concord.preference.judges import named
from concord.preference.methods import METHODS
from concord.report import certificate_box, curves, words
from concord.report.figures import Figures
from concord.report.markup import Markup, element, facts, joined, table
from concord.report.rounds_gain import Bought


def header(figures: Figures) -> Markup:
    """What this is about, the paragraph in words, and four numbers."""
    config = figures.config
    meta = [
        f"method {config['method']}",
        f"judge {_judge(config['judge'])}",
        *(f"helper {_judge(helper)}" for helper in config["helpers"]),
        f"people {config['annotators'] or 'not named'}",
    ]
    return element(
        "header",
        element("p", "Concord report", class_="kind"),
        element("h1", figures.input_name or figures.run_id),
        element("p", " · ".join(meta), class_="meta"),
        _simulation(figures),
        *(_alarm(f"Annotator {one.says}; {deviating.DO}.") for one in figures.deviations),
        *(_alarm(f"{one.says[0].upper()}{one.says[1:]}; {one.do}.", one.picture) for one in figures.alarms),
        element("p", words.summary(figures), class_="lead"),
        certificate_box.certificate(figures),
        _numbers(figures),
    )


def bought(figures: Figures) -> Markup:
    """What people were asked, and what it bought."""
    method = METHODS.get(str(figures.config["method"]))
    how = method.words if method else None
    rows = [
        ("Answers sampled", _generated(figures)) if figures.generated else None,
        ("Pairs chosen to be labelled", _selected(figures)) if figures.selection else None,
        ("Questions answered", f"{figures.human_labels:,} of {words.count(figures.pairs, 'pair')}"),
        ("Answered before, in earlier runs", words.count(figures.parent.answers)) if figures.parent else None,
        ("Votes that counted", f"{figures.votes:,} of a budget of {figures.human_budget:,}"),
        ("Nobody was asked any more", figures.enough) if figures.enough else None,
        ("Skipped or expired", words.count(figures.unanswered)) if figures.unanswered else None,
        ("Questions whose answers are set aside", words.count(figures.set_aside)) if figures.set_aside else None,
        ("Votes that came too late", words.count(figures.late_votes)) if figures.late_votes else None,
        ("People's time, assumed", _human_time(figures)) if figures.human_time.minutes is not None else None,
        ("Labels people overruled", words.count(figures.overruled_count)),
        ("Labels the model flipped", _flips(figures)) if figures.flips else None,
        ("People against the truth", words.of(figures.human_accuracy)) if figures.human_accuracy else None,
    ]
    return element(
        "section",
        element("h2", "What was asked of people, and what it bought"),
        element("p", f"Method {figures.config['method']}: {how}.") if how else None,
        facts(rows),
        _batches(figures),
        _evaluation(figures),
        _methods(figures),
    )


def _generated(figures: Figures) -> str:
    made = figures.generated
    assert made is not None
    why = ", ".join(f"{reason} {count:,}" for reason, count in made.dropped.items())
    pairs = words.count(made.candidates, "candidate pair")
    return f"{made.answers:,} to {words.count(made.prompts, 'prompt')}; dropped: {why or 'none'}; {pairs}"


def _selected(figures: Figures) -> str:
    chosen = figures.selection
    assert chosen is not None
    why = ", ".join(f"{count:,} ({reason})" for reason, count in chosen.left_out.items())
    return f"{figures.pairs:,} of {chosen.came:,}, by {chosen.strategy}; left out: {why or 'none'}"


def _judge(config: Mapping[str, str]) -> str:
    return named(config["kind"], config["name"])


def _simulation(figures: Figures) -> Markup | None:
    if not figures.simulation:
        return None
    why = " and ".join(figures.simulation)
    says = f"{why[0].upper()}{why[1:]}. The figures say how the method fares in it, not what your judge and people would do."
    return element("div", element("p", element("strong", "This is a simulation. "), says), class_="simulation")


def _alarm(says: str, picture: str = "") -> Markup:
    """An annotator who deviates, or what was steady until then; its shares drawn, a bar for each shard or round."""
    drawn = [" ", element("code", picture)] if picture else []
    return element("p", element("strong", "Alarm. "), says, *drawn, class_="simulation")


def _numbers(figures: Figures) -> Markup:
    flipped = figures.flips.count if figures.flips else 0
    cached = f", {figures.usage.cached_calls:,} more cached" if figures.usage.cached_calls else ""
    calls = (words.count(figures.usage.calls, "call") if figures.usage.calls else "no call to an LLM") + cached
    changed = f"{figures.overruled_count:,} by people, {flipped:,} by the model"
    numbers = [
        ("Answered by people", words.percent(figures.human_share), f"of {words.count(figures.pairs, 'pair')}"),
        ("Labels right", *_labels_right(figures)),
        ("Labels changed", words.count(figures.overruled_count + flipped), changed),
        ("Paid for judging", words.dollars(figures.usage.dollars), calls),
    ]
    return element(
        "dl",
        *(
            element("div", element("dt", name), element("dd", value), element("dd", more))
            for name, value, more in numbers
        ),
        class_="numbers",
    )


def _labels_right(figures: Figures) -> tuple[str, str]:
    """The number, and what it stands on: without truth it is never more than an estimate."""
    measured, made = figures.label_accuracy, figures.certificate
    if measured.final is not None:
        return words.percent(measured.final), f"measured; the judge alone {words.percent(measured.start)}"
    if measured.rows:
        return words.UNKNOWN, "no pair has a label"
    if made is None:
        return words.UNKNOWN, "not known"
    ends = "no interval"
    if made.low is not None and made.high is not None:
        ends = f"95 % interval {words.interval(1 - made.high, 1 - made.low)}"
    return f"≈{words.NARROW}{words.percent(made.accuracy, 0)}", f"estimated; {ends}"


def _human_time(figures: Figures) -> str:
    minutes, median = figures.human_time.minutes or 0.0, words.duration(figures.human_time.median_seconds)
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
        for name, method in sorted(figures.methods.items(), key=lambda named: -(named[1].label_accuracy or 0))
    ]
    heading = element("h3", "Beside other methods, on the same input")
    picture = curves.methods_picture(figures)
    made = table(["Method", "Human labels", "Labels right"], rows, "Methods")
    ends = [name for name, method in figures.methods.items() if method.human_labels and len(method.curve) == 1]
    note = f"{' and '.join(ends)}: a point without a line, because it labels only at its end what people did not."
    return joined(heading, picture, made, element("p", note, class_="note") if picture is not None and ends else None)


def _batches(figures: Figures) -> Markup | None:
    """Round by round: what was asked, and how the labels stood afterwards."""
    if not figures.bought:
        return None
    truth = any(batch.accuracy_after is not None for batch in figures.bought)
    # With one vote a question, votes are answers: a column less for the phone.
    several = figures.votes != figures.human_labels
    head = ["Round", "Asked", "Answered", *(["Votes"] if several else []), "Overruled", "Flipped after"]
    rows = [
        [
            "Pilot" if batch.round == 0 else f"{batch.round}",
            words.count(batch.asked),
            words.count(batch.answered),
            *([words.count(batch.votes)] if several else []),
            words.count(batch.overruled),
            words.count(batch.flipped),
            *(_gained(batch) if truth else []),
        ]
        for batch in figures.bought
    ]
    made = table([*head, "Right after", "Gain, points"] if truth else head, rows, "What each round bought")
    says = "Overruled: the judge's labels that people changed. Flipped: those that the model, having learned from them, changes."
    if truth and any(batch.accuracy_after is None for batch in figures.bought):
        says += (
            " No labels are on record where the share of right ones is missing: the method makes them only at its end."
        )
    return joined(element("h3", "Round by round"), made, element("p", says, class_="note"))


def _gained(batch: Bought) -> list[str]:
    before, after = batch.accuracy_before, batch.accuracy_after
    gain = words.signed(100 * (after - before), 1) if before is not None and after is not None else words.UNKNOWN
    return [words.percent(after), gain]
