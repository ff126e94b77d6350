"""What workers gave up, asked of the front door and shown on the operators' page: listed in words, put back once, with a reason."""

import json
from contextlib import contextmanager
from dataclasses import replace

import httpx2
import pytest

from concord.client.results.records import there
from concord.console.serving import serving
from concord.embedded import embedded
from concord.kit import rpc
from concord.kit.errors import InvalidInput
from concord.kit.ids import run_id as new_run_id
from concord.kit.log import Record
from concord.kit.log.topics import LABEL
from concord.kit.loop import events
from concord.kit.loop.facts import dead_letter
from concord.kit.loop.run_records import records
from concord.kit.settings import Settings, open_log
from concord.operate import replay_commands
from concord.runs import dead_letters
from concord.runs.service import MOST_LETTERS
from concord.v1 import runs_service_pb2 as pb
from concord.v1.events_pb2 import PauseReason, Stage
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.work_pb2 import Work
from tests.console_world import Browser, World
from tests.test_doctor import followed, run_in, settings_in
from tests.test_sigkill import endpoint


@pytest.fixture(params=["sqlite", "kafka"])
def settings(request, tmp_path) -> Settings:
    plain = settings_in(tmp_path / "home")
    return replace(plain, log_url=request.getfixturevalue("kafka_url")) if request.param == "kafka" else plain


def given_up(settings: Settings, judge) -> str:
    """A run that stands still, for its judge refused the key; by now it does not, so what was under way gives up nothing more."""
    view = run_in(settings, judge=f"{judge.url}#stub", pilot=0, method="none")
    assert view.pause_reason == PauseReason.PAUSE_REASON_FAILED_UNITS
    judge.behaviour.key = ""
    return view.run_id


def letters_of(runs: RunServiceStub, run_id: str) -> pb.ListDeadLettersResponse:
    return runs.ListDeadLetters(pb.ListDeadLettersRequest(run_id=run_id))


def test_what_was_given_up_is_listed_and_goes_back_once_with_its_reason(settings):
    with endpoint(key="right") as judge:
        run_id = given_up(settings, judge)
        with embedded(settings) as running, rpc.channel(running.address) as channel:
            runs = RunServiceStub(channel)
            listed = letters_of(runs, run_id).letters
            assert listed and all(
                (one.service, one.unit.stage, one.goes_back, one.put_back_at)
                == ("labeling", Stage.STAGE_LABEL, True, 0)
                and "401" in one.error
                and "go out again" in one.says
                for one in listed
            )
            told = list[str]()
            with there(running.address) as door:
                replay_commands.print_letters_there(door, run_id, False, told.append)
                replay_commands.print_letters_there(door, run_id, True, told.append)
                with pytest.raises(InvalidInput, match=r"--requeue 0/0: .* --requeue all"):
                    replay_commands.requeue_there(door, run_id, ["0/0"], True)
            assert len(told) == len(listed) + 2 and all("labeling" in line and "401" in line for line in told[1:-1])
            assert [one["letter"] for one in json.loads(told[-1])] == [one.name for one in reversed(listed)]
            asked = pb.RequeueDeadLettersRequest(run_id=run_id, request_id="once", reason="the key was mended")
            first, again = runs.RequeueDeadLetters(asked), runs.RequeueDeadLetters(asked)
            assert (first.put_back, again.put_back) == (len(listed), 0)
            assert first.run.status == pb.RUN_STATUS_RUNNING
            assert followed(runs, run_id, lambda view: False).status == pb.RUN_STATUS_FINISHED
            for one in letters_of(runs, run_id).letters:
                assert one.put_back_at >= one.at and not one.goes_back and "the key was mended" in one.says
            with there(running.address) as door:
                replay_commands.requeue_there(door, run_id, ["all"], True, told.append)
            assert told[-1] == "nothing to put back"
    log = open_log(settings)
    (retried,) = (fact for fact in events.facts(records(log, run_id)) if fact.kind == "stage_retried")
    assert retried.event.stage_retried.reason == "the key was mended"
    log.close()


def test_of_a_run_with_very_many_the_newest_of_each_partition_are_held(open_log):
    log, run_id, other = open_log(), new_run_id("many letters", b""), new_run_id("another", b"")
    letters = [
        dead_letter(Record(LABEL.name, 0, 6 * number, b"k", Work(run_id=own).SerializeToString(), 0.0), number, "no")
        for number in range(MOST_LETTERS + 50)
        for own in (run_id, other)
    ]
    log.append(letters)
    found = dead_letters.latest(log, run_id)
    assert [letter.said.attempts for letter in found] == list(range(50, MOST_LETTERS + 50))
    assert {letter.run_id for letter in found} == {run_id}
    assert len(dead_letters.read(log)) == len(letters)
    log.close()


@contextmanager
def pages(settings: Settings):
    with (
        embedded(settings) as running,
        rpc.channel(running.address) as channel,
        serving(replace(settings, console_listen="127.0.0.1:0"), running.address) as console,
        httpx2.Client(base_url=console.url, timeout=60) as anybody,
    ):
        yield World(console, RunServiceStub(channel), None, None, settings.home, anybody)


def test_the_operator_s_page_shows_what_was_given_up_and_puts_it_back(tmp_path):
    settings = settings_in(tmp_path)
    with endpoint(key="right") as judge:
        run_id = given_up(settings, judge)
        with pages(settings) as world:
            operator: Browser = world.enter("operator", "op", run_id)
            page = operator.get("/letters").text
            assert "Judge" in page and "labeling" in page and "401" in page and "go out again" in page
            viewer = world.enter("viewer", "eye", run_id)
            assert "401" in viewer.get("/letters").text and "requeue" not in viewer.get("/letters").text
            assert viewer.send("/requeue", why="no right").status_code == 403
            assert operator.send("/requeue", why="").status_code == 400
            assert operator.client.post(f"{operator.path}/requeue", data={"why": "no form"}).status_code == 403
            assert not any(one.put_back_at for one in letters_of(world.runs, run_id).letters)
            assert operator.send("/requeue", why="a new <key>").status_code == 303
            assert operator.send("/requeue", why="again").status_code == 409
            assert followed(world.runs, run_id, lambda view: False).status == pb.RUN_STATUS_FINISHED
            page = operator.get("/letters").text
            assert "a new &lt;key&gt; (op)" in page and "requeue" not in page
