"""The run that went wrong of docs/replay.md, by its own commands: the judge breaks in the middle, the run stops, the story
shows where, and the mended judge is asked only for what is missing."""

import json
import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from concord.kit.settings import from_environment, open_log, open_store
from concord.operate import run_log
from concord.v1.events_pb2 import Stage
from tests import the_sample
from tests.test_cli import concord

pytestmark = pytest.mark.slow


ROOT = Path(__file__).parent.parent
REPLAY = (ROOT / "docs" / "replay.md").read_text()
PAIRS, BREAKS_AFTER = 512, 600


def judge(port: int, after: int) -> tuple[subprocess.Popen, str]:
    """The example as a process, and what it prints: the judge's address."""
    command = [sys.executable, str(ROOT / "examples" / "breaking_judge.py"), "--port", str(port), str(after)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "src")))}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    return process, process.stdout.readline().strip()


def end(process: subprocess.Popen) -> None:
    process.terminate()
    process.wait(30)
    process.stdout.close()


@pytest.fixture(scope="module")
def gone_wrong(tmp_path_factory):
    """The folder, the run that stopped, its story, a unit done again, and what the mended judge makes of the run."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "pairs.jsonl").write_text("\n".join(the_sample.jsonl().splitlines()[:PAIRS]) + "\n")
    process, address = judge(0, BREAKS_AFTER)
    words = ("run", "pairs.jsonl", "--judge", address, "--budget", "10%", "--json")
    # Two shards at once, so that the silence is not spread over all eight.
    few = {"CONCORD_CONCURRENCY": "1", "CONCORD_JUDGE_CONCURRENCY": "8"}
    try:
        broken = concord(folder, *words, **few)
        story = concord(folder, "replay", "last")
    finally:
        end(process)
    process, _ = judge(int(re.search(r":(\d+)/", address)[1]), 0)
    try:
        unit = re.search(r"--unit (\S+)", story.stdout)
        again = concord(folder, "replay", "last", "--unit", unit[1]) if unit else None
        mended = concord(folder, *words, "--resume")
    finally:
        end(process)
    return folder, broken, story, again, mended


def labelled(folder: Path) -> list[int]:
    """The numbers of the shards, in the order of their labels."""
    settings = from_environment({}, home=str(folder / "concord-data"))
    with closing(open_store(settings)) as store, closing(open_log(settings)) as log:
        (run_id,) = store.runs("runs")
        facts = [event for event, _ in run_log.events(log, run_id)]
    return [
        fact.unit.number for fact in facts if fact.HasField("shard_labeled") and fact.unit.stage == Stage.STAGE_LABEL
    ]


def test_the_run_stops_and_says_why_and_how_it_goes_on(gone_wrong):
    _, broken, _, _, _ = gone_wrong
    assert broken.returncode == 3, broken.stderr
    assert (
        re.search(r"no usable verdict on \d+ of (the last )?\d+ pairs", broken.stderr) and "--resume" in broken.stderr
    )


def test_the_story_shows_where_the_judge_broke(gone_wrong):
    folder, _, story, _, _ = gone_wrong
    line = r"^ *(\d+)  [\d:]{8}  ! LABEL/(\d): pairs without a usable verdict: from +(\d+)% to (\d+)%$"
    found = re.search(line, story.stdout, re.M)
    assert found, story.stdout + story.stderr
    # 600 answers are those of 300 pairs, of which the pilot took some: the fifth of eight shards. Two shards run at once, so
    # it breaks within both, and few follow before the run stops: the share after the break is a mean over half-good shards.
    before, after = int(found[3]), int(found[4])
    # In the order in which they were labelled: on a busy machine one of the first may come late.
    place = labelled(folder).index(int(found[2]))
    assert abs(place - BREAKS_AFTER // 2 // 64) <= 1 and before < 25 and after > 2 * before + 50
    assert re.search(r"^ +▁+[▁-█]*█+$", story.stdout, re.M)


def test_before_that_place_the_run_was_sound(gone_wrong):
    folder, _, story, _, _ = gone_wrong
    offset = re.search(r"--until (\d+)", story.stdout)[1]
    before = concord(folder, "replay", "last", "--until", offset)
    assert before.returncode == 0 and "open: " in before.stdout and " ! " not in before.stdout, before.stdout


def test_the_unit_done_again_shows_what_the_mended_judge_says(gone_wrong):
    _, _, _, again, _ = gone_wrong
    assert again.returncode == 3, again.stderr
    line = r'shard_labeled.choice: \d+ of 64 rows differ \(its fact → done again\): .*"CHOICE_UNSPECIFIED" → "CHOICE_'
    assert re.search(line, again.stdout)


def test_the_mended_judge_is_paid_only_for_what_was_rubbish_and_the_labels_are_sound(gone_wrong):
    folder, _, _, _, mended = gone_wrong
    assert mended.returncode == 0, mended.stderr
    report = json.loads(mended.stdout)
    assert report["label_accuracy"]["final"] > 0.85
    facts = [json.loads(line)["event"] for line in concord(folder, "replay", "last", "--events").stdout.splitlines()]
    anew = [fact for fact in facts if fact.get("unit", {}).get("retry") and "shard_labeled" in fact]
    calls, kept = (sum(int(fact["usage"].get(name, 0)) for fact in anew) for name in ("calls", "cached_calls"))
    # The usable verdicts of the shard in the middle of which it broke, and those of the unit that was done again, are kept.
    assert anew and calls + kept == 2 * 64 * len(anew) and kept > 0
    assert not any("CHOICE_UNSPECIFIED" in fact["shard_labeled"]["choice"] for fact in anew)


def test_the_story_of_the_mended_run_tells_the_stop_and_shows_no_break_any_more(gone_wrong):
    story = concord(gone_wrong[0], "replay", "last").stdout
    assert "! paused (silent_judge): " in story and "tried anew" in story
    assert "▁" not in story and "--until" not in story


def test_the_docs_tell_it_with_commands_that_exist_and_lines_of_this_form():
    passage = REPLAY.split("## A run that went wrong")[1].split("\n## ")[0]
    for word in ("examples/breaking_judge.py 1700", "--until", "--unit LABEL/", "--resume"):
        assert word in passage
    assert re.search(r"! LABEL/\d+: pairs without a usable verdict: from 0% to \d+%\n +▁+[▁-█]*█+$", passage, re.M)
