"""`concord run` is killed in the middle; the same command goes on where it was: while it judges, and while answers are sampled."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests import the_sample
from tests.endpoint import Endpoint
from tests.test_sigkill import endpoint

pytestmark = pytest.mark.slow


IN_FLIGHT = 8
PAIRS = 120


def command(folder: Path, judge: Endpoint, *more: str) -> subprocess.Popen:
    kernels = {key: value for key, value in os.environ.items() if key.startswith("OPENBLAS_")}
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "CONCORD_JUDGE_CONCURRENCY": str(IN_FLIGHT),
        **kernels,
    }
    words = ["run", "pairs.jsonl", "--judge", f"{judge.url}#stub", "--budget", "10%", "--json", *more]
    return subprocess.Popen(
        [sys.executable, "-m", "concord.cli", *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def folder_with_pairs(folder: Path) -> Path:
    folder.mkdir()
    (folder / "pairs.jsonl").write_text("\n".join(the_sample.jsonl().splitlines()[:PAIRS]) + "\n")
    return folder


def wait_for_calls(judge: Endpoint, count: int) -> None:
    for _ in range(3000):
        if judge.calls >= count:
            return
        threading.Event().wait(0.02)
    raise AssertionError(f"{judge.calls} of {count} calls arrived")


def test_a_run_killed_three_times_ends_as_if_it_had_never_been(tmp_path):
    with endpoint(latency_s=0.1) as judge:
        undisturbed = command(folder_with_pairs(tmp_path / "quiet"), judge)
        quiet = json.loads(undisturbed.communicate(timeout=120)[0])
        judge.paid.clear()
        before, folder = judge.calls, folder_with_pairs(tmp_path / "killed")
        for part in (0.2, 0.5, 0.8):
            running = command(folder, judge)
            wait_for_calls(judge, before + int(part * 2 * PAIRS))
            running.send_signal(signal.SIGKILL)
            running.communicate()
        done = command(folder, judge)
        out, err = done.communicate(timeout=120)
        assert done.returncode == 0, err.decode()
        assert json.loads(out)["dataset_sha256"] == quiet["dataset_sha256"]
        assert judge.paid_again <= 3 * IN_FLIGHT


def test_a_run_killed_while_answers_are_sampled_samples_again_what_was_in_flight_alone(tmp_path):
    prompts, samples = 40, 4
    folder = tmp_path / "prompts"
    folder.mkdir()
    rows = [{"id": f"q{n}", "prompt": f"What of {n}?"} for n in range(prompts)]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with endpoint(latency_s=0.1) as judge:
        how = ("--generate", f"{judge.url}#policy", "--samples", str(samples), "--method", "none")
        for part in (0.3, 0.7):
            running = command(folder, judge, *how)
            wait_for_calls(judge, int(part * samples * prompts))
            running.send_signal(signal.SIGKILL)
            running.communicate()
        done = command(folder, judge, *how)
        out, err = done.communicate(timeout=120)
        assert done.returncode == 0, err.decode()
        report = json.loads(out)
        assert report["generated"]["answers"] == samples * prompts and report["rows"] == prompts
        assert judge.paid_again <= 2 * IN_FLIGHT
