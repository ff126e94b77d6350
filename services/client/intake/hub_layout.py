"""Which files of a folder hold the rows: the layouts of the Hugging Face hub, by their names alone. Pure."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from concord.kit.errors import InvalidInput

KINDS = {".parquet": "Parquet", ".jsonl": "JSON Lines", ".jsonl.gz": "JSON Lines", ".arrow": "Arrow"}
# Read where none of the others is there: beside them such a file is mostly about the data.
OTHER_KINDS = {".csv": "CSV", ".csv.gz": "CSV", ".tsv": "TSV", ".json": "JSON"}
_ABOUT = re.compile(r"(?:.*[-_.])?(?:infos?|dict|config|state|metadata|index|license|citation)\.json")
_SHARD = re.compile(r"(\w+)-\d{5}-of-\d{5}\.")
_SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
# What may stand around a split's name, as on the hub.
_WORDS = re.compile(r"[-._ 0-9/]+")


@dataclass(frozen=True)
class Chosen:
    """The files of one split in order, and which other splits there are."""

    files: tuple[str, ...]
    kind: str  # as in KINDS
    split: str  # "" where the names tell of none
    left_out: tuple[str, ...]

    @property
    def note(self) -> str:
        """What was chosen, in words."""
        files = f"{len(self.files)} {self.kind} file" + ("s" if len(self.files) > 1 else "")
        others = (
            f"; left out: {', '.join(name or 'files of no split' for name in self.left_out)}" if self.left_out else ""
        )
        return files + (f" of the split {self.split}" if self.split else "") + others


def kind_of(name: str) -> str:
    """Which kind of rows a file of this name holds; "" for one that holds none."""
    name = name.lower()
    if _ABOUT.fullmatch(name.rpartition("/")[2]):
        return ""
    return next((kind for ending, kind in (KINDS | OTHER_KINDS).items() if name.endswith(ending)), "")


def split_of(name: str) -> str:
    """The split that a file's path (with slashes) names: `data/test_sft-00000-of-00002.parquet`: test_sft."""
    if shard := _SHARD.search(name.rpartition("/")[2]):
        return _SPLITS.get(shard[1].lower(), shard[1])
    words = [_SPLITS[word] for word in _WORDS.split(name.lower()) if word in _SPLITS]
    return words[-1] if words else ""


def choose(names: Iterable[str], where: str, split: str = "") -> Chosen:
    """The files of `split`, or of the train split where none is asked for, or of the only one.

    `names`: paths below the folder, with slashes. `where`: what the messages call the folder. Raises InvalidInput where
    nothing fits, or where what is meant is not one thing.
    """
    held = sorted(name for name in names if kind_of(name) and not _is_hidden(name))
    held = [name for name in held if kind_of(name) in KINDS.values()] or held
    if not held:
        raise InvalidInput(f"{where}: cannot be read: no Parquet, JSON Lines, Arrow, JSON or CSV file is in the folder")
    splits: dict[str, list[str]] = defaultdict(list)
    for name in held:
        splits[split_of(name)].append(name)
    wanted = split or _default(sorted(splits), where)
    if wanted not in splits:
        raise InvalidInput(
            f"{where}: there is no split {wanted}; there are: {', '.join(filter(None, sorted(splits))) or 'none'}"
        )
    _check_is_one(splits[wanted], where)
    return Chosen(
        tuple(splits[wanted]),
        kind_of(splits[wanted][0]),
        wanted,
        tuple(name for name in sorted(splits) if name != wanted),
    )


def _default(splits: Sequence[str], where: str) -> str:
    if "train" in splits or len(splits) == 1:
        return "train" if "train" in splits else splits[0]
    listed = ", ".join(filter(None, splits))
    raise InvalidInput(f"{where}: which split? There are: {listed}; name one of its files or its folder")


def _check_is_one(files: Sequence[str], where: str) -> None:
    """Several folders are several configurations, several kinds the same rows twice."""
    folders = sorted({name.rpartition("/")[0] for name in files})
    if len(folders) > 1:
        listed = ", ".join(folder or "the folder itself" for folder in folders[:8])
        raise InvalidInput(f"{where}: several data sets are in the folder ({listed}); name one of them")
    kinds = sorted({kind_of(name) for name in files})
    if len(kinds) > 1:
        raise InvalidInput(f"{where}: the folder holds {' and '.join(kinds)} files; name one of them")


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "_")) for part in name.split("/"))
