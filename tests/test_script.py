"""A program run for a unit: it ends with all that it started, whoever wants that and however it resists."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from concord.kit.errors import Unavailable
from concord.kit.loop import guard, script
from concord.kit.loop.script import Script
from concord.kit.loop.units import Stop
from tests.waiting import until

# Ignores SIGTERM, as its child in a session of its own does: torchrun's workers have one each.
STUBBORN = """
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
code = "import signal, os; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(os.getpid(), flush=True); signal.pause()"
child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
print(os.getpid(), flush=True)
signal.pause()
"""
OBEDIENT = """
import pathlib, signal, sys
def end(number, frame):
    pathlib.Path("checkpoint").write_text("all of it")
    sys.exit(75)
signal.signal(signal.SIGTERM, end)
print("begun", flush=True)
while True:
    signal.pause()
"""


def python(code: str, folder: Path, grace_s: float = 0.2, **variables: str) -> Script:
    return Script([sys.executable, "-c", code], folder, variables, grace_s)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_it_says_comes_line_by_line_and_its_exit_code_and_complaints_at_the_end(tmp_path):
    run = python("import os, sys; print('a'); print(os.environ['X']); sys.exit('no such model')", tmp_path, X="ü")
    assert list(run.lines()) == ["a", "ü"]
    assert run.wait() == 1
    assert run.complaints() == "no such model"


def test_a_signal_that_ended_it_is_told(tmp_path):
    run = python("import os; os.kill(os.getpid(), 9)", tmp_path)
    assert list(run.lines()) == []
    assert run.wait() == 128 + signal.SIGKILL


def test_it_runs_in_its_folder_and_reads_nothing_of_ours(tmp_path):
    run = python("import os, sys; print(os.getcwd(), repr(sys.stdin.read()))", tmp_path)
    assert list(run.lines()) == [f"{tmp_path} ''"]
    assert run.wait() == 0


def test_a_program_that_cannot_be_started_is_an_outage(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(Unavailable, match="no process can be started for x"):
        Script(["x"], tmp_path, {})


def test_one_that_listens_leaves_its_checkpoint_when_it_is_stopped(tmp_path):
    run = python(OBEDIENT, tmp_path, grace_s=30.0)
    lines = run.lines()
    assert next(lines) == "begun"
    run.stop()
    assert list(lines) == []
    assert run.wait() == 75
    assert (tmp_path / "checkpoint").read_text() == "all of it"


def test_one_that_does_not_listen_is_killed_with_its_grandchild_and_stopping_does_not_wait_for_it(tmp_path):
    run = python(STUBBORN, tmp_path, grace_s=2.0)
    lines = run.lines()
    pids = [int(next(lines)), int(next(lines))]
    run.stop()
    assert all(map(is_alive, pids)), "stopping waited for the end of the grace"
    assert list(lines) == []
    assert run.wait() == 128 + signal.SIGKILL
    assert not any(map(is_alive, pids))


def test_with_the_grace_that_units_have_it_is_over_in_five_seconds():
    assert script.GRACE_S + 2 * guard.LOOK_S < 4.5


def test_what_it_leaves_behind_ends_with_it(tmp_path):
    code = STUBBORN.replace("signal.pause()\n", "sys.exit(3)\n")
    run = python(code, tmp_path)
    said = list(run.lines())
    assert run.wait() == 3
    assert not any(is_alive(int(pid)) for pid in said)


def test_it_does_not_outlive_the_process_that_started_it(tmp_path):
    parent_code = f"""
import sys, pathlib
from concord.kit.loop.script import Script
for line in Script([sys.executable, "-c", {STUBBORN!r}], pathlib.Path({str(tmp_path)!r}), {{}}, 0.2).lines():
    print(line, flush=True)
"""
    root = Path(__file__).parent.parent
    with subprocess.Popen([sys.executable, "-c", parent_code], stdout=subprocess.PIPE, text=True, cwd=root) as parent:
        assert parent.stdout is not None
        pids = [int(parent.stdout.readline()), int(parent.stdout.readline())]
        assert all(map(is_alive, pids))
        parent.kill()
    until(lambda: not any(map(is_alive, pids)), "the end of what a killed process had started")


def test_what_is_to_be_done_at_a_stop_is_done_once_also_where_the_stop_came_first():
    stop, done = Stop(), []
    with stop.then(lambda: done.append("before")):
        pass
    with stop.then(lambda: done.append("within")):
        stop.ask()
        stop.ask()
    with stop.then(lambda: done.append("late")):
        pass
    assert done == ["within", "late"]
    with pytest.raises(CancelledError):
        stop.check()


def test_who_waits_is_woken_by_a_stop():
    stop, ended = Stop(), []

    def wait() -> None:
        try:
            stop.wait(60.0)
        except CancelledError:
            ended.append("cancelled")

    thread = threading.Thread(target=wait)
    thread.start()
    stop.ask()
    thread.join(10)
    assert ended == ["cancelled"]
