"""The folders of a run's models beside its dataset: they load in transformers as they stand."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from concord.client.results.model_card import NAME, run_card
from concord.client.results.records import Records
from concord.client.results.results_dir import writable
from concord.kit.blobs import folders
from concord.kit.blobs.folders import Filed
from concord.kit.blobs.pieces import uri_of_file
from concord.kit.errors import InvalidInput
from concord.kit.files import whole
from concord.v1.events_pb2 import ModelManifest
from concord.v1.runs_service_pb2 import RunView

MANIFEST = "manifest.json"


def write(out: Path, view: RunView, records: Records) -> list[Path]:
    """Makes `reward-model` and `policy` in the run's folder, of those that it has; the folders.

    One that stands is left alone if it is the same, and replaced if it is another run's. Raises InvalidInput for a folder of
    that name which is no model of ours.
    """
    made = []
    with writable(out):
        for name, uri in (("reward-model", view.reward_uri), ("policy", view.policy_uri)):
            if uri:
                manifest = ModelManifest.FromString(records.blob(uri))
                files = [Filed(file.name, file.uri, file.size) for file in manifest.files]
                _make(records, files, out / name)
                made.append(out / name)
    return made


def tell(folders_: Iterable[Path], report: Mapping[str, Any]) -> None:
    """Writes beside each model's own card what the run's report says of it."""
    for folder in folders_:
        with whole(folder / NAME) as unfinished:
            unfinished.write_text(run_card(report, is_policy=folder.name == "policy"), encoding="utf-8")


def _make(records: Records, files: list[Filed], folder: Path) -> None:
    own = {file.name: file.uri for file in files}.get(MANIFEST)
    if folder.is_dir():
        if not (folder / MANIFEST).is_file():
            raise InvalidInput(
                f"{folder} is no model of an earlier run, and one is to be written there: name another --out"
            )
        if uri_of_file(folder / MANIFEST) == own:
            return
        shutil.rmtree(folder)
    folders.get(records, files, folder)
