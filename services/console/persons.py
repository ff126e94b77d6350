"""What a run's facts say of those who annotate: how much, how fast, how far they agree with each other. Pure."""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from concord.preference.votes import by_person
from concord.report.annotator_agreement import krippendorff
from concord.v1.events_pb2 import AnnotationSubmitted, Deviation, Event, TaskResolved
from concord.v1.pairs_pb2 import Choice, View


@dataclass(frozen=True)
class Person:
    """One annotator in one run."""

    name: str
    answers: int
    skips: int
    taken_back: int
    # Of the answers; None where there is none.
    ties: float | None
    median_s: float | None
    total_s: float
    # Of the answers that were given with what both say faded.
    differences: float | None
    # Share of this one's votes that another vote on the same question says as well, and how many there are to compare.
    agree: float | None
    compared: int
    # Questions that two or more had answered the same before, and how many of them this one answered so too.
    gold: int = 0
    gold_right: int = 0
    # Why it was skipped → how often, the most frequent first.
    reasons: tuple[tuple[str, int], ...] = ()
    # In words, where this one deviates from the others.
    alarm: str = ""


@dataclass(frozen=True)
class Agreement:
    """How far people agree: over all, and round by round; alpha is None where nothing is to be told."""

    alpha: float | None
    questions: int
    rounds: tuple[tuple[int, int, float | None], ...]  # (round, questions with two votes or more, alpha)


def persons(events: Sequence[Event], deviations: Iterable[Deviation] = (), words=str) -> list[Person]:
    """Everybody who said anything, in the order of their names. `words` tells a deviation."""
    given: defaultdict[str, dict[str, AnnotationSubmitted]] = defaultdict(dict)
    skips: defaultdict[str, Counter[str]] = defaultdict(Counter)
    back: defaultdict[str, int] = defaultdict(int)
    for event in events:
        match event.WhichOneof("kind"):
            case "annotation_submitted":
                said = event.annotation_submitted
                given[said.annotator][_question(event)] = said
            case "task_skipped":
                skips[event.task_skipped.annotator][event.task_skipped.reason.partition(":")[0]] += 1
            case "annotation_withdrawn":
                back[event.annotation_withdrawn.annotator] += 1
                given[event.annotation_withdrawn.annotator].pop(_question(event), None)
    same = _same(event.task_resolved for event in events if event.HasField("task_resolved"))
    settled = {_question(event): event.task_resolved.choice for event in events if event.HasField("task_resolved")}
    alarms = {one.annotator: words(one) for one in deviations}
    names = sorted({*given, *skips, *back})
    return [
        _person(name, given[name], settled, skips[name], back[name], same[name], alarms.get(name, "")) for name in names
    ]


def agreement(events: Sequence[Event]) -> Agreement:
    """Krippendorff's alpha of all questions with two votes or more, and of each round's."""
    by_round: defaultdict[int, list[list[int]]] = defaultdict(list)
    for event in events:
        said = [choice for _, choice in by_person(event.task_resolved)] if event.HasField("task_resolved") else []
        if len(said) > 1:
            by_round[event.unit.round].append(list(said))
    all_ = [votes for round_ in by_round.values() for votes in round_]
    rounds = tuple((number, len(votes), krippendorff(votes)) for number, votes in sorted(by_round.items()))
    return Agreement(krippendorff(all_), len(all_), rounds)


def named(found: Sequence[Person], name_of: Callable[[str], str]) -> list[Person]:
    """The same by their names, as far as these are known."""
    names = [name_of(one.name) for one in found]
    return [
        replace(one, name=name, alarm=one.alarm.replace(one.name, name)) for one, name in zip(found, names, strict=True)
    ]


def table(found: Sequence[Person]) -> str:
    """What each did and how long it took, as CSV, for pay and pace."""
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(["annotator", "answers", "skips", "taken_back", "seconds", "median_seconds"])
    for one in found:
        median = "" if one.median_s is None else f"{one.median_s:.1f}"
        rows.writerow([_cell(one.name), one.answers, one.skips, one.taken_back, f"{one.total_s:.0f}", median])
    return out.getvalue()


def _cell(text: str) -> str:
    """A name that a spreadsheet would take for a formula, as a text."""
    return f"'{text}" if text[:1] in "=+-@\t\r" else text


def _question(event: Event) -> str:
    return f"{event.unit.stage}/{event.unit.round}/{event.unit.number}"


def _same(resolved: Iterable[TaskResolved]) -> defaultdict[str, list[bool]]:
    """Of each person: whether each other vote on the same question says the same."""
    found: defaultdict[str, list[bool]] = defaultdict(list)
    for task in resolved:
        said = by_person(task)
        for at, (who, choice) in enumerate(said):
            found[who] += [choice == other for there, (_, other) in enumerate(said) if there != at]
    return found


def _person(
    name: str,
    answers: Mapping[str, AnnotationSubmitted],
    settled: Mapping[str, int],
    skips: Counter[str],
    back: int,
    same: Sequence[bool],
    alarm: str,
) -> Person:
    given = list(answers.values())
    seconds = [one.seconds for one in given if one.seconds > 0]
    gold = [said.choice == settled[question] for question, said in answers.items() if said.gold and question in settled]
    return Person(
        name,
        len(given),
        skips.total(),
        back,
        _share([one.choice == Choice.CHOICE_TIE for one in given]),
        median(seconds) if seconds else None,
        sum(seconds),
        _share([one.view == View.VIEW_DIFFERENCES for one in given if one.view]),
        _share(same),
        len(same),
        len(gold),
        sum(gold),
        tuple(skips.most_common()),
        alarm,
    )


def _share(said: Sequence[bool]) -> float | None:
    return sum(said) / len(said) if said else None
