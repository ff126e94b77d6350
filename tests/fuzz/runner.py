"""Tries targets on inputs, one seed each, and says which of them failed."""

import importlib
import json
import pkgutil
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

HERE = Path(__file__).parent
FOUND = HERE / "found.json"
NO_TARGETS = ("runner", "__main__")
# An input that takes a processor so long, or stands still for so long, hangs whoever gives it: on a busy machine a sound one may
# wait for its turn for minutes.
PATIENCE_S, STILL_S = 20.0, 300.0
# Targets take turns, so that a slow one does not keep the others from theirs.
TURN_S = 2.0
# So many failures of one kind are looked at; more of it would say the same.
MOST_ALIKE = 3

Target = Callable[[random.Random], None]


@dataclass(frozen=True)
class Failure:
    """An input that a target failed on: its seed, what was raised and where, and the trace."""

    target: str
    seed: int
    kind: str
    trace: str


def targets() -> dict[str, Target]:
    """Every target by its name; a module without `one` is what targets share."""
    names = sorted(module.name for module in pkgutil.iter_modules([str(HERE)]) if module.name not in NO_TARGETS)
    modules = {name: importlib.import_module(f"tests.fuzz.{name}") for name in names}
    return {name: module.one for name, module in modules.items() if hasattr(module, "one")}


def tried(name: str, one: Target, seed: int) -> Failure | None:
    """The failure on the input of this seed, if it is one; an input that hangs is one as well."""
    # What a target's module needs once, such as services, is no input's to wait for.
    getattr(sys.modules[one.__module__], "prepare", lambda: None)()
    try:
        with _within(PATIENCE_S, STILL_S):
            one(random.Random(seed))
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        kind = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
        return Failure(name, seed, kind, traceback.format_exc())
    return None


@contextmanager
def _within(used_s: float, passed_s: float) -> Iterator[None]:
    """Raises TimeoutError inside once this process has used a processor for so long, or so much time has passed; only the main
    thread can be told so."""
    began, used = time.monotonic(), time.process_time()

    def look(number: int, frame: FrameType | None) -> None:
        if time.process_time() - used >= used_s or time.monotonic() - began >= passed_s:
            raise TimeoutError(f"this input takes more than {used_s:.0f} s of a processor, or {passed_s:.0f} s in all")

    before = signal.signal(signal.SIGALRM, look)
    every = min(used_s, passed_s) / 4
    signal.setitimer(signal.ITIMER_REAL, every, every)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass
class Account:
    """What became of one target's inputs."""

    tried: int = 0
    seconds: float = 0.0
    # Of a processor, which other work on the machine does not lengthen.
    processor_s: float = 0.0
    failures: tuple[Failure, ...] = ()

    def add(self, failure: Failure | None) -> bool:
        """Counts an input; whether it failed in a way that was not seen often enough yet."""
        self.tried += 1
        if failure is None or sum(seen.kind == failure.kind for seen in self.failures) >= MOST_ALIKE:
            return False
        self.failures += (failure,)
        return True


def run(
    chosen: Mapping[str, Target], minutes: float, count: int | None, seed: int, say: Callable[[str], object]
) -> dict[str, Account]:
    """Tries the targets in turn for so many minutes, or `count` inputs each where that is given; seeds count up from `seed`."""
    accounts = {name: Account() for name in chosen}
    end = time.monotonic() + minutes * 60
    open_ = list(chosen)
    while open_ and (count is not None or time.monotonic() < end):
        for name in list(open_):
            account, began, used = accounts[name], time.monotonic(), time.process_time()
            while time.monotonic() - began < TURN_S and (count is None or account.tried < count):
                failure = tried(name, chosen[name], seed + account.tried)
                if account.add(failure) and failure:
                    say(f"{name}, seed {failure.seed}: {failure.kind}\n{failure.trace}")
            account.seconds += time.monotonic() - began
            account.processor_s += time.process_time() - used
            if count is not None and account.tried >= count:
                open_.remove(name)
    return accounts


def known(path: Path = FOUND) -> dict[str, list[int]]:
    """Target → seeds on which it failed once."""
    return json.loads(path.read_text()) if path.exists() else {}


def keep(failures: Iterable[Failure], path: Path = FOUND) -> None:
    """Writes the seeds of these failures beside those that are known."""
    seeds = known(path)
    for failure in failures:
        seeds[failure.target] = sorted({*seeds.get(failure.target, []), failure.seed})
    path.write_text(json.dumps(dict(sorted(seeds.items())), indent=1) + "\n")


def write_down(accounts: Mapping[str, Account], seed: int, circumstances: Mapping[str, object], path: Path) -> None:
    """Adds one run's figures to those that stand in the file: {"inputs": of all runs, "runs": [each]}."""
    runs = json.loads(path.read_text())["runs"] if path.exists() else []
    tried = {
        name: {
            "inputs": one.tried,
            "seconds": round(one.seconds, 1),
            "processor_s": round(one.processor_s, 1),
            "failures": len(one.failures),
        }
        for name, one in accounts.items()
    }
    runs.append({**circumstances, "first_seed": seed, "targets": tried})
    inputs = sum(target["inputs"] for one in runs for target in one["targets"].values())
    path.write_text(json.dumps({"inputs": inputs, "runs": runs}, indent=1) + "\n")


def lines(accounts: Mapping[str, Account]) -> Sequence[str]:
    """What was tried, a line for each target and one for all."""
    rows = [
        f"{name:12} {account.tried:>9,} inputs  {account.seconds:7.1f} s  {len(account.failures):>3} failures"
        for name, account in accounts.items()
    ]
    return [*rows, f"{'together':12} {sum(account.tried for account in accounts.values()):>9,} inputs"]
