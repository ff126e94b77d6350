"""A reward model on a file of answers that people told apart: `python -m concord.scoring.bench MODEL FILE [--json]`.

FILE is JSON Lines, plain or gzipped, as RewardBench has it: `prompt`, `chosen` and `rejected`, each a text or chat messages,
and `subset` where there are several. `chosen` and `rejected` may be lists of texts too: right is then who puts every chosen
answer above every rejected one, and such rows leave the calibration out. MODEL is a folder or a name on the hub,
which need the extra `torch`, or the address of a server's rewards (`remote.py`). Exit codes: 0 done; 2 the model or the file
cannot be; 75 the server does not answer.
"""

import argparse
import gzip
import json
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from concord.kit.errors import InvalidInput, Unavailable
from concord.reward.encoding import Words
from concord.scoring.accuracy import Calibration, Share, by_subset, calibration, share_of
from concord.scoring.remote import Remote, is_remote

Array = np.ndarray
BAD_INPUT, LATER = 2, 75
EVERYTHING = "all pairs"
MANIFEST = "manifest.json"
USUAL_LENGTH = 1_024


@dataclass(frozen=True)
class Item:
    """One row: answers of which each chosen one is better than each rejected one."""

    subset: str
    prompt: Words
    chosen: tuple[Words, ...]
    rejected: tuple[Words, ...]


def read(path: Path) -> list[Item]:
    """The file's rows. Raises InvalidInput that names file and line."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as lines:  # type: ignore[operator]
            found = list(_items(lines, path))
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise InvalidInput(f"{path} cannot be read ({error}): JSON Lines are expected, plain or gzipped") from None
    if not found:
        raise InvalidInput(f"{path} has no rows")
    return found


def _items(lines: Iterator[str], path: Path) -> Iterator[Item]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield _item(json.loads(line))
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
                raise InvalidInput(
                    f"{path}, line {number}: `prompt`, `chosen` and `rejected` are expected, texts or messages ({error})"
                ) from None


def _item(row: Any) -> Item:
    chosen, rejected = (_answers(row[name]) for name in ("chosen", "rejected"))
    return Item(str(row.get("subset") or EVERYTHING), _messages(row["prompt"], "user"), chosen, rejected)


def _answers(said: Any) -> tuple[Words, ...]:
    """One answer, or those of a list of texts."""
    if isinstance(said, list) and said and all(isinstance(one, str) for one in said):
        return tuple(_messages(one, "assistant") for one in said)
    return (_messages(said, "assistant"),)


def _messages(said: Any, role: str) -> list[dict[str, Any]]:
    """Messages as the models here read conversations, of a text as well."""
    if isinstance(said, str):
        return [{"role": role, "content": said}]
    if not isinstance(said, list) or not said or not all(isinstance(turn["content"], str) for turn in said):
        raise ValueError("neither a text nor messages")
    return [{"role": str(turn["role"]), "content": turn["content"]} for turn in said]


def margins(model: str, items: Sequence[Item], max_length: int) -> Array:
    """The least reward of a chosen answer less the greatest of a rejected one, float [items]. Raises InvalidInput."""
    scorer = Remote(model) if is_remote(model) else _transformer(model, max_length)
    prompts = [one.prompt for one in items for _ in (*one.chosen, *one.rejected)]
    answers = [answer for one in items for answer in (*one.chosen, *one.rejected)]
    rewards, out, at = scorer.rewards(prompts, answers), [], 0
    for one in items:
        middle, end = at + len(one.chosen), at + len(one.chosen) + len(one.rejected)
        out.append(float(rewards[at:middle].min() - rewards[middle:end].max()))
        at = end
    return np.array(out)


def _transformer(model: str, max_length: int) -> Any:
    try:
        from concord.scoring.transformer import Transformer
    except ModuleNotFoundError as error:
        raise InvalidInput(f"{error.name} is not installed: pip install 'concord-preference[torch]'") from None
    return Transformer(model, max_length=max_length)


def length_of(model: str) -> int:
    """Tokens that the model was taught with, by its manifest; the usual number where there is none."""
    path = Path(model) / MANIFEST
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["settings"]["max_length"])
    except (OSError, ValueError, LookupError, TypeError):
        return USUAL_LENGTH


def figures(margin: Array, items: Sequence[Item]) -> dict[str, Any]:
    """What is said of these margins, as JSON has it."""
    subsets = by_subset(margin, [one.subset for one in items])
    plain = np.array([len(one.chosen) == len(one.rejected) == 1 for one in items])
    return {
        "all": asdict(share_of(margin)),
        # RewardBench's own figure: every subset counts alike.
        "mean_of_subsets": float(np.mean([one.right for one in subsets.values()])),
        "subsets": {name: asdict(one) for name, one in subsets.items()},
        "calibration": asdict(calibration(margin[plain])) if plain.any() else None,
    }


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The figures as a table."""
    yield f"{'subset':32} {'pairs':>6} {'right':>7}   {'95 %':15} {'mean margin':>11}"
    every = Share(**found["all"])
    rows = {name: Share(**one) for name, one in found["subsets"].items()}
    for name, one in rows.items():
        yield _line(name, one)
    if list(rows) != [EVERYTHING]:
        yield _line(EVERYTHING, every)
        yield f"{'mean of the subsets':32} {len(rows):6,} {found['mean_of_subsets']:7.1%}"
    if found["calibration"] is not None:
        yield from _calibration(Calibration(**found["calibration"]))


def _line(name: str, one: Share) -> str:
    return f"{name[:32]:32} {one.of:6,} {one.right:7.1%}   {one.low:.1%} to {one.high:6.1%} {one.margin:+11.3f}"


def _calibration(found: Calibration) -> Iterator[str]:
    yield ""
    yield f"{'how sure it is':32} {'pairs':>6} {'right':>7}"
    for one in found.bins:
        bin_ = one if isinstance(one, dict) else asdict(one)
        yield f"{bin_['said']:<32.1%} {bin_['of']:6,} {bin_['right']:7.1%}"
    sure = "too sure of itself" if found.temperature > 1 else "not as sure as it may be"
    yield f"calibration error {found.error:.3f}; log loss {found.log_loss:.3f}, a coin's is {np.log(2):.3f}"
    yield f"with rewards divided by {found.temperature:.2f} it would be {found.log_loss_at_temperature:.3f}: it is {sure}"


def main(arguments: Sequence[str]) -> int:
    """Scores as the arguments say; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--max-length", type=int, default=0, help="tokens; 0: as the model was taught")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    asked = parser.parse_args(arguments)
    try:
        items = read(asked.file)
        found = figures(margins(asked.model, items, asked.max_length or length_of(asked.model)), items)
    except InvalidInput as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except Unavailable as error:
        print(error, file=sys.stderr)
        return LATER
    print(json.dumps(found, indent=2) if asked.json else "\n".join(lines(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
