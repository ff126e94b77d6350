"""The benchmarks run, and their quick form shows what the full one measures."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data import data_path

ROOT = Path(__file__).parent.parent
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def quick(*words: str) -> str:
    """What the quick form prints."""
    command = [sys.executable, "-m", *words, "--quick"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | ONE_THREAD, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["judged_pairs.jsonl.gz", "hh_train.jsonl.gz"])
def test_the_data_are_there(name):
    assert data_path(name).exists()


def test_judge_noise_finds_the_posterior_above_random_asking():
    line = r"^  (posterior, pilot off|random, pilot off) +([\d.]+) % of errors removed"
    removed = dict(re.findall(line, quick("benchmarks.judge_noise"), re.M))
    assert float(removed["posterior, pilot off"]) > 10 > float(removed["random, pilot off"])


def test_label_efficiency_finds_the_posterior_above_rlthf_and_random_asking():
    rows = [line.split("|")[1:-1] for line in quick("benchmarks.label_efficiency").splitlines()[2:]]
    labels = {cells[2].strip(): float(cells[-1].split("/")[1]) for cells in rows}
    assert labels["posterior"] > max(labels["rlthf"], labels["random"])


def test_the_loop_at_scale_makes_the_same_dataset_as_a_straight_script():
    printed = quick("benchmarks.loop_scale")
    assert "wall, concord / straight" in printed and "largest resident set in MB: runs" in printed
