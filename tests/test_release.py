"""What a release is made of: licences, a bill of materials, packages, one manifest; an audit that never guesses."""

import hashlib
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from deploy.release import __main__ as release
from deploy.release import audit
from deploy.release.archive import packed
from deploy.release.dependencies import dependencies, known

ROOT = Path(__file__).parent.parent


def test_every_dependency_has_a_licence_that_may_be_shipped():
    found = dependencies()
    assert len(found) > 60 and {"grpcio", "psycopg-binary", "kafka-python"} <= {one.name for one in found}
    assert [one for one in found if not known(one.licence)] == []
    # What the tests need is not shipped.
    assert not {"pytest", "moto", "mypy"} & {one.name for one in found}


@pytest.mark.parametrize(
    ("expression", "may"),
    [
        *[(one, True) for one in ("MIT", "MIT OR GPL-3.0-only", "Apache-2.0 AND MIT", "MPL-2.0 AND MIT")],
        *[(one, False) for one in ("GPL-3.0-only", "MIT AND AGPL-3.0-only", "unknown", "")],
    ],
)
def test_of_alternatives_one_is_enough_and_of_what_comes_together_all(expression, may):
    assert known(expression) is may


def answered(*vulns: str, skipped: bool = False) -> str:
    entry = {"name": "a", "version": "1"} | (
        {"skip_reason": "not found"} if skipped else {"vulns": [{"id": one, "fix_versions": ["2"]} for one in vulns]}
    )
    return json.dumps({"dependencies": [entry]})


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        (answered(), 0, "1 of 1 dependencies known to the service, 0 vulnerabilities"),
        (answered("CVE-1"), 1, "1 vulnerabilities"),
        (answered(skipped=True), 0, "NOT DONE"),
        ("", 0, "NOT DONE, no vulnerability service could be asked (no route)"),
        ("{}", 0, "NOT DONE"),
    ],
)
def test_an_audit_finds_something_finds_nothing_or_says_that_it_was_not_done(answer, code, says, capsys):
    assert audit.judged(answer, "trace\nno route") == code
    assert says in capsys.readouterr().out


def test_a_release_holds_packages_a_manifest_a_bill_of_materials_and_their_sums(tmp_path):
    folder = tmp_path / "dist"
    command = (sys.executable, "-m", "deploy.release", "--folder", str(folder), "--no-images")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "not built, --no-images" in done.stdout, done.stderr
    names = {path.name for path in folder.iterdir()}
    assert {"sbom.cdx.json", "LICENCES.txt", "SHA256SUMS"} < names and len(names) == 6
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    bill = json.loads((folder / "sbom.cdx.json").read_text())
    assert bill["specVersion"] == "1.6" and len(bill["components"]) == len(dependencies())
    assert all(part["licenses"] and part["purl"].startswith("pkg:pypi/") for part in bill["components"])
    (manifest,) = folder.glob("concord-*.yaml")
    kinds = [document["kind"] for document in yaml.safe_load_all(manifest.read_text())]
    assert kinds.count("Deployment") >= 7 and "NetworkPolicy" in kinds


def saved(path: Path, layers: dict[str, bytes], diff_ids: list[str], alias: str = "") -> Path:
    """What `docker save` of an older engine writes of two images that share their layers."""
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()
    images = [
        {"Config": "config.json", "RepoTags": [f"concord-{name}:0.1.0"], "Layers": [*list(layers)[:-1], last]}
        for name, last in (("runs", list(layers)[-1]), ("tasks", alias or list(layers)[-1]))
    ]
    with tarfile.open(path, "w") as packed:
        for name, content in {**layers, "config.json": config, "manifest.json": json.dumps(images).encode()}.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            packed.addfile(about, io.BytesIO(content))
        if alias:
            link = tarfile.TarInfo(alias)
            link.type, link.linkname = tarfile.SYMTYPE, f"../{list(layers)[-1]}"
            packed.addfile(link)
    return path


def test_images_are_named_by_the_digests_of_their_manifests_and_shared_layers_lie_in_the_archive_once(tmp_path):
    """A configuration's digest, which `docker inspect` shows as the image's id, is none that a node could fetch by."""
    layers = {"a/layer.tar": b"one" * 100, "b/layer.tar": b"two" * 100}
    ids = [f"sha256:{hashlib.sha256(content).hexdigest()}" for content in layers.values()]
    found = packed(saved(tmp_path / "saved.tar", layers, ids, alias="c/layer.tar"), tmp_path / "images.tar")
    with tarfile.open(tmp_path / "images.tar") as made:
        blobs = {name.rpartition("/")[2]: made.extractfile(name).read() for name in made.getnames() if "blobs/" in name}
        index = json.load(made.extractfile("index.json"))
    assert all(hashlib.sha256(content).hexdigest() == name for name, content in blobs.items())
    assert len([name for name in blobs if f"sha256:{name}" in ids]) == 2
    for entry in index["manifests"]:
        assert entry["digest"] == found[entry["annotations"]["io.containerd.image.name"].rpartition("/")[2]]
        manifest = json.loads(blobs[entry["digest"].partition(":")[2]])
        assert [one["digest"] for one in manifest["layers"]] == ids
    path = release.manifest(tmp_path, "0.1.0", {"runs": found["concord-runs:0.1.0"]})
    assert f"registry.example/concord-runs:0.1.0@{found['concord-runs:0.1.0']}" in path.read_text()
    with pytest.raises(SystemExit, match="are not those that its configuration names"):
        packed(saved(tmp_path / "saved.tar", layers, ids[::-1]), tmp_path / "images.tar")
