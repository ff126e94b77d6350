"""What a cluster on one machine is made of: which command, settings and port each piece has. Touches nothing."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from concord.wiring import HOLD_STORE, SERVICES
from deploy.local import s3

# The ground that the services stand on, in the order in which it is laid.
GROUND = ("kafka", "postgres", "s3")
DATABASE, BUCKET = "concord", "concord"
# Set by the cluster alone, whatever the caller's environment says.
OWN = (
    "CONCORD_HOME",
    "CONCORD_LOG_URL",
    "CONCORD_STATE_URL",
    "CONCORD_BLOB_URL",
    "CONCORD_LISTEN",
    "CONCORD_RUNS_ADDRESS",
    "CONCORD_METRICS_PORT",
)


@dataclass(frozen=True)
class Plan:
    """Where everything is. `ports`: piece → port on 127.0.0.1; `s3_kind`: `versity` or `moto`."""

    root: Path
    folder: Path
    s3_kind: str
    ports: Mapping[str, int]

    @property
    def front(self) -> str:
        """What a client is given: all front doors, where there are several."""
        doors = [f"127.0.0.1:{port}" for name, port in self.ports.items() if name.startswith("runs-")]
        return doors[0] if len(doors) == 1 else f"ipv4:{','.join(doors)}"

    def urls(self) -> dict[str, str]:
        """The three URLs, and the keys that the third one needs."""
        endpoint = f"http://127.0.0.1:{self.ports['s3']}"
        return {
            "CONCORD_LOG_URL": f"kafka://127.0.0.1:{self.ports['kafka']}",
            "CONCORD_STATE_URL": f"postgresql://concord@127.0.0.1:{self.ports['postgres']}/{DATABASE}",
            "CONCORD_BLOB_URL": f"s3://{BUCKET}/cluster?endpoint_url={endpoint}&region=us-east-1",
            "AWS_ACCESS_KEY_ID": s3.KEY,
            "AWS_SECRET_ACCESS_KEY": s3.SECRET,
        }

    def command(self, name: str) -> list[str]:
        """What runs the piece until it is told to stop."""
        if name not in GROUND:
            return [sys.executable, "-m", "concord", service_of(name)]
        module = {"kafka": "deploy.local.broker", "postgres": "deploy.local.postgres", "s3": "deploy.local.s3"}[name]
        more = ["--kind", self.s3_kind] if name == "s3" else []
        return [sys.executable, "-m", module, "--port", str(self.ports[name]), *more, str(self.folder / name)]

    def environment(self, name: str, given: Mapping[str, str]) -> dict[str, str]:
        """The caller's environment, which may hold judges' keys and settings, but for what would lead elsewhere."""
        kept = {key: value for key, value in given.items() if key not in OWN and not key.startswith("AWS_")}
        path = f"{self.root / 'src'}:{self.root}"
        if name in GROUND:
            return {**kept, "PYTHONPATH": path}
        listen = f"127.0.0.1:{self.ports[name]}"
        own = {"CONCORD_HOME": str(self.folder / "home"), "CONCORD_LISTEN": listen, "PYTHONPATH": path}
        urls = self.urls()
        if service_of(name) not in HOLD_STORE:
            own["CONCORD_RUNS_ADDRESS"] = self.front
            # Workers hold no database; the judges' answers are kept in one.
            if service_of(name) != "labeling":
                del urls["CONCORD_STATE_URL"]
        return {**kept, **s3.ALONE, **urls, **own}


def names(replicas: int) -> list[str]:
    """All pieces, the ground first; `runs-0` is the front door."""
    return [*GROUND, *(f"{service}-{number}" for service in SERVICES for number in range(replicas))]


def service_of(name: str) -> str:
    """`runs-0` → `runs`."""
    return name.rpartition("-")[0]
