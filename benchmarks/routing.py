"""Which prompts does the router call checkable, and is it right to? On the pack's half that nobody looked at, and on 300 prompts.

    python -m benchmarks.routing [--data DIR] [--quick] [--json [FILE]]

The 300 prompts (`routing_prompts.jsonl`) were written before there was a router. Of the pack, prompts whose hash is even were
looked at while its rules were written, and the others are reported. A prompt of a source without right answers counts as open,
also where it does ask for JSON. Intervals are 95 %, by the bootstrap over prompts.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import pack
from benchmarks.measure import asked_of, circumstances, parser_of, write
from concord.checks.finding import Kind, Reference
from concord.checks.router import Route, route

PROMPTS = Path(__file__).with_name("routing_prompts.jsonl")
OPEN, SAFETY = "open", "safety"
# What the router's kinds are called in the prompts' classes.
CLASSES = {
    Kind.NUMBER: "number",
    Kind.SYMBOLIC: "number",
    Kind.CHOICE: "choice",
    Kind.SHORT_ANSWER: "short",
    Kind.LIST: "list",
    Kind.JSON: "json",
    Kind.CONSTRAINTS: "constraint",
    Kind.UNKNOWN: OPEN,
}
_GOLD = {"numeric": "number", "short-answer": "short", "choice": "choice"}
_RESAMPLES, _SEED = 2_000, 0


@dataclass(frozen=True)
class Prompt:
    """A prompt with what is known of it."""

    source: str
    truth: str  # a class
    text: str
    answers: tuple[str, ...] = ()
    kind: str = ""  # "list" where the row brings its right answer as one
    name: str = ""
    twin: str = ""  # prompts with the same word here differ in nothing but whether they ask for harm

    @property
    def is_checkable(self) -> bool:
        """Whether a rule could say right or wrong: what it needs is there."""
        return self.truth in ("json", "constraint") or (self.truth not in (OPEN, SAFETY) and bool(self.answers))


def prompts() -> list[Prompt]:
    """The 300."""
    made = []
    for line in PROMPTS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        held = row.get("reference", [])
        answers, kind = (tuple(held), "list" if held else "") if isinstance(held, list) else ((held,), "")
        made.append(Prompt("300 prompts", row["class"], row["prompt"], answers, kind, row["id"], row.get("twin", "")))
    return made


def of_the_pack() -> Iterator[Prompt]:
    """All prompts of the pack, each once."""
    seen = set()
    for prompt in _packed():
        if prompt.text not in seen:
            seen.add(prompt.text)
            yield prompt


def _packed() -> Iterator[Prompt]:
    for row in pack.rows("verifiable"):
        gold, text = row["gold"], row["prompt"][-1]["content"]
        answers = gold["answer"].split("/") if gold["kind"] == "short-answer" else [str(gold["answer"])]
        source = row["source"] if row["source"].startswith("evouna") else row["source"].split("/")[0]
        yield Prompt(source, _GOLD[gold["kind"]], text, tuple(one.strip() for one in answers if one.strip()))
    for row in pack.rows("redteam"):
        truth = SAFETY if row["gold"].get("harmful", True) else OPEN
        yield Prompt(row["source"], truth, row["prompt"][-1]["content"])
    for name in ("judged_pairs", "multi_response", "hh_test"):
        for row in pack.rows(name):
            yield Prompt(row["source"], OPEN, row["prompt"][-1]["content"])


def is_reported(text: str) -> bool:
    """Whether a prompt of the pack is on the half that is reported."""
    return hashlib.sha256(text.encode()).digest()[0] % 2 == 1


def class_of(way: Route) -> str:
    """The class that the router means."""
    return SAFETY if way.harmful else CLASSES[way.kind]


def routed(given: Sequence[Prompt], with_answers: bool = True) -> list[Route]:
    """The router's word on each; without answers by the prompt alone."""
    return [
        route(one.text, Reference(answers=one.answers), one.kind) if one.answers and with_answers else route(one.text)
        for one in given
    ]


def figures(given: Sequence[Prompt], ways: Sequence[Route]) -> dict[str, Any]:
    """Precision and share of "checkable", and accuracy class by class."""
    said = np.array([way.checkable for way in ways])
    could = np.array([one.is_checkable for one in given])
    truly = np.array([one.truth not in (OPEN, SAFETY) for one in given])
    same = np.array([class_of(way) == one.truth for way, one in zip(ways, given, strict=True)])
    by_class = {
        name: _share(same[at]) for name in sorted({one.truth for one in given}) if len(at := _of(given, name)) > 0
    }
    return {
        "prompts": len(given),
        "precision_of_checkable": _share(truly[said]),
        "share_of_prompts": _share(said),
        "share_of_checkable": _share(said[could]),
        "class_accuracy": by_class,
        "class_accuracy_mean": float(np.mean([cell["share"] for cell in by_class.values()])),
        "wrongly_checkable": [
            one.name or f"{one.source}: {one.text[-80:]!r}"
            for one, way in zip(given, ways, strict=True)
            if way.checkable and one.truth in (OPEN, SAFETY)
        ][:20],
    }


def twins(given: Sequence[Prompt], ways: Sequence[Route]) -> dict[str, int]:
    """Of how many twins the router tells which asks for harm."""
    held: dict[str, list[bool]] = defaultdict(list)
    for one, way in zip(given, ways, strict=True):
        if one.twin:
            held[one.twin].append(way.harmful == (one.truth == SAFETY))
    return {"pairs": len(held), "told_apart": sum(map(all, held.values()))}


def confusion(given: Sequence[Prompt], ways: Sequence[Route]) -> Mapping[str, Mapping[str, int]]:
    """Class → what the router says → how often."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for one, way in zip(given, ways, strict=True):
        counts[one.truth][class_of(way)] += 1
    return {truth: dict(said.most_common()) for truth, said in sorted(counts.items())}


def measured(quick: bool) -> dict[str, Any]:
    """All figures; `quick`: on the 300 prompts alone."""
    own = prompts()
    ways, alone = routed(own), routed(own, with_answers=False)
    out: dict[str, Any] = {
        "300 prompts": figures(own, ways) | {"twins": twins(own, ways), "confusion": confusion(own, ways)},
        "300 prompts, without their answers": figures([_bare(one) for one in own], alone),
    }
    if not quick:
        reported = [one for one in of_the_pack() if is_reported(one.text)]
        said = routed(reported)
        out["pack"] = figures(reported, said) | {"confusion": confusion(reported, said)}
        out["pack, by source"] = _by_source(reported, said)
        out["pack, without answers"] = figures([_bare(one) for one in reported], routed(reported, with_answers=False))
    return out


def _bare(one: Prompt) -> Prompt:
    return Prompt(one.source, one.truth, one.text, name=one.name, twin=one.twin)


def _by_source(given: Sequence[Prompt], ways: Sequence[Route]) -> dict[str, Any]:
    kept = ("prompts", "precision_of_checkable", "share_of_prompts", "class_accuracy_mean")
    out = {}
    for source in sorted({one.source for one in given}):
        at = [place for place, one in enumerate(given) if one.source == source]
        found = figures([given[place] for place in at], [ways[place] for place in at])
        out[source] = {name: found[name] for name in kept}
    return out


def _of(given: Sequence[Prompt], truth: str) -> np.ndarray:
    return np.array([at for at, one in enumerate(given) if one.truth == truth], np.int64)


def _share(hits: np.ndarray) -> dict[str, Any]:
    """The share with its interval; None where there is nothing to count."""
    if not len(hits):
        return {"share": None, "low": None, "high": None, "of": 0}
    drawn = np.random.default_rng(_SEED).binomial(len(hits), hits.mean(), _RESAMPLES) / len(hits)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"share": float(hits.mean()), "low": float(low), "high": float(high), "of": len(hits)}


def _shown(cell: Mapping[str, Any]) -> str:
    if cell["share"] is None:
        return "–"
    return f"{cell['share']:.3f} ({cell['low']:.3f}–{cell['high']:.3f}, {cell['of']:,})"


def show(found: Mapping[str, Any], say: Callable[[str], object] = print) -> None:
    """The figures in words."""
    for name, held in found.items():
        if "precision_of_checkable" not in held:
            continue
        say(f"\n{name}: {held['prompts']:,} prompts")
        for key in ("precision_of_checkable", "share_of_prompts", "share_of_checkable"):
            say(f"  {key.replace('_', ' '):26} {_shown(held[key])}")
        say(f"  class accuracy, mean       {held['class_accuracy_mean']:.3f}")
        for truth, cell in held["class_accuracy"].items():
            say(f"    {truth:24} {_shown(cell)}")
        if "twins" in held:
            say(f"  twins told apart: {held['twins']['told_apart']} of {held['twins']['pairs']}")
        for wrong in held["wrongly_checkable"]:
            say(f"  called checkable, and is not: {wrong}")


def main() -> None:
    """As a command."""
    asked = asked_of(parser_of(__doc__, "the 300 prompts alone"))
    found = measured(asked.quick)
    show(found)
    if asked.json:
        write(asked.json, circumstances({"resamples": _RESAMPLES, "seed": _SEED}) | found)


if __name__ == "__main__":
    main()
