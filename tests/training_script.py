"""Runs the training scripts in a test, in this process or in one of their own, and reads what they say."""

import json
import os
import subprocess
import sys
from pathlib import Path

from concord.training import online, policy, reward
from concord.training import script as shell
from concord.training.progress import Progress, Stop
from tests.tiny_models import written

MODULES = {"reward": reward, "policy": policy, "online": online}


def spec_of(out: Path, **knobs) -> Path:
    """A spec in a file beside the folder of its model."""
    return written(out.parent / f"{out.name}.yaml", [{"out": str(out), **knobs}])


def here(script: str, path: Path) -> bool:
    """Trains in this process, which spares the imports; whether it came to its end."""
    own = MODULES[script].SCRIPT
    knobs = shell.spec.read(str(path), (), own.knobs, own.ranges, own.choices)
    held, folder = own.read(knobs), Path(knobs.out)
    what = shell.identity(knobs, held, own.trainer)
    shell.model_folder.begin(folder, what)
    progress = Progress(folder / "progress.jsonl", sys.stderr)
    return shell.trainer_of(own.trainer).train(knobs, held, folder, what, Stop(), progress)


def started(script: str, path: Path, *more: str) -> subprocess.Popen:
    """The script as a process of its own."""
    command = [sys.executable, "-m", f"concord.training.{script}", str(path), *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def until(process: subprocess.Popen, event: str, step: int = 0) -> dict:
    """Reads what it says until it says this."""
    for line in process.stdout:
        said = json.loads(line)
        if said["event"] == event and said.get("step", 0) >= step:
            return said
    raise AssertionError(f"no {event} in: {process.stderr.read()[-3000:]}")


def weights(folder: Path) -> dict[str, bytes]:
    """Every file of weights by its path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.safetensors")}


def events(folder: Path, name: str) -> list[dict]:
    """What the training said of this."""
    held = [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]
    return [line for line in held if line["event"] == name]
