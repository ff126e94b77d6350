"""A data set of the Hugging Face hub as a folder that `concord run` reads."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from concord.client.intake import hub_layout
from concord.kit.errors import InvalidInput, Unavailable

# The names of a data set's files.
Listing = Callable[[str], Sequence[str]]
# (data set, its files, folder): puts the files there, under their names.
Download = Callable[[str, Sequence[str], Path], object]


def hub_listing(name: str) -> Sequence[str]:
    """All files of the data set on the hub."""
    from huggingface_hub import HfApi

    return HfApi().list_repo_files(name, repo_type="dataset")


def hub_download(name: str, files: Sequence[str], out: Path) -> object:
    """These files and no others; what lies there already is not fetched again."""
    from huggingface_hub import snapshot_download

    patterns = ["".join(f"[{c}]" if c in "*?[" else c for c in file) for file in files]
    return snapshot_download(name, repo_type="dataset", allow_patterns=patterns, local_dir=out)


def fetch(
    name: str, split: str, out: Path | None, listing: Listing = hub_listing, download: Download = hub_download
) -> tuple[Path, hub_layout.Chosen]:
    """Puts the Parquet or JSON Lines files of one split into `out` (None: a folder called as the data set is).

    Raises InvalidInput where there is no such data set or split, where it is gated or not in these formats;
    Unavailable where the hub does not answer.
    """
    out = out or Path(name.replace("/", "--"))
    if out.exists() and not out.is_dir():
        raise InvalidInput(f"--out {out}: is a file; a folder is expected")
    with _in_words(name, out):
        files = listing(name)
        chosen = hub_layout.choose(
            (file for file in files if hub_layout.kind_of(file) != "Arrow"), f"data set {name}", split
        )
        _check_is_alone(out, chosen)
        download(name, chosen.files, out)
    return out, chosen


def _check_is_alone(out: Path, chosen: hub_layout.Chosen) -> None:
    """Other files of that split in the folder would be read with these."""
    held = (
        {path.relative_to(out).as_posix() for path in out.rglob("*") if hub_layout.kind_of(path.name)}
        if out.exists()
        else set()
    )
    others = sorted(file for file in held - set(chosen.files) if hub_layout.split_of(file) == chosen.split)
    if others:
        raise InvalidInput(
            f"{out}: holds {others[0]} already, which is not of that data set; choose another folder with --out"
        )


@contextmanager
def _in_words(name: str, out: Path) -> Iterator[None]:
    from httpx2 import TransportError
    from huggingface_hub import errors
    from huggingface_hub.utils import logging

    # It would tell of every try; what came of them is said here.
    logging.set_verbosity_error()

    page = f"https://huggingface.co/datasets/{name}"
    try:
        yield
    except errors.HFValidationError:
        raise InvalidInput(f"{name}: a data set's name such as OWNER/NAME is expected") from None
    except errors.GatedRepoError:
        raise InvalidInput(
            f"{name}: is gated: accept its terms at {page}, then log in with `hf auth login` or set HF_TOKEN"
        ) from None
    except errors.RepositoryNotFoundError:
        raise InvalidInput(
            f"{name}: there is no such data set on the hub; of a private one, log in with `hf auth login` or set HF_TOKEN"
        ) from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "with an error"
        raise Unavailable(f"{name}: the hub answers {status}; try again later") from None
    except (
        errors.OfflineModeIsEnabled,
        errors.LocalEntryNotFoundError,
        TransportError,
        ConnectionError,
        TimeoutError,
    ) as error:
        raise Unavailable(
            f"{name}: the hub cannot be reached ({type(error).__name__}); without a network, get the files from {page} by other "
            "means and give their folder to `concord run`"
        ) from None
    except OSError as error:
        raise InvalidInput(
            f"{out}: cannot be written: {error.strerror or error}; choose another folder with --out"
        ) from None
