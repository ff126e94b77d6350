"""Alarms for what somebody manipulates, or what breaks: how often each finds what was planted, and how often it cries wolf.

    python -m benchmarks.manipulation [--quick] [--seeds N] [--json [FILE]]

Simulations: runs that drift (`drifting_runs.py`), labels flipped by a trigger or a topic (`poisoned_labels.py`), people who copy
each other (`colluding.py`). Thresholds are chosen on the even seeds (of labels and people on the first six of them), for the most
recall with false alarms in at most 2 of 100 quiet runs; what is told is of the odd seeds, with the thresholds that the code has.
"""

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

from benchmarks import colluding, drifting_runs, poisoned_labels
from benchmarks.measure import asked_of, circumstances, parser_of, write
from concord.report import alarms, alike, marked, round_signals
from concord.report.changepoints import jumps

MOST_FALSE = 0.02
EVIDENCES = (5.0, 7.0, 9.0, 11.0, 14.0)
STEPS, FALSE_ALARMS = (0.2, 0.3, 0.4, 0.5), (0.03, 0.01, 0.001)
SLACKS = (0.2, 0.35, 0.5)


def share(found: Iterable[bool]) -> float:
    told = list(found)
    return sum(told) / len(told)


def best(grid: dict[Any, tuple[float, float]]) -> Any:
    """The setting with the most recall of those with few false alarms; the fewest false alarms where none has."""
    few = {setting: recall for setting, (recall, false) in grid.items() if false <= MOST_FALSE}
    return max(few, key=lambda one: (few[one], -grid[one][1])) if few else min(grid, key=lambda one: grid[one][1])


def drift(seeds: Sequence[int]) -> dict[str, Any]:
    """Recall by fault, strong and mild; an alarm of any kind counts. False alarms: in quiet runs."""

    def fires(seed: int, state: drifting_runs.State) -> bool:
        return bool(alarms.alarms(drifting_runs.facts(seed, state), drifting_runs.CONFIG))

    faults = {
        name: {"strong": share(fires(s, strong) for s in seeds), "mild": share(fires(s, mild) for s in seeds)}
        for name, (strong, mild) in drifting_runs.FAULTS.items()
    }
    return {"faults": faults, "false_alarms": share(fires(s, drifting_runs.QUIET) for s in seeds), "runs": len(seeds)}


def tuned_drift(seeds: Sequence[int]) -> float:
    """Evidence that a jump between rounds needs."""
    people = [one for name, pair in drifting_runs.FAULTS.items() if name.startswith("people") for one in pair]

    def signals(seed: int, state: drifting_runs.State) -> list[Any]:
        return list(round_signals.rounds_of(drifting_runs.facts(seed, state)).signals)

    quiet = [signals(seed, drifting_runs.QUIET) for seed in seeds]
    broken = [signals(seed, state) for seed in seeds for state in people]

    def fires(found: list[Any], evidence: float) -> bool:
        rises = [(alarms.WATCHED[one.name], jump) for one in found for jump in jumps(one, evidence)]
        return any(how.rises if jump.after > jump.before else how.falls for how, jump in rises)

    grid = {e: (share(fires(one, e) for one in broken), share(fires(one, e) for one in quiet)) for e in EVIDENCES}
    return float(best(grid))


def poison(name: str, seeds: Sequence[int]) -> dict[str, Any]:
    """By poison: how often the planted mark is named, and how often another one."""
    rows = {}
    for kind, what in poisoned_labels.POISONS.items():
        runs = [poisoned_labels.planted(poisoned_labels.CORPORA[name](), what, seed) for seed in seeds]
        found = [(run.mark, {one.mark for one in poisoned_labels.named(run)}) for run in runs]
        named = share(mark in said for mark, said in found) if what.trigger or what.word[1] else None
        rows[kind] = {"named": named, "others": share(bool(said - {mark}) for mark, said in found)}
    return {"poisons": rows, "runs": len(seeds)}


def tuned_poison(name: str, seeds: Sequence[int]) -> tuple[float, float]:
    """Step and P(false alarm)."""
    corpus = poisoned_labels.CORPORA[name]()
    runs = [
        (bool(p.trigger or p.word[1]), poisoned_labels.planted(corpus, p, s))
        for s in seeds
        for p in poisoned_labels.POISONS.values()
    ]
    grid = {}
    for setting in product(STEPS, FALSE_ALARMS):
        found = [
            (is_planted, run.mark, {one.mark for one in poisoned_labels.named(run, *setting)})
            for is_planted, run in runs
        ]
        recall = share(mark in said for is_planted, mark, said in found if is_planted)
        grid[setting] = recall, share(bool(said) for is_planted, _, said in found if not is_planted)
    step, false_alarm = best(grid)
    return float(step), float(false_alarm)


def people(seeds: Sequence[int]) -> dict[str, Any]:
    """By crew: how often the two who collude are named, and others."""
    told: dict[str, Any] = {}
    for kind, crew in (colluding.HONEST | colluding.COLLUDING).items():
        found = [colluding.named(crew, seed) for seed in seeds]
        told[kind] = {"two": share(two for two, _ in found), "others": share(others for _, others in found)}
    return {"crews": told, "runs": len(seeds)}


def tuned_people(seeds: Sequence[int]) -> tuple[float, float]:
    """Slack and P(false alarm)."""
    grid = {}
    for setting in product(SLACKS, FALSE_ALARMS):
        honest = share(any(colluding.named(crew, s, *setting)) for crew in colluding.HONEST.values() for s in seeds)
        recall = share(colluding.named(crew, s, *setting)[0] for crew in colluding.COLLUDING.values() for s in seeds)
        grid[setting] = recall, honest
    slack, false_alarm = best(grid)
    return float(slack), float(false_alarm)


def table(heading: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    print(f"\n| {' | '.join(heading)} |\n|{'---|' * len(heading)}")
    for row in rows:
        print(f"| {' | '.join(map(_cell, row))} |")


def _cell(one: Any) -> str:
    return f"{one:.0%}" if isinstance(one, float) else str(one if one is not None else "")


def told(found: dict[str, Any]) -> None:
    drifting = found["drift"]
    table(
        ["drift", "found, strong", "found, mild"],
        [(name, row["strong"], row["mild"]) for name, row in drifting["faults"].items()],
    )
    print(f"quiet runs with an alarm: {drifting['false_alarms']:.1%} of {drifting['runs']}")
    for name, part in found["poison"].items():
        rows = [(kind, row["named"], row["others"]) for kind, row in part["poisons"].items()]
        table([f"labels, {name}", "the mark is named", "another is"], rows)
    table(
        ["people", "the two are named", "others are"],
        [(k, r["two"], r["others"]) for k, r in found["people"]["crews"].items()],
    )
    print("chosen on the even seeds:", found["chosen"], "· the code has:", found["has"])


def main() -> None:
    parser = parser_of(__doc__, "two seeds each, made-up texts alone, nothing chosen; ten seconds; needs no data")
    parser.add_argument("--seeds", type=int, default=40)
    asked = asked_of(parser)
    even, odd = ([], [1, 3]) if asked.quick else (range(0, asked.seeds, 2), range(1, asked.seeds, 2))
    corpora = ["made up"] if asked.quick else list(poisoned_labels.CORPORA)
    chosen = (
        {"drift": tuned_drift(even), "poison": tuned_poison("HH", even[:6]), "people": tuned_people(even[:6])}
        if even
        else {}
    )
    has = {
        "drift": alarms.ROUNDS,
        "poison": (marked.STEP, marked.FALSE_ALARM),
        "people": (alike.SLACK, alike.FALSE_ALARM),
    }
    found = {"drift": drift(odd), "poison": {name: poison(name, odd) for name in corpora}, "people": people(odd)}
    told(found | {"chosen": chosen, "has": has})
    if asked.json:
        write(str(asked.json), circumstances({"seeds": len(odd)}) | found | {"chosen": chosen, "has": has})


if __name__ == "__main__":
    main()
