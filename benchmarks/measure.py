"""What the benchmarks share: interleaved repeats, medians with their spread, and where and when it was measured."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def parser_of(usage: str | None, quick: str) -> argparse.ArgumentParser:
    """The options that every benchmark has; `quick` says what its quick form leaves out. See `asked_of`."""
    parser = argparse.ArgumentParser(description=usage, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="the data pack; default CONCORD_DATA, else ../shared/data"
    )
    parser.add_argument("--quick", action="store_true", help=quick)
    where = "the figures with date, commit and machine: to FILE, or as all that goes to standard output"
    parser.add_argument("--json", nargs="?", const="-", metavar="FILE", help=where)
    return parser


def asked_of(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """What the command line says, carried out as far as it is the same for all."""
    asked = parser.parse_args()
    if asked.data:
        # In the environment, for the processes that a benchmark starts read it too.
        os.environ["CONCORD_DATA"] = str(asked.data.resolve())
    if asked.json == "-":
        sys.stdout = sys.stderr
    return asked


def seconds(action: Callable[[], object]) -> float:
    """How long `action` took on the wall clock."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def interleaved(measures: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Each measure once in every round, in turning order: what else the machine does then hits all of them alike."""
    names = list(measures)
    found: dict[str, list[float]] = {name: [] for name in names}
    for round_ in range(repeats):
        shift = round_ % len(names)
        for name in names[shift:] + names[:shift]:
            found[name].append(measures[name]())
    return found


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, lowest, highest and how many."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values), "repeats": len(values)}


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """Ours divided by theirs, round by round: a slow moment of the machine slows both of a round."""
    return spread([own / other for own, other in zip(ours, theirs, strict=True)])


def circumstances(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Date, commit, machine and settings, to stand beside every figure."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "command": " ".join(["python", "-m", *_module(), *map(_shown, sys.argv[1:])]),
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "load_before": os.getloadavg()[0],
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "settings": dict(settings),
    }


def show(title: str, rows: Mapping[str, Mapping[str, Any]], unit: str) -> None:
    """A small table on standard output: median and (lowest – highest)."""
    print(f"\n{title}")
    for name, row in rows.items():
        digits = 0 if row["median"] >= 100 else 2
        low, high = f"{row['low']:,.{digits}f}", f"{row['high']:,.{digits}f}"
        print(f"  {name:44} {row['median']:>12,.{digits}f} {unit}   ({low} – {high}, {row['repeats']} repeats)")


def write(path: str, figures: Mapping[str, Any]) -> None:
    """The figures as JSON, to a file or with `-` to standard output."""
    text = json.dumps(figures, indent=2, default=str)
    if path == "-":
        print(text, file=sys.__stdout__)
    else:
        with open(path, "w") as file:
            file.write(text + "\n")


def _shown(argument: str) -> str:
    """A path without what is only so on this machine."""
    return os.path.relpath(argument) if os.path.isabs(argument) else argument


def _module() -> list[str]:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return [spec.name] if spec else [os.path.basename(sys.argv[0])]


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, cwd=os.path.dirname(__file__)
    )
    return done.stdout.strip() or "unknown"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"
