"""The folder of a trained model: its manifest, which is written last, its card, and what a training under way leaves there.

`manifest.json` stands once the model does: kind, files with their SHA-256, seed, data, settings, versions, figures. A folder
without it is one of a training that did not end; `training.json` in it says of which.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from concord.kit.errors import InvalidInput
from concord.kit.files import whole

MANIFEST = "manifest.json"
TRAINING = "training.json"
CHECKPOINTS = "checkpoints"
PROGRESS = "progress.jsonl"
CARD = "README.md"
# Stands where LoRA was trained.
ADAPTER = "adapter_config.json"
FORMAT = 1
# Written last into a checkpoint, so that one with it is whole.
_CHECKPOINT_STATE = "trainer_state.json"
_CHUNK = 1 << 20


def sha256_of(path: Path) -> str:
    """Of the file's bytes, in hex; a chunk at a time, since weights are large."""
    digest = hashlib.sha256()
    with path.open("rb") as held:
        while chunk := held.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def begin(folder: Path, what: Mapping[str, Any], first: bool = True) -> bool:
    """Makes the folder ready for the training that `what` names; False: its model stands there already.

    `first`: of the processes that train together, the one that writes. Raises InvalidInput where another training left something.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in (MANIFEST, TRAINING):
        path = folder / name
        if not path.exists():
            continue
        held = json.loads(path.read_text(encoding="utf-8"))
        differ = sorted(key for key in what if held.get(key) != json.loads(json.dumps(what[key])))
        if differ and name == TRAINING and not any((folder / CHECKPOINTS).rglob("checkpoint-*")):
            # Nothing was trained yet: whoever mends a spec does so in the same folder.
            if first:
                shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
        elif differ:
            raise InvalidInput(
                f"{folder} holds a training with other {' and '.join(differ)}: name another folder as `out`, or remove this one"
            )
        if name == MANIFEST:
            return False
    left = [path.name for path in folder.iterdir() if path.name not in (TRAINING, CHECKPOINTS, PROGRESS)]
    if left and not (folder / TRAINING).exists():
        raise InvalidInput(f"{folder} holds other files ({', '.join(sorted(left)[:3])}): name a new folder as `out`")
    if first:
        _write(folder / TRAINING, what)
    return True


def newest_checkpoint(folder: Path) -> Path | None:
    """The last one that is whole; those torn by a kill are removed."""
    found = []
    for path in folder.glob("checkpoint-*"):
        if (path / _CHECKPOINT_STATE).exists():
            found.append(path)
        else:
            shutil.rmtree(path)
    return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def finish(folder: Path, kind: str, what: Mapping[str, Any], facts: Mapping[str, Any], card: str) -> dict[str, Any]:
    """Removes what only the training needed, writes card and manifest, and returns the manifest."""
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    (folder / "training_args.bin").unlink(missing_ok=True)
    (folder / CARD).write_text(card, encoding="utf-8")
    for path in folder.rglob(ADAPTER):
        _in_order(path)
    manifest = {"kind": kind, "format": FORMAT, **what, **facts, "files": files_of(folder)}
    _write(folder / MANIFEST, manifest)
    (folder / TRAINING).unlink(missing_ok=True)
    return manifest


def files_of(folder: Path) -> list[dict[str, Any]]:
    """Path within the folder, bytes and SHA-256 of each file that belongs to the model, by path."""
    own = (MANIFEST, TRAINING, PROGRESS)
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in own)
    return [
        {"path": path.relative_to(folder).as_posix(), "bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in paths
    ]


def _in_order(path: Path) -> None:
    """The adapter's settings with their sets sorted: PEFT writes them in an order that changes from process to process."""
    held = json.loads(path.read_text(encoding="utf-8"))
    for name in ("target_modules", "modules_to_save"):
        if isinstance(held.get(name), list):
            held[name] = sorted(held[name])
    _write(path, held)


def _write(path: Path, held: Mapping[str, Any]) -> None:
    with whole(path) as unfinished:
        unfinished.write_text(json.dumps(held, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def card(title: str, pairs: Sequence[tuple[str, object]], use: str, certificate: str) -> str:
    """The model card: what it was made from, in a table, and how it is loaded."""
    rows = [f"| {name} | {_plain(held)} |" for name, held in pairs]
    head = ["---", "tags:", "- concord", "- trl", "---", "", f"# {_plain(title)}", ""]
    said = ["", "## The labels it learned from", "", certificate] if certificate else []
    return "\n".join([*head, "| | |", "| --- | --- |", *rows, *said, "", "## Use", "", "```python", use, "```", ""])


def _plain(text: object) -> str:
    """A text in a table's cell."""
    return "".join(c for c in str(text) if c.isprintable() and c not in "<>\\|`")
