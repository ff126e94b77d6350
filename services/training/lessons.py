"""From the knobs to the tokens that a trainer reads: rows, who is held out, targets, weights, and what was cut or left out."""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from concord.certificate import words
from concord.kit.errors import InvalidInput
from concord.reward.encoding import Asked, Encoded, cut, encoded
from concord.training.examples import Example, Taken, normalised, split, taken, targets
from concord.training.knobs import Run
from concord.training.model_folder import sha256_of

# What the test's draw is told from the validation's by.
TEST = "test"
_CHUNK = 1_000


@dataclass(frozen=True)
class Lesson:
    """One pair as tokens: `prompt` with `chosen` or `rejected` behind it; target P(chosen is better) and weight."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]
    p_chosen: float
    weight: float
    sure: float  # |2 p_chosen - 1| of the row, whatever the target


@dataclass(frozen=True)
class Material:
    """The rows of the spec's data, before any tokenizer."""

    learn: list[Example]
    held: list[Example]  # what chooses the checkpoint
    data_sha256: str
    left_out: Mapping[str, int]
    certificate: str  # in words; empty: none is known
    test: list[Example] = field(default_factory=list)  # neither teaches nor chooses: what the model is measured on


@dataclass
class Lessons:
    """What the trainer learns from and what it is validated on."""

    learn: list[Lesson]
    held: list[Lesson]
    cut: int = 0  # pairs that lost their middle
    left_out: dict[str, int] = field(default_factory=dict)


def material(knobs: Run, test: float = 0.0, prompts: int = 0) -> Material:
    """Reads and checks the data; InvalidInput names the file and line of what cannot be.

    `test`: share of the pairs that neither teaches nor chooses the checkpoint, of at most so many prompts (0: any number); no
    prompt stands in two of the three sets.
    """
    path = Path(knobs.data)
    found: Taken = taken(rows(path), str(path), knobs.people_weight, knobs.harmful)
    rest, apart = split(found.examples, test, len(found.examples), knobs.seed, TEST, prompts)
    learn, held = split(rest, knobs.validation, knobs.validation_most, knobs.seed)
    return Material(learn, held, sha256_of(path), dict(found.left_out), _certificate(knobs.certificate), apart)


def prompts(knobs: Run) -> Material:
    """The different prompts of the data, as examples without answers."""
    path = Path(knobs.data)
    found = [Example(row["prompt"], "", "", 1.0, 1.0) for row in prompt_rows(path)]
    return Material(found, [], sha256_of(path), {}, _certificate(knobs.certificate))


def prompt_rows(path: Path) -> list[Mapping[str, Any]]:
    """The first row of each different prompt. Raises InvalidInput."""
    found: dict[str, Mapping[str, Any]] = {}
    for line, row in rows(path):
        said = row.get("prompt")
        if not said or not isinstance(said, str | list):
            raise InvalidInput(f"{path}, line {line}: `prompt` is expected as a text or a list of messages")
        found.setdefault(json.dumps(said), row)
    if not found:
        raise InvalidInput(f"data: {path} has no rows")
    return list(found.values())


def rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(line, object) of a file of JSON Lines, plain or gzipped. Raises InvalidInput."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as lines:  # type: ignore[operator]
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, _row(line, f"{path}, line {number}")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise InvalidInput(
            f"data: {path} cannot be read ({error}): JSON Lines are expected, plain or gzipped"
        ) from None


def _row(line: str, where: str) -> Mapping[str, Any]:
    try:
        held = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{where} is no JSON ({error}): `concord export` writes such files") from None
    if not isinstance(held, dict):
        raise InvalidInput(f"{where}: an object is expected, one row a line")
    return held


def _certificate(path: str) -> str:
    """What the run's report certifies, in words."""
    if not path:
        return ""
    try:
        made = words.read(json.loads(Path(path).read_text(encoding="utf-8"))["certificate"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InvalidInput(f"certificate: {path} holds none ({error}): the report.json of a run is expected") from None
    return "" if made is None else " ".join(words.sentences(made))


def lessons(held: Material, knobs: Run, tokenizer: Any) -> Lessons:
    """The material as tokens of this tokenizer. Raises InvalidInput where nothing is left to learn from."""
    out = Lessons([], [], left_out=dict(held.left_out))
    out.learn = _lessons(held.learn, knobs, tokenizer, out)
    out.held = _lessons(held.held, knobs, tokenizer, out)
    if not out.learn:
        said = "; ".join(f"{count:,} {reason}" for reason, count in out.left_out.items())
        raise InvalidInput(f"{knobs.data} teaches nothing: {said}; raise max_length, or set too_long to cut")
    return out


def _lessons(examples: Sequence[Example], knobs: Run, tokenizer: Any, account: Lessons) -> list[Lesson]:
    """Weights are made to have the mean 1 over what is left."""
    kept: list[tuple[Example, Encoded]] = []
    for at in range(0, len(examples), _CHUNK):
        some = examples[at : at + _CHUNK]
        asked = [Asked(one.prompt, (one.chosen, one.rejected), one.tools) for one in some]
        for example, tokens in zip(some, encoded(tokenizer, asked), strict=True):
            reason = _unfit(tokens, knobs)
            if reason:
                account.left_out[reason] = account.left_out.get(reason, 0) + 1
                continue
            account.cut += tokens.longest > knobs.max_length
            kept.append((example, cut(tokens, knobs.max_length)))
    weighed = [replace(example, weight=example.weight * targets(example, knobs.labels)[1]) for example, _ in kept]
    return [
        Lesson(
            prompt=tokens.prompt,
            chosen=tokens.answers[0],
            rejected=tokens.answers[1],
            p_chosen=targets(example, knobs.labels)[0],
            weight=example.weight,
            sure=abs(2 * example.p_chosen - 1),
        )
        for example, (_, tokens) in zip(normalised(weighed), kept, strict=True)
    ]


def _unfit(tokens: Encoded, knobs: Run) -> str:
    """Why a pair cannot be learned from; empty: it can."""
    if not all(tokens.answers):
        return "without a token in an answer"
    too_long = tokens.longest > knobs.max_length and knobs.too_long == "leave_out"
    return f"above max_length ({knobs.max_length:,})" if too_long else ""
