"""A run that was begun beside another one, to be compared with it, belongs to that one and never passes for it."""

import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from concord.client.results.records import chosen, there
from concord.client.run import options, session
from concord.client.run.job import prepare
from concord.commands.results import run_line, run_lines
from concord.embedded import embedded
from concord.kit import ids, rpc
from concord.kit.settings import from_environment
from concord.preference.methods import COMPARED
from concord.v1 import runs_service_pb2 as pb
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from tests.test_cli import concord, small_file

OWN, BESIDE, LATER = (f"{n}aaaaaaa-0000-5000-8000-000000000000" for n in range(3))
JUDGE = {"kind": "llm", "name": "m"}
ASKED = ("pairs.jsonl", "--judge", "sample", "--budget", "10%")


def said(folder: Path, *words: str) -> str:
    done = concord(folder, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def compared(tmp_path_factory) -> Iterator[tuple[Path, dict]]:
    """A folder in which one run was compared with the other methods, and its report."""
    folder = tmp_path_factory.mktemp("compared")
    small_file(folder, 60)
    yield folder, json.loads(said(folder, "run", *ASKED, "--compare", "--json"))


def test_last_is_the_run_itself_after_a_comparison(compared):
    folder, report = compared
    assert json.loads(said(folder, "replay", "last", "--json"))["state"]["view"]["run_id"] == report["run_id"]
    said(folder, "export", "last", "--format", "trl", "--out", "last.jsonl")
    said(folder, "export", report["run_id"], "--format", "trl", "--out", "own.jsonl")
    assert (folder / "last.jsonl").read_bytes() == (folder / "own.jsonl").read_bytes()
    said(folder, "report", "last", "--out", "again")
    assert json.loads((folder / "again/report.json").read_text())["run_id"] == report["run_id"]


def test_a_comparison_is_listed_under_its_run(compared):
    folder, report = compared
    lines = said(folder, "runs").splitlines()
    own = [line for line in lines if not line.startswith(" ")]
    assert [line.split()[0] for line in own] == [report["run_id"]]
    assert len(lines) == len(report["methods"])
    assert all(f"compared with {report['run_id'][:8]}" in line for line in lines if line.startswith(" "))


def test_a_method_begun_by_its_own_command_is_an_ordinary_run_though_it_was_compared_before(compared):
    folder, report = compared
    own = json.loads(said(folder, "run", *ASKED, "--method", "random", "--json"))
    assert (
        own["run_id"] != report["run_id"]
        and own["label_accuracy"]["final"] == report["methods"]["random"]["label_accuracy"]
    )
    lines = [line for line in said(folder, "runs").splitlines() if not line.startswith(" ")]
    assert [line.split()[0] for line in lines] == [report["run_id"], own["run_id"]]
    assert json.loads(said(folder, "replay", "last", "--json"))["state"]["view"]["run_id"] == own["run_id"]


def test_a_finished_run_of_a_method_is_not_run_again_to_be_compared(tmp_path):
    small_file(tmp_path, 60)
    said(tmp_path, "run", *ASKED, "--method", "none")
    said(tmp_path, "run", *ASKED, "--compare")
    lines = said(tmp_path, "runs").splitlines()
    assert sum(" none " in line for line in lines) == 1
    # There is no further judge, which alone could be the better one.
    assert len(lines) == len(COMPARED) - 1


def test_the_side_run_of_a_method_is_not_the_run_that_its_own_command_begins(tmp_path):
    path = str(small_file(tmp_path, 60))
    job = prepare(path, options.resolve({"judge": "sample"}), None, "")
    own = prepare(path, options.resolve({"judge": "sample", "method": "random"}), None, "")
    beside = session.beside(job, "random", own.config)
    assert (beside.side_of, beside.options.method) == (job.run_id, "random")
    assert beside.run_id not in (job.run_id, own.run_id)


def test_what_is_compared_are_labels_so_a_side_run_aligns_no_policy(tmp_path):
    asked = {"judge": "sample", "reward_model": "a-model", "policy": "a-model", "policy_knobs": "beta=1"}
    job = prepare(str(small_file(tmp_path, 60)), options.resolve(asked), None, "")
    config = session._config_with(job, "random")
    assert (config.reward_model, config.policy, config.policy_knobs) == ("a-model", "", "")
    assert (job.config.policy, job.config.policy_knobs) == ("a-model", "beta=1")


def test_runs_are_listed_with_their_sides_below_them_and_a_side_without_its_run_by_itself():
    views = [pb.RunView(run_id=run_id) for run_id in (OWN, LATER)]
    views.append(pb.RunView(run_id=BESIDE, side_of=OWN))
    assert [line[:10].split("a")[0] for line in run_lines(views)] == ["0", "  1", "2"]
    assert run_lines(views[2:])[0].startswith(BESIDE)


def test_two_runs_of_one_file_are_told_apart_by_their_judges_place_and_criteria():
    line = {
        criteria: run_line(pb.RunView(run_id=OWN, config={"judge": {**JUDGE, "url": url, "criteria": criteria}}))
        for url, criteria in (("http://here:1/v1", ""), ("http://there:2/v1", "Be brief.\n" + "And polite. " * 40))
    }
    one, other = line.values()
    assert "judge llm m http://here:1/v1 ·" in one and "criteria" not in one
    assert "judge llm m http://there:2/v1 · criteria “Be brief. And polite." in other and len(other) < 300


def test_last_looks_past_whatever_was_begun_beside_a_run():
    sides = {OWN: False, BESIDE: True}
    assert chosen([OWN, BESIDE], "last", "", is_side=sides.__getitem__) == OWN
    assert chosen([OWN, BESIDE], BESIDE[:4], "", is_side=sides.__getitem__) == BESIDE


def test_a_side_run_hangs_on_a_run_that_is_there_and_is_none_itself(tmp_path):
    config = options.run_config(options.resolve({"judge": "sample"}), None)
    own, beside, lost = (ids.run_id(name, b"") for name in ("own", "beside", "lost"))
    with (
        embedded(from_environment({}, home=str(tmp_path))) as running,
        rpc.channel(running.address) as channel,
        there(running.address) as far,
    ):
        create = RunServiceStub(channel).CreateRun
        create(pb.CreateRunRequest(run_id=own, config=config))
        assert create(pb.CreateRunRequest(run_id=beside, config=config, side_of=own)).run.side_of == own
        for wrong, code in ((lost, grpc.StatusCode.NOT_FOUND), (beside, grpc.StatusCode.INVALID_ARGUMENT)):
            with pytest.raises(grpc.RpcError) as refused:
                create(pb.CreateRunRequest(run_id=ids.run_id("more", b""), config=config, side_of=wrong))
            assert refused.value.code() is code
        assert far.find("last") == own and len(list(far.views())) == 2
