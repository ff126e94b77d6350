"""What the scripts `reward`, `policy` and `online` do around their trainer: spec, data, folder, progress, and the exit code."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from concord.kit.errors import InvalidInput, Unavailable
from concord.training import model_folder, spec
from concord.training.lessons import Material
from concord.training.progress import BAD_INPUT, STOPPED, Progress, Stop, is_first, own_output

# A training is the same whatever these are.
_NO_MATTER = ("out", "checkpoint_s", "merged", "certificate", "scoring", "patience_s")


@dataclass(frozen=True)
class Script:
    """What one script has of its own."""

    knobs: type[Any]
    ranges: spec.Ranges
    choices: spec.Choices
    read: Callable[[Any], Material]  # the data that the knobs name
    trainer: str  # the module of `concord.training.fit`


def run(arguments: Sequence[str], usage: str | None, own: Script) -> int:
    """Trains as the arguments say; the exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage)
        return 0 if arguments else BAD_INPUT
    stop = Stop().listen()
    out = own_output()
    try:
        knobs = spec.read(arguments[0], arguments[1:], own.knobs, own.ranges, own.choices)
        _world_is(knobs.devices)
        # What is wrong with spec or data is said before torch is imported, which takes ten seconds and more.
        held = own.read(knobs)
        folder = Path(knobs.out)
        what = identity(knobs, held, own.trainer)
        if not model_folder.begin(folder, what, is_first()):
            print(f"{folder} holds this model already", file=sys.stderr)
            return 0
        progress = Progress(folder / model_folder.PROGRESS, out if is_first() else None)
        ended = trainer_of(own.trainer).train(knobs, held, folder, what, stop, progress)
        return 0 if ended else STOPPED
    except InvalidInput as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except Unavailable as error:
        print(f"{error}; the same command goes on", file=sys.stderr)
        return STOPPED


def identity(knobs: Any, held: Material, trainer: str) -> Mapping[str, Any]:
    """What makes a training this one and no other."""
    settings = {name: value for name, value in asdict(knobs).items() if name not in _NO_MATTER}
    return {"trainer": trainer, "settings": settings, "data_sha256": held.data_sha256}


def trainer_of(name: str) -> ModuleType:
    """The module `concord.training.fit.NAME`; InvalidInput where what it needs is not installed."""
    try:
        return import_module(f"concord.training.fit.{name}")
    except ModuleNotFoundError as error:
        raise InvalidInput(f"{error.name} is not installed: pip install 'concord-preference[torch]'") from None


def _world_is(devices: int) -> None:
    """Several devices are several processes; one that is alone would train on a part of the batch without a word."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world != devices:
        raise InvalidInput(
            f"devices: {devices}, but {world} processes train together: start with `torchrun --nproc-per-node {devices} -m …`, "
            f"or say devices={world}"
        )
