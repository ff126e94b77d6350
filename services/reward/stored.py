"""Models in the blobs, for nodes that reach no hub: put there once, fetched by whoever trains or scores with them.

Such a model is called by the URI of its manifest. What is trained from it knows it by a path of its own, BASE/NAME, which is
linked to wherever a node keeps the files: so nothing that comes out hangs on a node's folders.
"""

import json
import os
import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from google.protobuf.message import DecodeError

from concord.kit.blobs import Blobs, folders
from concord.kit.blobs.folders import Filed
from concord.kit.errors import InvalidInput, NotFound, Permanent, Unavailable
from concord.kit.ids import URI
from concord.reward.models import REMOTE
from concord.v1.events_pb2 import ModelFile, ModelManifest

WEIGHTS = "weights"
# Of the link, and of the input in the manifest of what was trained from it.
BASE = "base"
# Different ones that a machine keeps files of; each may be tens of gigabytes.
BASES_KEPT = 4
_WEIGHTS = (".safetensors", ".bin")
_MOST_NAME = 100


def put(blobs: Blobs, folder: Path) -> str:
    """Stores a model's folder; the URI that it is called by. What is hidden in it stays out.

    Raises InvalidInput for a folder that is no whole model of transformers.
    """
    if not (folder / "config.json").is_file() or not any(path.suffix in _WEIGHTS for path in folder.glob("*")):
        adapter = (folder / "adapter_config.json").is_file()
        merged = ": LoRA's weights alone; `merged: true` makes a folder with the model's in it" if adapter else ""
        raise InvalidInput(f"{folder} is no whole model, config.json and weights{merged}")
    files = folders.put(blobs, folder, lambda name: not any(part.startswith(".") for part in name.split("/")))
    manifest = ModelManifest(
        kind=WEIGHTS,
        files=[ModelFile(name=file.name, uri=file.uri, size=file.size) for file in files],
        settings=json.dumps({"name": _name(folder.resolve().name)}),
    )
    return blobs.put(manifest.SerializeToString(deterministic=True))


def put_remote(blobs: Blobs, url: str) -> str:
    """Stores where a reward model is served; the URI by which it scores. Nothing vouches that it stays the same model."""
    manifest = ModelManifest(kind=REMOTE, settings=json.dumps({"url": url}))
    return blobs.put(manifest.SerializeToString(deterministic=True))


def _name(text: str) -> str:
    """A text as the name of a folder."""
    return re.sub(r"[^\w.-]", "-", text).strip(".")[:_MOST_NAME] or "model"


def is_stored(model: str) -> bool:
    """Whether a model is called by a URI, and not by its name on the hub or a folder."""
    return URI.fullmatch(model) is not None


def lend(blobs: Blobs, uri: str, place: Path, folder: Path) -> str:
    """Has the stored model's files below `place`, linked from within `folder`; its path there.

    Raises Permanent for a URI that is no stored model here, Unavailable where there is no room.
    """
    manifest = _manifest(blobs, uri)
    kept = fetched(blobs, manifest.files, place, BASES_KEPT)
    name = f"{BASE}/{_name(json.loads(manifest.settings)['name'])}"
    link = folder / name
    try:
        link.parent.mkdir(exist_ok=True)
        # Another process may be faster, and its link is the same.
        with suppress(FileExistsError):
            link.symlink_to(os.path.abspath(kept), target_is_directory=True)
    except OSError as error:
        raise Unavailable(f"the link {link} cannot be made: {error.strerror or error}") from error
    return name


def _manifest(blobs: Blobs, uri: str) -> ModelManifest:
    try:
        found = ModelManifest.FromString(blobs.get(uri))
    except NotFound:
        raise Permanent(f"there is no model {uri} in the blobs: `concord model put FOLDER` puts one there") from None
    except DecodeError:
        found = ModelManifest()
    if found.kind != WEIGHTS:
        raise Permanent(f"{uri} is no model that `concord model put` stored, but {found.kind or 'something else'}")
    return found


def fetched(blobs: Blobs, files: Iterable[ModelFile], place: Path, most: int) -> Path:
    """The folder of these files below `place`, which is made where it is missing; of others the last `most` stay."""
    filed = [Filed(file.name, file.uri, file.size) for file in files]
    folder = place / folders.name_of(filed)
    folders.get(blobs, filed, folder)
    _forget_old(place, folder, most)
    return folder


def _forget_old(place: Path, used: Path, most: int) -> None:
    """Keeps the folders that were used last; what is open of the others stays readable until it is closed."""
    used.touch()
    old = sorted(
        (path for path in place.iterdir() if not path.name.startswith(".")), key=lambda path: path.stat().st_mtime
    )
    for path in old[:-most]:
        shutil.rmtree(path, ignore_errors=True)
