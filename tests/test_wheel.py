"""What an installation puts on everybody's path: `concord`, and nothing else."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The wheel, built from this tree by its own hook, and unpacked as an installation does."""
    folder = tmp_path_factory.mktemp("wheel")
    build = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT))
    subprocess.run([sys.executable, "-m", "pip", *build], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "site")
    return folder / "site"


def test_the_only_name_that_a_wheel_brings_is_concord(site):
    brought = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert brought == {"concord"}


def test_a_wheel_holds_every_module_its_stubs_and_its_page(site):
    here = {path.relative_to(ROOT / "services").as_posix() for path in (ROOT / "services").rglob("*.py")}
    there = {path.relative_to(site / "concord").as_posix() for path in (site / "concord").rglob("*.py")}
    assert here == there
    assert (site / "concord" / "report" / "page.html").exists()


def test_a_wheel_works_where_a_folder_has_a_package_services_of_its_own(site, tmp_path):
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "__init__.py").write_text("raise SystemExit('this is somebody else')\n")
    asked = "import concord.cli, concord.v1.events_pb2; print(concord.__file__)"
    environment = os.environ | {"PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", asked], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(site / "concord" / "__init__.py")
