"""Has models answer prompts: `python -m concord.training.answers spec.yaml [knob=value …]`.

A policy beside the model that it began as: both answer the prompts that its training held out, or those of any file. What comes out
is a file for `concord run`, whose report then says whose answers are preferred and whose are good. It needs the extra `torch`.
Exit codes: 0 the file stands; 2 the spec or the data cannot be; 75 stopped.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO

from concord.kit.errors import InvalidInput
from concord.kit.files import whole
from concord.preference.evaluating import POLICY, START
from concord.training import knobs as common
from concord.training import lessons, model_folder, script, spec
from concord.training.examples import Words
from concord.training.progress import BAD_INPUT, STOPPED, Progress, Stop, own_output

# What a prompt's row has beside it and a run makes use of.
_KEPT = ("reference", "answers", "choices", "constraints", "domain", "harmful")
NAMES = (POLICY, START)


@dataclass(frozen=True)
class Knobs:
    """Everything that may be set, and what it is where nothing is said. Relative paths are from where the command runs."""

    policy: str  # the folder of a trained policy
    out: str  # the file to write, .jsonl
    start: str = ""  # what it is compared with, a folder or a name on the hub; by itself the model that it began as
    data: str = (
        ""  # rows with `prompt`, .jsonl or .jsonl.gz; by itself prompts that the policy's training held out: its `test`
    )
    most: int = 200  # prompts, the first ones of the data
    max_new_tokens: int = 256
    max_length: int = 1024  # tokens of a prompt; longer ones are counted and left out
    temperature: float = 1.0  # 0: always the likeliest token
    batch: int = 8  # prompts answered at once
    precision: str = "auto"  # bfloat16 where the device has it, else float32
    seed: int = 0


RANGES: Mapping[str, tuple[float, float]] = {
    "most": (1, 1e9),
    "max_new_tokens": (1, 1e6),
    "max_length": (8, 1e6),
    "temperature": (0, 10),
    "batch": (1, 65_536),
    "seed": (0, 2**31 - 1),
}
CHOICES: Mapping[str, tuple[str, ...]] = {"precision": common.CHOICES["precision"]}


@dataclass(frozen=True)
class Question:
    """One prompt, and what its row says beside it."""

    prompt: Words
    beside: Mapping[str, Any]


def questions(knobs: Knobs) -> tuple[list[Question], str]:
    """The prompts, none twice, and the model to compare with. Raises InvalidInput."""
    if knobs.data and knobs.start:
        return _of_file(knobs), knobs.start
    settings = _settings(knobs)
    start = knobs.start or str(settings.get("model", ""))
    if not start:
        raise InvalidInput(f"start must be given: {knobs.policy} does not say what it began as")
    return (_of_file(knobs) if knobs.data else _held_out(knobs, settings)), start


def row(number: int, question: Question, said: Sequence[str]) -> dict[str, Any]:
    """A row for `concord run`: both answers, each with its model's name."""
    answers = [{"text": text, "model": name} for name, text in zip(NAMES, said, strict=True)]
    # Who stands first is nobody's own place.
    return {
        "id": f"held-out-{number}",
        "prompt": question.prompt,
        "responses": answers[:: 1 if number % 2 else -1],
    } | dict(question.beside)


def main(arguments: Sequence[str]) -> int:
    """Has both answer as the arguments say; the exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if arguments else BAD_INPUT
    stop, out = Stop().listen(), own_output()
    try:
        knobs = spec.read(arguments[0], arguments[1:], Knobs, RANGES, CHOICES)
        return 0 if answered(knobs, stop, out) else STOPPED
    except (InvalidInput, OSError) as error:
        print(error, file=sys.stderr)
        return BAD_INPUT


def answered(knobs: Knobs, stop: Stop, out: TextIO) -> bool:
    """Writes the file, saying on `out` how far it is; False: stopped before. Raises InvalidInput or OSError."""
    asked, start = questions(knobs)
    path = Path(knobs.out)
    path.parent.mkdir(parents=True, exist_ok=True)
    progress = Progress(path.with_name(f"{path.name}.{model_folder.PROGRESS}"), out)
    count = written(knobs, asked, start, stop, progress)
    if count is None:
        return False
    progress.say("done", prompts=count, left_out=len(asked) - count)
    return True


def written(
    knobs: Knobs,
    asked: Sequence[Question],
    start: str,
    stop: Stop,
    progress: Progress,
    others: Mapping[Path, str] = MappingProxyType({}),
) -> int | None:
    """Writes the file, `start` being what the policy is compared with; how many prompts stand there, None: stopped before.

    `others`: further files, each with the answers of another model in the policy's place beside the very same ones of the start.
    """
    said = script.trainer_of("sampled").answers(knobs, (start, knobs.policy, *others.values()), asked, stop, progress)
    if said is None:
        return None
    for at, path in enumerate((Path(knobs.out), *others), 1):
        with whole(path) as unfinished, unfinished.open("w", encoding="utf-8") as lines:
            for number, (question, texts) in enumerate(said):
                lines.write(json.dumps(row(number, question, (texts[at], texts[0])), ensure_ascii=False) + "\n")
    return len(said)


def _of_file(knobs: Knobs) -> list[Question]:
    found = lessons.prompt_rows(Path(knobs.data))[: knobs.most]
    return [
        Question(held["prompt"], {name: held[name] for name in _KEPT if held.get(name) is not None}) for held in found
    ]


def _held_out(knobs: Knobs, settings: Mapping[str, Any]) -> list[Question]:
    """The prompts that the policy's training held out: the same rows, drawn by the same hash."""
    from concord.training.policy import SCRIPT

    try:
        trained = SCRIPT.knobs(**{**settings, "out": knobs.policy})
    except TypeError:
        raise InvalidInput(f"{knobs.policy} was trained by another version: name the prompts as `data`") from None
    found = SCRIPT.read(trained)
    if found.held and not found.test:
        print(
            f"{knobs.policy}: these prompts chose its checkpoint: what they say of it is a little too good",
            file=sys.stderr,
        )
    held = found.test or found.held
    if not held:
        raise InvalidInput(f"{knobs.policy}: its training held nothing out: name the prompts as `data`")
    return different(one.prompt for one in held)[: knobs.most]


def different(prompts: Iterable[Words]) -> list[Question]:
    """Each prompt once, with nothing beside it."""
    return list({json.dumps(prompt): Question(prompt, {}) for prompt in prompts}.values())


def _settings(knobs: Knobs) -> Mapping[str, Any]:
    """What the policy was trained with, by its manifest."""
    path = Path(knobs.policy) / model_folder.MANIFEST
    try:
        held = json.loads(path.read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InvalidInput(
            f"{path} does not say how the policy was trained ({error}): name both `start` and `data`"
        ) from None
    if not isinstance(held, dict):
        raise InvalidInput(f"{path}: `settings` is no object: name both `start` and `data`")
    return held


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
