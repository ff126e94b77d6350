"""The README's run that went wrong, by its own commands: the judge breaks in the middle, the story shows where, the mended
judge is asked only for what is missing."""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from services.preference import sample
from tests.test_cli import concord

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAIRS, BREAKS_AFTER = 512, 600


def judge(port: int, after: int) -> tuple[subprocess.Popen, str]:
    """The example as a process, and what it prints: the judge's address."""
    command = [sys.executable, str(ROOT / "examples" / "breaking_judge.py"), "--port", str(port), str(after)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "protos")))}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    return process, process.stdout.readline().strip()


def end(process: subprocess.Popen) -> None:
    process.terminate()
    process.wait(30)
    process.stdout.close()


@pytest.fixture(scope="module")
def gone_wrong(tmp_path_factory):
    """The folder, the address, the broken run's report, its story, and what the mended judge makes of it."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "pairs.jsonl").write_text("\n".join(sample.jsonl().splitlines()[:PAIRS]) + "\n")
    process, address = judge(0, BREAKS_AFTER)
    words = ("run", "pairs.jsonl", "--judge", address, "--budget", "10%", "--json")
    try:
        broken = concord(folder, *words)
        story = concord(folder, "replay", "last")
    finally:
        end(process)
    process, _ = judge(int(re.search(r":(\d+)/", address)[1]), 0)
    try:
        unit = re.search(r"--unit (\S+)", story.stdout)
        again = concord(folder, "replay", "last", "--unit", unit[1]) if unit else None
        mended = concord(folder, *words, "--new", "mended")
    finally:
        end(process)
    return folder, broken, story, again, mended


def test_the_story_shows_where_the_judge_broke(gone_wrong):
    _, broken, story, _, _ = gone_wrong
    assert broken.returncode == 0, broken.stderr
    line = r"^ *(\d+)  [\d:]{8}  ! LABEL/(\d): pairs without a usable verdict: from +(\d+)% to (\d+)%$"
    found = re.search(line, story.stdout, re.M)
    assert found, story.stdout + story.stderr
    # 600 answers are those of 300 pairs, of which the pilot took some: the fifth of eight shards.
    assert abs(int(found[2]) - BREAKS_AFTER // 2 // 64) <= 1 and int(found[3]) < 25 and int(found[4]) > 75
    assert re.search(r"^ +▁+[▁-█]*█+$", story.stdout, re.M)


def test_before_that_place_the_run_was_sound(gone_wrong):
    folder, _, story, _, _ = gone_wrong
    offset = re.search(r"--until (\d+)", story.stdout)[1]
    before = concord(folder, "replay", json.loads(gone_wrong[1].stdout)["run_id"], "--until", offset)
    assert before.returncode == 0 and "open: " in before.stdout and " ! " not in before.stdout, before.stdout


def test_the_unit_done_again_shows_what_the_mended_judge_says(gone_wrong):
    _, _, _, again, _ = gone_wrong
    assert again.returncode == 3, again.stderr
    line = r'shard_labeled.choice: \d+ of 64 rows differ \(its fact → done again\): .*"CHOICE_UNSPECIFIED" → "CHOICE_'
    assert re.search(line, again.stdout)


def test_a_new_run_pays_only_for_what_was_rubbish_and_is_better(gone_wrong):
    _, broken, _, _, mended = gone_wrong
    assert mended.returncode == 0, mended.stderr
    before, after = json.loads(broken.stdout), json.loads(mended.stdout)
    assert after["label_accuracy"]["final"] > before["label_accuracy"]["final"] + 0.1
    assert before["run_id"] != after["run_id"]
    story = concord(gone_wrong[0], "replay", "last").stdout
    calls, kept = map(int, re.search(r"  LABEL .* (\d+) judge calls and (\d+) kept", story.replace(",", "")).groups())
    # Every usable verdict of the first run is kept, and those of the unit that was done again; nobody is asked twice.
    assert calls + kept == 2 * PAIRS and kept >= BREAKS_AFTER - 64
    assert " ! " not in story


def test_the_readme_tells_it_with_commands_that_exist_and_lines_of_this_form():
    passage = README.split("### A run that went wrong")[1].split("\n## ")[0]
    for word in ("examples/breaking_judge.py 1700", "--until", "--unit LABEL/", "--new mended"):
        assert word in passage
    assert re.search(r"! LABEL/\d+: pairs without a usable verdict: from 0% to \d+%\n +▁+[▁-█]*█+$", passage, re.M)
