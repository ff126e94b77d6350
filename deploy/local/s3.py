"""An S3 server on this machine: VersityGW over a folder where `make s3` built it, moto's imitation everywhere.

VersityGW is a real server: it checks keys and keeps objects as files. By hand: `python -m deploy.local.s3 [--port 9000] FOLDER`.
"""

import argparse
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.broker import ROOT, free_port
from deploy.local.servers import dies_with_parent, ended, started

VERSITY = ROOT / ".tools" / "s3" / "versitygw"
KEY, SECRET = "concord", "a-long-secret-of-the-tests"
BUCKET = "concord-tests"
# No other place for keys or settings is looked at: no file of the user's, no machine's role.
ALONE = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}
UP_S = 30.0


@dataclass
class S3:
    """One server. Start and restart it from the main thread: it dies with the thread that started it."""

    kind: str
    folder: Path
    port: int
    process: subprocess.Popen

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def variables(self) -> Mapping[str, str]:
        """What a process must have in its environment."""
        return {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}

    def url(self, prefix: str, bucket: str = BUCKET) -> str:
        """Where CONCORD_BLOB_URL would find the blobs."""
        return f"s3://{bucket}/{prefix}?endpoint_url={self.endpoint}&region=us-east-1"

    def client(self):
        """boto3's own client, to look at the objects past us."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )

    def stop(self) -> None:
        """Ends it; VersityGW's objects stay in the folder, moto's are gone."""
        ended(self.process, signal.SIGTERM, 10.0)

    def kill(self) -> None:
        """Ends it as a crash would: kill -9."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Starts it again on the same port, if it does not run."""
        if self.process.poll() is not None:
            self.process = _launch(self.kind, self.folder, self.port)
            self.make_bucket()

    def make_bucket(self) -> None:
        """Makes the bucket where it is missing."""
        client = self.client()
        if BUCKET not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
            client.create_bucket(Bucket=BUCKET)


def start_s3(kind: str, folder: Path, port: int | None = None) -> S3:
    """Starts the server, `versity` or `moto`, waits until it answers and makes the bucket.

    Raises RuntimeError that says what to install, or what the server wrote before it ended.
    """
    if kind == "versity" and not VERSITY.exists():
        raise RuntimeError("VersityGW is not built: `make s3` (needs Go)")
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    server = S3(kind, folder, port, _launch(kind, folder, port))
    server.make_bucket()
    return server


def _launch(kind: str, folder: Path, port: int) -> subprocess.Popen:
    (folder / "objects").mkdir(exist_ok=True)
    command = {
        "versity": [
            str(VERSITY),
            "--port",
            f"127.0.0.1:{port}",
            "--keep-alive",
            "--quiet",
            "posix",
            str(folder / "objects"),
        ],
        "moto": [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
    }[kind]
    environment = os.environ | {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET}
    command = dies_with_parent(command, signal.SIGKILL)
    what = f"the S3 server ({kind}) on port {port}"
    return started(what, command, folder / "server.log", lambda: _answers(port), UP_S, environment)


def _answers(port: int) -> bool:
    """Any answer of HTTP will do: without a key it is a refusal."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2).close()
        return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int)
    parser.add_argument("--kind", choices=("versity", "moto"), default="versity" if VERSITY.exists() else "moto")
    given = parser.parse_args()
    server = start_s3(given.kind, given.folder.resolve(), given.port)
    words = " ".join(f"{name}={value}" for name, value in server.variables.items())
    print(
        f"{words} CONCORD_BLOB_URL='{server.url('concord')}'   (pid {server.process.pid}; Ctrl-C ends it)", flush=True
    )
    try:
        server.process.wait()
    except KeyboardInterrupt:
        server.stop()


if __name__ == "__main__":
    main()
