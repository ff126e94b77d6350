"""Models that a program of its own trains: from rows and knobs to a manifest in the blobs, whatever befalls the program.

It is stopped with all that it started; what it has done by then is kept, and another process on another machine goes on there.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import structlog

from concord.kit.blobs import Blobs, folders, series
from concord.kit.blobs.folders import Filed
from concord.kit.errors import Corrupt, InvalidInput, NotFound, Permanent, Unavailable
from concord.kit.loop.children import ONE_THREAD
from concord.kit.loop.script import GRACE_S, Script
from concord.kit.loop.units import Stop
from concord.reward import stored
from concord.reward.models import KINDS, Kinds, ModelKind
from concord.training import heard, measured
from concord.training.devices import VISIBLE, Devices
from concord.training.places import place
from concord.v1.events_pb2 import ModelFile, ModelManifest
from concord.v1.training_service_pb2 import TrainingProgress

# The program's own exit code for what cannot be helped by trying again.
BAD_INPUT = 2
KILLED = 128 + 9
# What a device or a machine without room says; the text of a library's error is all that there is.
NO_ROOM = ("out of memory", "can't allocate memory", "not enough memory")
# Where rows, knobs and the model are, below the folder that one trains in: the same on every machine.
ROWS, SPEC, OUT = "rows.jsonl", "spec.json", "model"
# How far it is, is written down so often: at least so many seconds apart, and no more than fifty times in an e-fold of time.
HEARD_S, HEARD_SHARE = 5.0, 0.02


@dataclass(frozen=True)
class Wanted:
    """A model to be trained."""

    work_id: str
    kind: str
    # Its name on the hub, a folder, or the URI of one that is stored.
    model: str
    # Those of the program that are not its own defaults.
    knobs: Mapping[str, Any]
    seed: int


class Trainer:
    """Trains one model at a time on each share of the machine's devices. Thread-safe."""

    def __init__(
        self, blobs: Blobs, home: Path, devices: Devices, kinds: Kinds = KINDS, grace_s: float = GRACE_S
    ) -> None:
        """`home`: where there is room to train in; `grace_s`: what a program has from SIGTERM to SIGKILL."""
        self._blobs, self._home, self._devices = blobs, home / "training", devices
        self._bases = home / "bases"
        self._kinds, self._grace_s = kinds, grace_s

    def train(self, wanted: Wanted, rows: Iterable[bytes], stop: Stop) -> str:
        """The URI of the model's manifest. `rows` as `reward.texts.rows` makes them.

        Raises CancelledError where it is stopped, Permanent where trying again cannot help, RuntimeError with the program's own
        words where it failed otherwise.
        """
        kind = self._kinds[wanted.kind]
        check_installed(kind)
        with self._devices.taken(stop) as visible, place(self._home) as folder:
            with (folder / ROWS).open("wb") as file:
                file.writelines(rows)
            model = wanted.model
            if stored.is_stored(model):
                model = stored.lend(self._blobs, model, self._bases, folder)
            job = _Job(self._blobs, wanted, model, kind, folder, self._devices.each)
            job.restore()
            with measured.shown(visible[VISIBLE]) as job.shown:
                self._run(job, visible, stop)
            return job.stored()

    def _run(self, job: "_Job", visible: Mapping[str, str], stop: Stop) -> None:
        """Until the model stands; where there is no room for a micro-batch once more with half of one."""
        for last in (False, True):
            stop.check()
            (job.folder / SPEC).write_text(json.dumps(job.spec, indent=2), encoding="utf-8")
            run = Script(
                command(job.kind.trains, self._devices.each),
                job.folder,
                {**ONE_THREAD, **visible, **found_from_anywhere()},
                self._grace_s,
            )
            try:
                with stop.then(run.stop):
                    for line in run.lines():
                        job.hear(line)
            finally:
                # Whatever was raised here: nothing goes on that nobody listens to.
                run.stop()
                code = run.wait()
            if code == 0:
                return
            job.keep()
            stop.check()
            if last or not job.halve(code, run.complaints()):
                raise _failure(code, run.complaints())


def command(module: str, devices: int) -> Sequence[str]:
    """What starts the program: by itself, or as one process a device that train together."""
    python = [sys.executable, "-P", "-m"]
    many = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(devices), "-m"] if devices > 1 else []
    return [*python, *many, module, SPEC]


def found_from_anywhere() -> Mapping[str, str]:
    """PYTHONPATH as it is meant here, for a program that runs in a folder of its own."""
    paths = [str(Path(path).absolute()) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {"PYTHONPATH": os.pathsep.join(paths)} if paths else {}


def check_installed(kind: ModelKind) -> None:
    """Raises Permanent that says what to install where the kind's libraries are missing."""
    if kind.needs and find_spec(kind.needs) is None:
        raise Permanent(
            f"{kind.needs} is not installed here, which training such a model needs: "
            f"pip install 'concord-preference[{kind.extra}]'"
        )


def _failure(code: int, complaints: str) -> Exception:
    words = complaints or "it said nothing"
    return Permanent(words) if code == BAD_INPUT else RuntimeError(f"the trainer ended with code {code}: {words}")


class _Job:
    """One training in its folder: what it was asked, what is known of it, what is kept of it."""

    def __init__(self, blobs: Blobs, wanted: Wanted, model: str, kind: ModelKind, folder: Path, devices: int) -> None:
        self._blobs, self._wanted, self.kind, self.folder = blobs, wanted, kind, folder
        own = {"model": model, "data": ROWS, "out": OUT, "seed": wanted.seed, "devices": devices}
        self.spec: dict[str, Any] = {"micro_batch": kind.micro_batch, **wanted.knobs, **own}
        self._progress, self._began, self._write_at = TrainingProgress(), time.monotonic(), 0.0
        self._logger = structlog.get_logger(service="training", work=wanted.work_id)
        self._written = self._kept = 0
        # Told of every step.
        self.shown: Callable[[TrainingProgress], None] = lambda progress: None

    @property
    def _out(self) -> Path:
        return self.folder / OUT

    def hear(self, line: str) -> None:
        """Takes in what the program says; what it has done by a checkpoint is kept."""
        event = heard.said(line)
        if event.get("event") not in heard.EVENTS:
            return
        heard.take_in(self._progress, event, time.time())
        self.shown(self._progress)
        now = time.monotonic()
        if now >= self._write_at:
            self._write_at = now + max(HEARD_S, HEARD_SHARE * (now - self._began))
            self._quietly(self._write)
        if event.get("event") == heard.CHECKPOINT:
            self.keep()

    def _write(self) -> None:
        content = self._progress.SerializeToString(deterministic=True)
        self._written = series.add(self._blobs, progress_name(self._wanted.work_id), content, self._written)

    def keep(self) -> None:
        """Stores what there is of the training, so that it goes on there; where that cannot be, it goes on without."""
        if any(self._out.glob("checkpoints/*")):
            self._quietly(self._keep)

    def _keep(self) -> None:
        content = self._manifest("", folders.put(self._blobs, self._out)).SerializeToString(deterministic=True)
        name = checkpoint_name(self._wanted.work_id)
        if series.last(self._blobs, name)[1] != content:
            self._kept = series.add(self._blobs, name, content, self._kept)

    def _quietly(self, do: Callable[[], None]) -> None:
        """A training is worth more than a word about it; and a file that the trainer removes meanwhile comes with the next."""
        try:
            do()
        except (Unavailable, InvalidInput) as error:
            self._logger.warning("not written down", why=str(error))

    def restore(self) -> None:
        """Has the program go on from what was kept last of the same training, if there is anything."""
        _, content = series.last(self._blobs, checkpoint_name(self._wanted.work_id))
        if not content:
            return
        kept = ModelManifest.FromString(content)
        spec = json.loads(kept.settings)
        if spec | {"micro_batch": 0} != self.spec | {"micro_batch": 0}:
            self._logger.warning("a checkpoint of other settings is left alone")
            return
        try:
            folders.get(self._blobs, _filed(kept), self._out)
        except (NotFound, Corrupt) as error:
            self._logger.warning("the checkpoint cannot be read; the training begins anew", why=str(error))
            return
        self.spec = spec

    def halve(self, code: int, complaints: str) -> bool:
        """Whether there was no room and half a micro-batch is to be tried; what was trained with a whole one is left behind."""
        no_room = code == KILLED or any(words in complaints.lower() for words in NO_ROOM)
        if not no_room or self.spec["micro_batch"] < 2:
            return False
        self.spec["micro_batch"] //= 2
        self._out.rename(self.folder / "before") if self._out.exists() else None
        self._logger.warning("no room: half of the micro-batch", micro_batch=self.spec["micro_batch"], code=code)
        return True

    def stored(self) -> str:
        """Stores the model's folder and its manifest. Raises RuntimeError where what the program left is none of this kind."""
        path = self._out / "manifest.json"
        made = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if made.get("kind") != self._wanted.kind:
            raise RuntimeError(
                f"the trainer left no {self._wanted.kind} in its folder, but {made.get('kind', 'nothing')}"
            )
        # How long it took differs from try to try; the manifest's hash must not.
        files = folders.put(self._blobs, self._out, lambda name: name != "progress.jsonl")
        manifest = self._manifest(self._wanted.kind, files)
        manifest.inputs.add(name="rows", uri=self._blobs.put_file(self.folder / ROWS))
        if stored.is_stored(self._wanted.model):
            manifest.inputs.add(name=stored.BASE, uri=self._wanted.model)
        manifest.versions.update({name: str(version) for name, version in made.get("versions", {}).items()})
        self._quietly(self._write)
        return self._blobs.put(manifest.SerializeToString(deterministic=True))

    def _manifest(self, kind: str, files: Iterable[Filed]) -> ModelManifest:
        stored = [ModelFile(name=file.name, uri=file.uri, size=file.size) for file in files]
        return ModelManifest(
            kind=kind, files=stored, seed=self.spec["seed"], settings=json.dumps(self.spec, sort_keys=True)
        )


def _filed(manifest: ModelManifest) -> list[Filed]:
    return [Filed(file.name, file.uri, file.size) for file in manifest.files]


def checkpoint_name(work_id: str) -> str:
    """The series of markers that holds what was kept of the unit, each a ModelManifest of a training that goes on."""
    return f"checkpoint/{work_id}"


def progress_name(work_id: str) -> str:
    """The series of markers that says how far the unit is."""
    return f"progress/{work_id}"


def progress_of(blobs: Blobs, work_id: str) -> TrainingProgress | None:
    """How far the unit was when it was heard last; None where nothing was."""
    number, content = series.last(blobs, progress_name(work_id))
    return TrainingProgress.FromString(content) if number else None
