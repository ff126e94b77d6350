"""Runs read through a front door: the commands say there what they say beside the log, and leave nothing behind here."""

import json
import re
import socket
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from concord.client.results import records
from concord.client.results.records import there
from concord.client.run import options
from concord.kit import rpc
from concord.kit.blobs import uri_of
from concord.kit.errors import InvalidInput, NotFound
from concord.kit.settings import Settings
from concord.operate import replay_commands, run_log
from concord.operate.local_records import here
from concord.v1 import runs_service_pb2 as pb
from concord.v1.config_pb2 import RunConfig
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from tests import the_sample
from tests.test_cli import concord, small_file
from tests.test_doctor import settings_in
from tests.test_server import ASKED, KERNELS, services_in

UNKNOWN = "6f7b9a1e-52c1-5d0b-9c64-0c8d1f0e4a77"


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> "World":
    """Services with one finished run, and the folder of somebody who only knows their front door."""
    folder = tmp_path_factory.mktemp("remote")
    with services_in(folder / "cluster") as address:
        made = World(address, settings_in(folder / "cluster"), folder)
        small_file(folder)
        done = concord(folder, "run", "pairs.jsonl", *ASKED, "--json", "--server", address, **KERNELS)
        made.report, made.told = json.loads(done.stdout), done.stderr
        yield made


class World:
    """Commands given through the door, and the same beside the log."""

    def __init__(self, address: str, settings: Settings, folder: Path) -> None:
        self.address, self.settings, self.folder = address, settings, folder
        # What the run printed.
        self.report: dict = {}
        self.told = ""

    @property
    def run_id(self) -> str:
        return self.report["run_id"]

    def there(self, *words: str) -> str:
        return said(self.folder, *words, "--server", self.address)

    def beside(self, *words: str) -> str:
        return said(self.folder, *words, CONCORD_HOME=self.settings.home)


def said(folder: Path, *words: str, **more: str) -> str:
    done = concord(folder, *words, **more, **KERNELS)
    assert done.returncode == 0, done.stderr
    return done.stdout


# What may be read


def test_a_run_is_found_and_read_alike_here_and_there(world):
    with here(world.settings) as near, there(world.address) as far:
        for name in ("last", world.run_id, world.run_id[:8]):
            assert near.find(name) == far.find(name) == world.run_id
        assert list(near.views()) == list(far.views()) and len(list(far.views())) == 1
        assert list(near.of(world.run_id)) == list(far.of(world.run_id))
        uri = run_log.fold_of(world.run_id, far.of(world.run_id)).state.view.dataset_uri
        assert near.blob(uri) == far.blob(uri)
        assert (near.given_up(world.run_id), far.given_up(world.run_id)) == (0, None)


@pytest.mark.parametrize("where", ["here", "there"])
def test_what_is_not_there_is_said_alike(world, where):
    with here(world.settings) if where == "here" else there(world.address) as read:
        for ask in (lambda: read.find("zzz"), lambda: read.find(""), lambda: read.find(UNKNOWN)):
            with pytest.raises(NotFound, match="run"):
                ask()
        with pytest.raises(NotFound, match=UNKNOWN):
            list(read.of(UNKNOWN))
        with pytest.raises(NotFound):
            read.blob(uri_of(b"never stored"))


def test_a_beginning_that_several_runs_share_is_refused_and_pages_of_a_list_are_put_together(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "MOST_RUNS_A_PAGE", 2)
    ids = [f"aaaaaaaa-0000-5000-8000-00000000000{n}" for n in range(5)]
    with services_in(tmp_path / "cluster") as address, rpc.channel(address) as channel, there(address) as far:
        with pytest.raises(NotFound, match=f"no runs at {address} yet"):
            far.find("last")
        for run_id in ids:
            RunServiceStub(channel).CreateRun(pb.CreateRunRequest(run_id=run_id, config=config()))
        assert [view.run_id for view in far.views()] == ids and far.find("last") == ids[-1]
        with pytest.raises(InvalidInput, match="the beginning of 5 runs"):
            far.find("aaaa")


def config() -> RunConfig:
    return options.run_config(options.resolve({"judge": "sample"}), None)


def test_a_whole_id_needs_no_store_and_none_is_made(world, tmp_path):
    with here(replace(world.settings, state_url=f"sqlite:///{tmp_path / 'none.sqlite'}")) as near:
        assert near.find(world.run_id) == world.run_id
        with pytest.raises(NotFound, match=r"CONCORD_STATE_URL .* whole id"):
            near.find("last")
    assert not list(tmp_path.iterdir())


# The commands


def test_runs_and_stories_are_told_through_the_door_as_beside_the_log(world):
    listed = world.there("runs")
    assert listed == world.beside("runs") and listed.startswith(f"{world.run_id}  finished")
    assert world.there("replay", "last") == world.beside("replay", "last")
    events = world.there("replay", world.run_id, "--events")
    assert events == world.beside("replay", world.run_id, "--events")
    far, near = (json.loads(ask("replay", "last", "--json")) for ask in (world.there, world.beside))
    assert (far["story"].pop("dead_letters"), near["story"].pop("dead_letters")) == (None, 0)
    assert far == near


@pytest.mark.slow
def test_a_run_is_told_as_it_was_at_an_offset_or_a_time(world):
    facts = [json.loads(line) for line in world.there("replay", "last", "--events").splitlines()]
    # The first fact that is younger than the one before: times on the command line count in microseconds.
    middle = next(n for n in range(len(facts) // 2, len(facts)) if facts[n]["at"] > facts[n - 1]["at"] + 1e-3)
    between = (facts[middle]["at"] + facts[middle - 1]["at"]) / 2
    until = (str(facts[middle - 1]["offset"]), datetime.fromtimestamp(between).isoformat())
    for words in (("--until", end) for end in until):
        told = world.there("replay", "last", "--events", *words)
        assert [json.loads(line) for line in told.splitlines()] == facts[:middle]
    assert "running" in world.there("replay", "last", "--until", until[0])


@pytest.mark.slow
def test_the_report_and_the_export_are_made_through_the_door_as_beside_the_log(world):
    for ask, out in ((world.there, "far"), (world.beside, "near")):
        ask("report", "last", "--out", f"{out}-report", "--label-price", "0.5")
        ask("export", world.run_id[:8], "--format", "trl", "--out", f"{out}.jsonl")
    for far, near in (("far-report/report.json", "near-report/report.json"), ("far.jsonl", "near.jsonl")):
        assert (world.folder / far).read_bytes() == (world.folder / near).read_bytes()
    assert json.loads((world.folder / "far-report/report.json").read_text())["run_id"] == world.run_id


def test_whoever_only_knows_the_door_has_no_log_no_store_and_no_blobs_afterwards(world):
    world.there("replay", "last")
    world.there("report", "last")
    kept = {path.name for path in (world.folder / "concord-data").iterdir()}
    assert kept == {"concord.log", "servers"}


REFUSED = {
    "--log": "CONCORD_LOG_URL",
    "--diff": "CONCORD_LOG_URL and CONCORD_STATE_URL",
    "--unit": "CONCORD_LOG_URL, CONCORD_STATE_URL and CONCORD_BLOB_URL",
}


def test_what_a_door_does_not_hand_out_is_refused_with_the_variables_to_set(world):
    refused = concord(world.folder, "replay", "last", "--diff", "--server", world.address)
    assert refused.returncode == 2, refused.stderr
    assert "--diff" in refused.stderr and f"the services' own {REFUSED['--diff']} in" in refused.stderr
    for flag, variables in REFUSED.items():
        with pytest.raises(InvalidInput, match=f"{flag} .* the services' own {variables} in"):
            replay_commands.check_there(world.address, {"--events": True, flag: True})
        replay_commands.check_there("", {flag: True})


def test_a_door_that_is_away_and_an_address_that_is_none_are_said(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        away = concord(tmp_path, "replay", "last", "--server", address)
    assert away.returncode == 4 and address in away.stderr and "Traceback" not in away.stderr
    wrong = concord(tmp_path, "runs", "--server", "localhost")
    assert wrong.returncode == 2 and "HOST:PORT is expected" in wrong.stderr


def test_commands_that_read_make_neither_a_log_nor_a_store(tmp_path):
    for words in (("runs",), ("replay", "last"), ("report", "last"), ("export", "last", "--format", "trl")):
        done = concord(tmp_path, *words)
        assert "no runs in concord-data yet" in done.stderr and done.returncode == (0 if words == ("runs",) else 2)
    assert [path.name for path in (tmp_path / "concord-data").iterdir()] == ["concord.log"]


# Runs that go on


@pytest.mark.slow
def test_a_run_goes_on_there_from_a_run_there_and_the_same_command_is_the_same_run(tmp_path):
    small_file(tmp_path, 60)
    (tmp_path / "more.jsonl").write_text("\n".join(the_sample.jsonl().splitlines()[50:90]) + "\n")
    with services_in(tmp_path / "cluster") as address:
        door = ("--server", address)
        first = json.loads(said(tmp_path, "run", "pairs.jsonl", *ASKED, "--json", *door))
        words = ("run", "more.jsonl", "--from", "last", "--json", *door)
        second = json.loads(said(tmp_path, *words))
        assert (second["parent"]["run_id"], second["parent"]["pairs"], second["pairs"]) == (first["run_id"], 60, 90)
        assert second["parent"]["answers"] > 0
        assert json.loads(said(tmp_path, *words))["run_id"] == second["run_id"]
        lines = said(tmp_path, "runs", *door).splitlines()
    assert len(lines) == 2 and f"goes on from {first['run_id'][:8]}" in lines[1]


@pytest.mark.slow
def test_what_people_answered_there_is_taken_over_there(tmp_path):
    """The second run has the same pairs, but a single answer of its own."""
    rows = [json.loads(line) for line in small_file(tmp_path, 60).read_text().splitlines()]
    blind = [{key: row[key] for key in ("id", "prompt", "responses", "reference")} for row in rows]
    (tmp_path / "blind.jsonl").write_text("".join(json.dumps(row) + "\n" for row in blind))
    (tmp_path / "one.jsonl").write_text(json.dumps({"pair_id": rows[0]["id"], "choice": "first"}) + "\n")
    with services_in(tmp_path / "cluster") as address:
        words = (*ASKED, "--json", "--server", address)
        said(tmp_path, "run", "pairs.jsonl", *words)
        # The sample's right answers would decide most of these pairs, and nobody would be asked about them.
        blind_words = ("--annotators", "file:one.jsonl", "--skip-unanswered", "--no-checks")
        words = ("run", "blind.jsonl", *blind_words, *words)
        assert json.loads(said(tmp_path, *words, "--reuse", "last"))["human_labels"] > 1


def test_the_command_that_is_shown_at_the_end_finds_the_run_there(world):
    shown = re.search(r"replay it with: \S+ (replay .*)", world.told)
    assert shown and said(world.folder, *shown[1].split()).startswith(f"run {world.run_id}")
