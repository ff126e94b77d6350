"""Child processes that do units: the same answers, errors as they were, and none that outlives its parent."""

import fcntl
import os
import signal
import subprocess
import sys
import termios
from array import array
from concurrent.futures import CancelledError
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

from concord.kit.blobs import FileBlobs
from concord.kit.blobs.s3 import s3_blobs
from concord.kit.errors import InvalidInput, NotFound, Unavailable
from concord.kit.ids import run_id, uri_of, work_id
from concord.kit.loop.children import Children
from concord.scoring.units import Units
from concord.v1.events_pb2 import Stage
from concord.v1.pairs_pb2 import PairShard, PairsManifest
from concord.v1.work_pb2 import Work
from tests import the_sample
from tests.faulty_s3 import REFUSES, faulty_s3
from tests.waiting import until

RUN = run_id("children", b"")
PAIRS = [row.pair for row in the_sample.given().rows[:64]]


def fit(blobs: FileBlobs) -> Work:
    """A unit that fits a basis of features."""
    shard = blobs.put(PairShard(pairs=PAIRS).SerializeToString())
    manifest = PairsManifest(shards=[{"uri": shard, "pairs": len(PAIRS)}], pairs=len(PAIRS))
    unit = {"stage": Stage.STAGE_FIT_FEATURES}
    work = Work(
        run_id=RUN, unit=unit, pairs_uri=blobs.put(manifest.SerializeToString()), fit_features={"max_texts": 64}
    )
    work.config.components = 8
    work.work_id = work_id(RUN, work.unit)
    return work


@pytest.fixture
def blobs(tmp_path):
    return FileBlobs(tmp_path)


@pytest.fixture
def children(tmp_path):
    made = Children("scoring", 2, {"CONCORD_BLOB_URL": f"file://{tmp_path}"})
    yield made
    made.close()


def test_a_child_reads_and_writes_the_bucket_that_its_parent_does(some_s3, s3_keys, blobs):
    """The bucket's URL is told; the keys to it come with the environment."""
    url = some_s3.url("children")
    ours = s3_blobs(url)
    made = Children("scoring", 1, {"CONCORD_BLOB_URL": url})
    try:
        fact = made.start(fit(ours)).fact.result().features_fitted
    finally:
        made.close()
    with threadpool_limits(1):
        assert fact == Units(blobs).do(fit(blobs)).features_fitted
    assert ours.get(fact.basis_uri) == blobs.get(fact.basis_uri)


def pids(children: Children) -> list[int]:
    return [child.pid for child in children.processes()]


def test_a_child_gives_the_very_answer_that_this_process_would(blobs, children):
    work = fit(blobs)
    theirs = [children.start(work).fact for _ in range(4)]
    with threadpool_limits(1):
        ours = Units(blobs).do(work)
    for answer in (future.result() for future in theirs):
        assert answer.features_fitted == ours.features_fitted
        assert answer.usage.seconds > 0


def test_an_error_comes_back_as_what_it_was(blobs, children):
    work = fit(blobs)
    work.pairs_uri = uri_of(b"nobody stored this")
    with pytest.raises(NotFound, match=work.pairs_uri):
        children.start(work).fact.result()
    work.pairs_uri = "../../etc/passwd"
    with pytest.raises(InvalidInput, match="not a blob URI"):
        children.start(work).fact.result()
    work.ClearField("task")
    with pytest.raises(RuntimeError, match="KeyError"):
        children.start(work).fact.result()


def unread(child: subprocess.Popen) -> int:
    """Bytes that were written to the child and that it has not read."""
    count = array("i", [0])
    fcntl.ioctl(child.stdin, termios.FIONREAD, count)
    return count[0]


def test_a_child_that_was_killed_is_named_as_the_cause_and_replaced(blobs, children):
    before = pids(children)
    for pid in before:
        os.kill(pid, signal.SIGSTOP)
    future = children.start(fit(blobs)).fact
    # Before that there is none that does the unit, and another one would.
    until(lambda: any(unread(child) for child in children.processes()), "the unit is handed to a child")
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="killed by signal 9"):
        future.result()
    assert children.start(fit(blobs)).fact.result().features_fitted.dimensions
    assert pids(children), "there is a new one"
    assert not set(before) & set(pids(children))


def test_where_no_process_can_be_started_units_wait_for_one_and_none_is_lost(blobs, children, monkeypatch):
    for child in children.processes():
        child.kill()
        child.wait()
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    for _ in range(5):
        with pytest.raises(Unavailable, match="no child process can be started"):
            children.start(fit(blobs)).fact.result(10)
    monkeypatch.undo()
    both = [children.start(fit(blobs)).fact for _ in range(2)]
    assert all(future.result(60).features_fitted.dimensions for future in both)


def test_a_child_that_begins_while_the_bucket_refuses_it_says_so_of_a_unit_and_opens_it_for_the_next(s3_keys):
    with faulty_s3() as server:
        work = fit(s3_blobs(server.url))
        server.always = REFUSES
        made = Children("scoring", 1, {"CONCORD_BLOB_URL": server.url})
        try:
            with pytest.raises(Unavailable, match="refuses the key"):
                made.start(work).fact.result()
            server.always = ""
            assert made.start(work).fact.result().features_fitted.dimensions
        finally:
            made.close()


def test_a_unit_that_is_stopped_ends_in_its_middle_and_its_child_is_replaced(blobs, tmp_path):
    children = Children("scoring", 1, {"CONCORD_BLOB_URL": f"file://{tmp_path}"})
    try:
        (pid,) = pids(children)
        os.kill(pid, signal.SIGSTOP)
        first, waiting = children.start(fit(blobs)), children.start(fit(blobs))
        waiting.stop()
        first.stop()
        for unit in (first, waiting):
            with pytest.raises(CancelledError):
                unit.fact.result(10)
        assert children.start(fit(blobs)).fact.result(60).features_fitted.dimensions
        assert pid not in pids(children)
    finally:
        children.close()


def test_close_ends_children_in_the_middle_of_a_unit(blobs, tmp_path):
    children = Children("scoring", 1, {"CONCORD_BLOB_URL": f"file://{tmp_path}"})
    (pid,) = pids(children)
    os.kill(pid, signal.SIGSTOP)
    future = children.start(fit(blobs)).fact
    children.close()
    assert future.exception() is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_close_does_not_mind_a_unit_that_was_written_and_never_sent(tmp_path):
    children = Children("scoring", 1, {"CONCORD_BLOB_URL": f"file://{tmp_path}"})
    (child,) = children._all
    child.stdin.write(b"the beginning of a unit")
    children.close()
    assert child.poll() is not None


def test_no_child_outlives_the_process_that_started_it(tmp_path):
    """Standard error stays open for as long as any of them lives."""
    script = (
        "import sys\nfrom concord.kit.loop.children import Children\n"
        f"children = Children('scoring', 2, {{'CONCORD_BLOB_URL': 'file://{tmp_path}'}})\n"
        "print('started', flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    ) as parent:
        assert parent.stdout.readline() == "started\n"
        parent.kill()
        assert "Traceback" not in parent.stderr.read()
