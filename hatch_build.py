"""The package `concord` is the folder `services`: the link that an editable install imports it by, and its gRPC stubs.

`src/concord` leads to `services`, so that the only name on the path is `concord`; it is made anew where a copy of the tree has
lost it. `protos/concord/v1/x.proto` becomes `from concord.v1 import x_pb2` in `services/v1`, which is never committed.
"""

import sys
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Package(BuildHookInterface):
    """Makes the link and runs protoc before every build; an editable install does so too."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict) -> None:
        """Writes *_pb2.py, *_pb2.pyi and *_pb2_grpc.py where the package is and adds them to the wheel."""
        prepare(Path(self.root))
        build_data["artifacts"] += ["services/v1/*.py", "services/v1/*.pyi"]


def prepare(root: Path) -> None:
    """Makes `root/src/concord` and compiles every proto below `root/protos`; exits with protoc's own message on an error."""
    import grpc_tools
    from grpc_tools import protoc

    link = root / "src" / "concord"
    link.parent.mkdir(exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(Path("..") / "services", target_is_directory=True)
    stubs = root / "services" / "v1"
    stubs.mkdir(exist_ok=True)
    (stubs / "__init__.py").touch()
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    sources = sorted(str(path) for path in (root / "protos").rglob("*.proto"))
    flags = [f"--{kind}={root / 'src'}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
    if status := protoc.main(["protoc", f"-I{root / 'protos'}", f"-I{well_known}", *flags, *sources]):
        raise SystemExit(status)


if __name__ == "__main__":
    prepare(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
