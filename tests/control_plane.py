"""A real Kubernetes control plane on the loopback, with nodes that KWOK plays: pods are placed and become ready, none runs."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from deploy.local import programs
from deploy.local.broker import ROOT, free_port

TOOLS = ROOT / ".tools" / "kube"
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
# On a machine that others use as well; it takes seconds where nobody does.
READY_S = 400.0
# Nothing here owns a cloud or hands out addresses of nodes.
CONTROLLERS = "*,-node-ipam-controller,-service-lb-controller,-cloud-node-lifecycle-controller"


def missing() -> list[str]:
    """The programs that `make kube-tools` would build."""
    return [name for name in PROGRAMS if not os.access(TOOLS / name, os.X_OK)]


def wait(what: str, true: Callable[[], object], timeout_s: float = READY_S) -> None:
    """Asks until it is true; AssertionError that says what was waited for."""
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not after {timeout_s:.0f} s: {what}")
        time.sleep(0.1)


class ControlPlane:
    """`with ControlPlane(folder) as plane`: etcd, API server, controllers, scheduler and KWOK until the block ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[tuple[str, subprocess.Popen]] = []
        self.kubeconfig = folder / "kubeconfig"

    def __enter__(self) -> "ControlPlane":
        try:
            self._start_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for _, process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self, name: str, *flags: str, environment: Mapping[str, str] = MappingProxyType({})) -> None:
        """One of the programs in TOOLS, until the block ends."""
        with (self._folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [TOOLS / name, *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env=os.environ | environment,
            )
        self._processes.append((name, process))

    def _start_all(self) -> None:
        etcd, peer, port = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}", free_port()
        key = self._folder / "service-accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        (self._folder / "tokens.csv").write_text("admin-token,admin,admin,system:masters\n")
        self._write_kubeconfig(port)
        self.start(
            "etcd",
            "--data-dir",
            "etcd",
            "--listen-client-urls",
            etcd,
            "--advertise-client-urls",
            etcd,
            "--listen-peer-urls",
            peer,
            "--initial-advertise-peer-urls",
            peer,
            "--initial-cluster",
            f"default={peer}",
            "--unsafe-no-fsync",
        )
        self.start(
            "kube-apiserver",
            f"--etcd-servers={etcd}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            "--cert-dir=certs",
            "--service-cluster-ip-range=10.0.0.0/24",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--token-auth-file=tokens.csv",
            "--authorization-mode=RBAC,Node",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
        )
        wait("the API server is ready", self._is_ready)
        local = (
            f"--kubeconfig={self.kubeconfig}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            "--secure-port=0",
        )
        signing = f"--service-account-private-key-file={key}"
        quick = "--horizontal-pod-autoscaler-sync-period=2s"
        self.start("kube-controller-manager", *local, signing, f"--controllers={CONTROLLERS}", quick)
        self.start("kube-scheduler", *local)
        play = ("--manage-all-nodes=true", f"--config={TOOLS / 'kwok-stages.yaml'}", "--node-lease-duration-seconds=40")
        self.start("kwok", f"--kubeconfig={self.kubeconfig}", *play)

    def _write_kubeconfig(self, port: int) -> None:
        cluster = {"server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True}
        made = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "clusters": [{"name": "it", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": "admin-token"}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "admin"}}],
        }
        self.kubeconfig.write_text(json.dumps(made))

    def _is_ready(self) -> bool:
        for name, process in self._processes:
            if process.poll() is not None:
                raise AssertionError(f"{name} ended:\n{(self._folder / f'{name}.log').read_text()[-2000:]}")
        return self.asked("get", "--raw", "/readyz").returncode == 0

    def asked(self, *words: str, given: str | None = None) -> subprocess.CompletedProcess:
        """kubectl's answer, whatever it is."""
        command = [str(programs.kubectl()), "--kubeconfig", str(self.kubeconfig), *words]
        return subprocess.run(command, input=given, capture_output=True, text=True, cwd=ROOT)

    def do(self, *words: str, given: str | None = None) -> str:
        """kubectl's standard output; AssertionError with what it says where it fails."""
        done = self.asked(*words, given=given)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr}"
        return done.stdout

    def refused(self, *words: str, given: str | None = None) -> str:
        """What it says in refusing; AssertionError where it does not."""
        done = self.asked(*words, given=given)
        assert done.returncode != 0, f"kubectl {' '.join(words)} was let through: {done.stdout}"
        return done.stderr

    def get(self, *words: str) -> dict:
        """`kubectl -n concord get …` as a value."""
        return json.loads(self.do("-n", "concord", "get", *words, "-o", "json"))
