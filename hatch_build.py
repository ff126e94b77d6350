"""Generates the gRPC stubs: `protos/concord/v1/x.proto` becomes `from concord.v1 import x_pb2`, never committed."""

import sys
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ProtoStubs(BuildHookInterface):
    """Runs protoc before every build; an editable install does so too."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict) -> None:
        """Writes *_pb2.py, *_pb2.pyi and *_pb2_grpc.py beside the protos and adds them to the wheel."""
        generate(Path(self.root))
        build_data["artifacts"] += ["protos/concord/**/*.py", "protos/concord/**/*.pyi"]


def generate(root: Path) -> None:
    """Compiles every proto below `root/protos`; exits with protoc's own message on an error."""
    import grpc_tools
    from grpc_tools import protoc

    well_known = Path(grpc_tools.__file__).parent / "_proto"
    sources = sorted(str(path) for path in (root / "protos").rglob("*.proto"))
    flags = [f"--{kind}={root / 'protos'}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
    if status := protoc.main(["protoc", f"-I{root / 'protos'}", f"-I{well_known}", *flags, *sources]):
        raise SystemExit(status)
    for folder in {Path(source).parent for source in sources} | {root / "protos" / "concord"}:
        (folder / "__init__.py").touch()


if __name__ == "__main__":
    generate(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
