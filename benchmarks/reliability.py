"""What was tried to break Concord, and what came of it: benchmarks/reliability.md, made of what the other commands measured.

    python -m benchmarks.reliability [--quick] [--json [FILE]]

Reads benchmarks/results: simulation.json (`make simulate`), fuzz.json (`make fuzz`), soak.json (`make soak`), manipulation.json,
injections.json, chaos.json, restore.json, and found.json, the list of faults that these found. What was not measured is said to
be so. --quick: the page on standard output, nothing is written. Measures nothing itself.
"""

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import asked_of, parser_of, write
from concord.kit.plural import many
from concord.preference.rights import MAY_CALL
from tests import contract_requests

HERE = Path(__file__).resolve().parent
PAGE, RESULTS = HERE / "reliability.md", HERE / "results"
# Between two reasons why one run's dataset is not the undisturbed one's.
AND = " and "
WANTED_SEEDS, WANTED_INPUTS = 100_000, 1_000_000
NOT_COVERED = (
    "Real disks that lie about what they have written, and memory that flips bits: the log's and the blobs' hashes show it, and "
    "nobody has made it happen below a running cluster.",
    "Half a row: SQLite and PostgreSQL show none, their journals drop what was torn with all that follows. The simulation loses "
    "whole transactions, the last ones (`tests/simulation/durable.py`).",
    "PostgreSQL, Kafka and S3 themselves: in the simulation they are in memory and keep their promises; `make chaos` kills and "
    "freezes real ones.",
    "Units of work: the simulation's cost nothing and depend on all that they read; what judges, features and trainings compute "
    "is tested elsewhere.",
    "Clocks that are wrong by more than a minute and a half, or for longer than twenty seconds.",
    "More than three replicas of a service, more than three runs at once, more than 250 pairs: in the simulation.",
    "Two real versions at once are tested for two earlier commits (`tests/test_upgrade.py`); the simulation's next version only "
    "has fields, facts and a fold that this one does not know.",
    "Collusion of people who are as good as the rest, and poison on few real texts: see the alarms above.",
)


def figures_of(results: Path) -> dict[str, Any]:
    """All that the page says, from the result files; None where one is missing."""
    read = {name: _read(results / f"{name}.json") for name in ("simulation", "fuzz", "soak", "restore", "chaos")}
    return {
        "simulation": read["simulation"] and _simulated(read["simulation"]),
        "fuzz": read["fuzz"] and _fuzzed(read["fuzz"]),
        "found": _read(results / "found.json") or [],
        "soak": read["soak"],
        "rights": {"roles": len(MAY_CALL), "rpcs": rpcs()},
        "alarms": _read(results / "manipulation.json"),
        "injections": _read(results / "injections.json"),
        "restore": read["restore"],
        "chaos": read["chaos"],
    }


def _read(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else None


def rpcs() -> int:
    """Methods of the contract."""
    services = [one for module in contract_requests.FILES for one in module.DESCRIPTOR.services_by_name.values()]
    return sum(len(service.methods) for service in services)


def _simulated(file: Mapping[str, Any]) -> dict[str, Any]:
    """All runs of the command together."""
    faults, ends = Counter[str](), Counter[str]()
    for one in file["runs"]:
        faults.update(one["faults"])
        for why, count in one["ends"].items():
            ends.update(dict.fromkeys(why.split(AND), count))
    seconds = sum(one["processor_s"] for one in file["runs"])
    return {
        "seeds": file["seeds"],
        "seeds_a_processor_second": round(file["seeds"] / seconds, 1) if seconds else 0.0,
        "failed": sorted({seed for one in file["runs"] for seed in one["failed"]}),
        "mended": _mended(file["runs"]),
        "faults": dict(sorted(faults.items())),
        "ends": dict(ends.most_common()),
        "facts": sum(one["facts"] for one in file["runs"]),
    }


def _mended(runs: Sequence[Mapping[str, Any]]) -> list[int]:
    """The seeds that failed in one run of the command and held in a later one."""
    held = set[int]()
    for one in runs:
        held |= set(range(one["first"], one["first"] + one["seeds"] + len(one["failed"])))
        held -= set(one["failed"])
    return sorted({seed for one in runs for seed in one["failed"]} & held)


def _fuzzed(file: Mapping[str, Any]) -> dict[str, Any]:
    """All runs of the command together, target by target."""
    inputs, seconds, failures = Counter[str](), Counter[str](), Counter[str]()
    for one in file["runs"]:
        for name, target in one["targets"].items():
            inputs[name] += target["inputs"]
            seconds[name] += target["seconds"]
            failures[name] += target["failures"]
    return {
        "inputs": file["inputs"],
        "targets": {
            name: {"inputs": inputs[name], "seconds": round(seconds[name]), "failures": failures[name]}
            for name in sorted(inputs)
        },
    }


def page(figures: Mapping[str, Any]) -> str:
    """The page."""
    parts = [
        "# How reliable it is, and how that is known",
        "Made by `python -m benchmarks.reliability` from `benchmarks/results`; a test holds the two together. Figures are of the "
        "machine and the commit that stand in each file.",
        *_section("Simulated", "make simulate", figures["simulation"], _of_simulation),
        *_section("Fuzzed", "make fuzz", figures["fuzz"], _of_fuzz),
        "## Faults found by these",
        *([_table(("found by", "what was wrong", "kept as"), [tuple(one.values()) for one in figures["found"]])]),
        *_section("Load held", "make soak", figures["soak"], _of_soak),
        "## Rights",
        f"{figures['rights']['roles']} roles × {figures['rights']['rpcs']} RPCs = "
        f"{figures['rights']['roles'] * figures['rights']['rpcs']} cells, each asked of a real server over TLS "
        "(`tests/test_rights.py`); in the simulation each fact is held to the services that may say it.",
        *_section("Alarms", "python -m benchmarks.manipulation", figures["alarms"], _of_alarms),
        *_section("Orders to the judge", "python -m benchmarks.injections", figures["injections"], _of_injections),
        *_section("A real cluster under faults", "make chaos", figures["chaos"], _of_chaos),
        *_section("Restored", "results/restore.json", figures["restore"], _of_restore),
        "## Not covered",
        "\n".join(f"- {one}" for one in NOT_COVERED),
    ]
    return "\n\n".join(parts) + "\n"


def _section(title: str, command: str, figures: Any, told: Any) -> list[str]:
    return [f"## {title}", *(told(figures) if figures else [f"Not measured yet (`{command}`)."])]


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def _of_simulation(said: Mapping[str, Any]) -> list[str]:
    left = "" if said["seeds"] >= WANTED_SEEDS else f" {WANTED_SEEDS:,} were wanted and are not reached."
    failed = _of_failed(said["failed"], said["mended"]) if said["failed"] else "None failed."
    return [
        f"{many(said['seeds'], 'seed')}, {said['seeds_a_processor_second']} in a second of a processor, "
        f"{many(sum(said['faults'].values()), 'fault')}, {said['facts']:,} facts. {failed}{left}",
        _table(("fault", "times"), [(name, f"{count:,}") for name, count in said["faults"].items()]),
        _table(
            ("how the runs ended; one with two reasons counts for both", "runs"),
            [(why, f"{count:,}") for why, count in said["ends"].items()],
        ),
    ]


def _of_failed(failed: Sequence[int], mended: Sequence[int]) -> str:
    still = sorted(set(failed) - set(mended))
    again = (
        f"Still failing: {still}." if still else "Each was simulated again once what it found was mended, and holds."
    )
    return f"{many(len(failed), 'seed')} failed: {list(failed)}. {again}"


def _of_fuzz(said: Mapping[str, Any]) -> list[str]:
    left = "" if said["inputs"] >= WANTED_INPUTS else f"; {WANTED_INPUTS:,} were wanted and are not reached"
    rows = [
        (name, f"{one['inputs']:,}", f"{one['seconds']:,}", one["failures"]) for name, one in said["targets"].items()
    ]
    return [f"{many(said['inputs'], 'input')}{left}.", _table(("target", "inputs", "seconds", "failed"), rows)]


def _of_soak(said: Mapping[str, Any]) -> list[str]:
    asked = said["settings"]
    whole = (asked["minutes"], asked["runs"], asked["annotators"], asked["pairs"]) == (60, 50, 100, 500_000)
    processes = [
        (name, one["early_mb"], one["late_mb"], one["early_descriptors"], one["late_descriptors"])
        for name, one in said["processes"].items()
    ]
    calls = [(name, *(f"{one['p99']:,.0f}" for one in fifths)) for name, fifths in said["calls_ms"].items()]
    size = (
        "The hour that was wanted."
        if whole
        else "**A small one**: an hour with 50 runs, 100 annotators and 500,000 pairs is wanted."
    )
    return [
        f"{size} {'Ended early. ' if said.get('stopped') else ''}{said['minutes']} minutes, "
        f"{many(asked['runs'], 'run')} of {asked['pairs']:,} pairs in all, "
        f"{many(asked['annotators'], 'annotator')}, {many(said['answers'], 'answer')}; the machine's load before was "
        f"{said['machine']['load_before']:.1f} on {many(said['machine']['cores'], 'core')}. Runs: {_counts(said['runs'])}. "
        f"Errors: {_counts(said['errors']) or 'none'}.",
        _table(("promise", "held"), [(name, "yes" if kept else "**no**") for name, kept in said["held"].items()]),
        _table(("process", "MB early", "MB late", "descriptors early", "late"), processes),
        f"Fifths of the time from the first answer on, {said.get('first_answer_s', 0.0):.0f} s after the start.",
        _table(("call, p99 in ms", "1st fifth", "2nd", "3rd", "4th", "5th"), calls),
    ]


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)


def _of_alarms(said: Mapping[str, Any]) -> list[str]:
    drift = [(name, f"{one['strong']:.0%}", f"{one['mild']:.0%}") for name, one in said["drift"]["faults"].items()]
    poison = [
        (texts, name, "–" if one["named"] is None else f"{one['named']:.0%}", f"{one['others']:.0%}")
        for texts, group in said["poison"].items()
        for name, one in group["poisons"].items()
    ]
    crews = [(name, f"{one['two']:.0%}", f"{one['others']:.0%}") for name, one in said["people"]["crews"].items()]
    return [
        f"Of {many(said['drift']['runs'], 'simulated run')} each; false alarms in runs without a fault: "
        f"{said['drift']['false_alarms']:.0%}.",
        _table(("drift", "found where strong", "where mild"), drift),
        _table(("texts", "poison", "named", "others named"), poison),
        _table(("people", "the two named", "others named"), crews),
    ]


def _of_injections(said: Mapping[str, Any]) -> list[str]:
    rows = [
        (name, f"{one['both orders']:.0%}", f"{one['both orders, orders hidden']:.0%}")
        for name, one in said["together"].items()
    ]
    answers = sum(one["answers"] for one in said["false_alarms"].values())
    hidden = sum(one["hidden"] for one in said["false_alarms"].values())
    return [
        f"{said['attacks']} attacks on a stand-in that obeys; of {answers:,} real answers {hidden:,} were touched.",
        _table(("attacks", "labels taken without the defence", "with it"), rows),
    ]


def _of_chaos(said: Mapping[str, Any]) -> list[str]:
    plain = {name: one for name, one in said.items() if isinstance(one, int | float | str) and name not in ("command",)}
    return [_table(("", ""), list(plain.items()))]


def _of_restore(said: Mapping[str, Any]) -> list[str]:
    plain = {name: one for name, one in said.items() if isinstance(one, int | float | str)}
    return [_table(("", ""), list(plain.items()))]


def main() -> int:
    """The exit status."""
    asked = asked_of(parser_of(__doc__, "the page on standard output, nothing is written"))
    figures = figures_of(RESULTS)
    if asked.quick:
        print(page(figures), end="")
    else:
        PAGE.write_text(page(figures))
        print(f"{PAGE.relative_to(HERE.parent)} is written")
    if asked.json:
        write(asked.json, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
