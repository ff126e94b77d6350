"""Images as one OCI archive, out of what any engine's `docker save` writes; its digests hold wherever it is taken as it is."""

import hashlib
import io
import json
import posixpath
import sys
import tarfile
from pathlib import Path

OCI = "application/vnd.oci.image"
PIECE = 1 << 20


def packed(saved: Path, target: Path) -> dict[str, str]:
    """Writes `target`, each layer once; image NAME:TAG → the digest of its manifest. Raises SystemExit for a layer that changed."""
    found, entries, there = {}, [], set()
    with tarfile.open(saved) as source, tarfile.open(target, "w") as into:
        for image in json.loads(_content(source, "manifest.json")):
            config = _content(source, image["Config"])
            layers = [_layer(source, into, name, there) for name in image["Layers"]]
            if [one["digest"] for one in layers] != json.loads(config)["rootfs"]["diff_ids"]:
                sys.exit(
                    f"{saved.name}: the layers of {image['RepoTags'][0]} are not those that its configuration names"
                )
            manifest = {
                "schemaVersion": 2,
                "mediaType": f"{OCI}.manifest.v1+json",
                "config": _blob(into, config, f"{OCI}.config.v1+json", there),
                "layers": layers,
            }
            entry = _blob(into, json.dumps(manifest).encode(), f"{OCI}.manifest.v1+json", there)
            for tag in image["RepoTags"]:
                entries.append({**entry, "annotations": {"io.containerd.image.name": f"docker.io/library/{tag}"}})
                found[tag] = entry["digest"]
        _add(into, "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        _add(into, "index.json", json.dumps({"schemaVersion": 2, "manifests": entries}).encode())
    return found


def _content(source: tarfile.TarFile, name: str) -> bytes:
    return _opened(source, name)[1].read()


def _opened(source: tarfile.TarFile, name: str) -> tuple[int, io.BufferedReader]:
    """Size and content; a layer that an earlier image has is a link to it."""
    member = source.getmember(name)
    if member.issym():
        return _opened(source, posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname)))
    file = source.extractfile(member)
    if file is None:
        sys.exit(f"{name} is no file in what the engine saved")
    return member.size, file  # type: ignore[return-value]


def _layer(source: tarfile.TarFile, into: tarfile.TarFile, name: str, there: set[str]) -> dict[str, object]:
    size, file = _opened(source, name)
    digest = hashlib.sha256()
    while piece := file.read(PIECE):
        digest.update(piece)
    if digest.hexdigest() not in there:
        there.add(digest.hexdigest())
        about = tarfile.TarInfo(f"blobs/sha256/{digest.hexdigest()}")
        about.size = size
        into.addfile(about, _opened(source, name)[1])
    return {"mediaType": f"{OCI}.layer.v1.tar", "digest": f"sha256:{digest.hexdigest()}", "size": size}


def _blob(into: tarfile.TarFile, content: bytes, kind: str, there: set[str]) -> dict[str, object]:
    digest = hashlib.sha256(content).hexdigest()
    if digest not in there:
        there.add(digest)
        _add(into, f"blobs/sha256/{digest}", content)
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}


def _add(into: tarfile.TarFile, name: str, content: bytes) -> None:
    about = tarfile.TarInfo(name)
    about.size = len(content)
    into.addfile(about, io.BytesIO(content))
