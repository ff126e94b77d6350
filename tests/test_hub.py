"""Data from the hub: what is fetched, by the hub's own client, and what is said where that fails."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from concord.client.intake import fetch, intake
from concord.kit.errors import InvalidInput, Unavailable
from tests.row_files import good, ids, jsonl, parquet
from tests.threaded import served


def hub_folder(root: Path) -> Path:
    parquet(root / "data" / "train-00000-of-00001.parquet", [good(1), good(2)])
    parquet(root / "data" / "test-00000-of-00001.parquet", [good(3)])
    (root / "README.md").write_text("# a card\n")
    return root


def local_hub(root: Path) -> tuple[fetch.Listing, fetch.Download]:
    """A hub that is a folder in its layout."""

    def listing(name: str) -> list[str]:
        return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())

    def download(name: str, files, out: Path) -> None:
        for file in files:
            (out / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / file, out / file)

    return listing, download


def test_what_was_fetched_is_read_as_it_lies_there(tmp_path):
    hub = local_hub(hub_folder(tmp_path / "hub"))
    out, chosen = fetch.fetch("me/pairs", "train", tmp_path / "train", *hub)
    assert chosen.files == ("data/train-00000-of-00001.parquet",) and ids(intake.read(out)) == ["p1", "p2"]
    out, _ = fetch.fetch("me/pairs", "test", tmp_path / "test", *hub)
    assert ids(intake.read(out)) == ["p3"]
    with pytest.raises(InvalidInput, match="data set me/pairs: there is no split dev; there are: test, train"):
        fetch.fetch("me/pairs", "dev", tmp_path / "dev", *hub)


def test_a_folder_with_other_rows_of_the_split_is_not_mixed_with_them(tmp_path):
    hub = local_hub(hub_folder(tmp_path / "hub"))
    jsonl(tmp_path / "out" / "train.jsonl", [good(7)])
    with pytest.raises(InvalidInput, match=r"holds train\.jsonl already"):
        fetch.fetch("me/pairs", "train", tmp_path / "out", *hub)


def test_a_hub_that_cannot_be_reached_is_said_in_words(tmp_path):
    def away(name: str) -> list[str]:
        raise httpx2.ConnectError("no route")

    with pytest.raises(Unavailable, match=r"me/pairs: the hub cannot be reached .* give their folder to `concord run`"):
        fetch.fetch("me/pairs", "train", tmp_path, away)


class _Hub(BaseHTTPRequestHandler):
    """As much of the hub's HTTP as its client asks for: one data set, one gated, none else."""

    root: Path
    COMMIT = "0" * 40

    def log_message(self, *words) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        files = sorted(file for file in self.root.rglob("*") if file.is_file())
        names = [file.relative_to(self.root).as_posix() for file in files]
        if "me/gated" in path:
            self.say(403, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"})
        elif path.startswith("/api/datasets/me/pairs/tree/"):
            tree = [
                {"type": "file", "path": n, "size": f.stat().st_size, "oid": n}
                for n, f in zip(names, files, strict=True)
            ]
            self.say(200, json.dumps(tree).encode(), {"Content-Type": "application/json"})
        elif path.startswith("/api/datasets/me/pairs"):
            info = {"id": "me/pairs", "sha": self.COMMIT, "siblings": [{"rfilename": name} for name in names]}
            self.say(200, json.dumps(info).encode(), {"Content-Type": "application/json"})
        elif path.startswith(f"/datasets/me/pairs/resolve/{self.COMMIT}/"):
            name = path.removeprefix(f"/datasets/me/pairs/resolve/{self.COMMIT}/")
            content = (self.root / name).read_bytes()
            tag = hashlib.sha256(content).hexdigest()
            self.say(200, content, {"ETag": f'"{tag}"', "X-Repo-Commit": self.COMMIT})
        else:
            self.say(404, b"{}", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "no such"})

    def say(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


@pytest.fixture
def hub_url(tmp_path):
    """A server on this machine that the hub's own client takes for the hub."""
    handler = type("Served", (_Hub,), {"root": hub_folder(tmp_path / "hub")})
    with served(handler) as server:
        yield f"http://127.0.0.1:{server.server_port}"


def concord_fetch(folder: Path, url: str, *words: str) -> subprocess.CompletedProcess:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "HF_ENDPOINT": url, "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-m", "concord.cli", "fetch", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_the_hubs_own_client_fetches_the_files_of_the_split_and_no_others(tmp_path, hub_url):
    done = concord_fetch(tmp_path, hub_url, "me/pairs", "--out", "got")
    assert (done.returncode, done.stdout) == (0, "got\n"), done.stderr
    assert ids(intake.read(tmp_path / "got")) == ["p1", "p2"]
    assert not (tmp_path / "got" / "data" / "test-00000-of-00001.parquet").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("me/gated", "is gated: accept its terms at"),
        ("me/nothing", "there is no such data set on the hub"),
        ("a/b/c", "a data set's name such as OWNER/NAME is expected"),
    ],
)
def test_the_hubs_refusals_are_said_in_words(tmp_path, hub_url, name, words):
    done = concord_fetch(tmp_path, hub_url, name)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr, done.stderr
