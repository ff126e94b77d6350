"""Every field of every request has a bound, and what goes beyond it is refused and leaves no trace."""

import grpc
import pytest
from google.protobuf.message import Message

from concord.client.run import drive, options
from concord.commands.door import door
from concord.embedded import embedded
from concord.kit import ids, rpc
from concord.kit.errors import InvalidInput
from concord.kit.log import Log
from concord.kit.log.topics import FACTS
from concord.kit.loop.commands import append_and_wait
from concord.kit.settings import from_environment, open_log, open_store
from concord.preference import request_bounds
from concord.runs import limits
from concord.v1 import runs_service_pb2 as pb
from concord.v1.events_pb2 import Event
from concord.v1.labeling_service_pb2 import LabelPairsRequest
from concord.v1.labeling_service_pb2_grpc import LabelingServiceStub
from concord.v1.pairs_pb2 import Message as Turn
from concord.v1.pairs_pb2 import Pair, RecordedVerdict, Response
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.triage_service_pb2 import PreviewTriageRequest
from concord.v1.triage_service_pb2_grpc import TriageServiceStub
from tests import contract_requests as requests
from tests import the_sample
from tests.small_pairs import pair

RUN = ids.run_id("a run whose requests are looked at", b"")
PAIRS = [row.pair for row in the_sample.given().rows[:64]]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with embedded(from_environment({}, home=str(tmp_path_factory.mktemp("home")))) as running:
        yield running


@pytest.fixture(scope="module")
def channel(running):
    with rpc.channel(running.address) as channel:
        RunServiceStub(channel).CreateRun(pb.CreateRunRequest(run_id=RUN, config=config()))
        yield channel


@pytest.fixture
def runs(channel):
    return RunServiceStub(channel)


def config():
    return options.run_config(options.resolve({"judge": "sample", "shard_pairs": 32}), None)


def facts(log: Log) -> int:
    return sum(log.end(FACTS, partition) for partition in range(FACTS.partitions))


def refusal(call, request: Message) -> tuple[grpc.StatusCode, str]:
    """The status and the words of a call that must not succeed, be it a stream or not."""
    with pytest.raises(grpc.RpcError) as refused:
        answer = call(request, timeout=30)
        list(answer) if hasattr(answer, "__iter__") else None
    return refused.value.code(), refused.value.details()


def test_every_field_of_every_request_has_a_bound_and_no_bound_is_left_over():
    found: dict = {}
    for call in requests.rpcs():
        requests.types(call.request.DESCRIPTOR, found)
    wanted = {name: {field.name for field in kind.fields} for name, kind in found.items()}
    assert {name: set(fields) for name, fields in request_bounds.TABLE.items()} == wanted


@pytest.mark.parametrize("call", requests.rpcs(), ids=lambda call: call.path.rpartition("/")[2])
def test_what_goes_beyond_a_bound_is_refused_by_its_place(call):
    tried = list(requests.beyond(call.request))
    assert tried
    for place, request in tried:
        with pytest.raises(InvalidInput) as refused:
            request_bounds.check(request)
        assert place.rpartition(".")[2] in str(refused.value)


@pytest.mark.parametrize("call", requests.rpcs(), ids=lambda call: call.path.rpartition("/")[2])
def test_it_is_refused_by_the_server_too_and_leaves_no_fact(call, channel, running):
    log = open_log(running.settings)
    before = facts(log)
    made = channel.unary_stream if call.streams else channel.unary_unary
    ask = made(call.path, call.request.SerializeToString, call.response.FromString)
    for place, request in requests.beyond(call.request):
        # A message that is itself too large is refused before it is sent.
        if request.ByteSize() < rpc.MOST_MESSAGE_BYTES:
            status, words = refusal(ask, request)
            assert status is grpc.StatusCode.INVALID_ARGUMENT, (place, words)
    assert facts(log) == before


def test_the_door_of_a_single_command_looks_as_well(tmp_path):
    with door(from_environment({}, home=str(tmp_path)), "") as address, rpc.channel(address) as channel:
        status, words = refusal(RunServiceStub(channel).GetRun, pb.GetRunRequest(run_id="x" * 101))
    assert status is grpc.StatusCode.INVALID_ARGUMENT and "run_id has 101 characters" in words


def test_a_reason_that_is_too_long_is_refused_and_cancels_nothing(runs):
    status, words = refusal(runs.CancelRun, pb.CancelRunRequest(run_id=RUN, request_id="long", reason="x" * 3_900_000))
    assert status is grpc.StatusCode.INVALID_ARGUMENT and "reason has 3,900,000 characters" in words
    assert runs.GetRun(pb.GetRunRequest(run_id=RUN)).run.status == pb.RUN_STATUS_CREATED


def test_a_run_with_huge_words_of_an_earlier_version_can_be_read_by_everybody(tmp_path):
    """Such a fact could come about before there were bounds; it stands in the log for good."""
    settings, run_id = from_environment({}, home=str(tmp_path)), ids.run_id("huge", b"")
    with embedded(settings) as running, rpc.channel(running.address) as channel:
        runs = RunServiceStub(channel)
        runs.CreateRun(pb.CreateRunRequest(run_id=run_id, config=config()))
        huge = Event(event_id=ids.event_id(run_id, "huge"), run_id=run_id, run_cancelled={"reason": "x" * 4_100_000})
        append_and_wait(open_log(settings), open_store(settings), "runs", [huge])
        view = runs.GetRun(pb.GetRunRequest(run_id=run_id)).run
        assert view.status == pb.RUN_STATUS_CANCELLED and view.detail.endswith("(4,100,000 characters)")
        assert [run.run_id for run in runs.ListRuns(pb.ListRunsRequest()).runs] == [run_id]
        read = [fact for answer in runs.ReadFacts(pb.ReadFactsRequest(run_id=run_id)) for fact in answer.facts]
        assert len(read) == 2


def with_verdict(**said: object) -> Pair:
    made = pair("a", "b", pair_id="row-1")
    made.verdicts.add(**said)
    return made


BROKEN = {
    "no id": pair("a", "b"),
    "an id that cannot be printed": pair("a", "b", pair_id="a\nb"),
    "nothing at all": Pair(),
    "no responses": Pair(pair_id="row-1", prompt=[Turn(role="user", content="Why?")]),
    "one response": Pair(pair_id="row-1", first=Response(text="a")),
    "no text": pair(" ", "", pair_id="row-1"),
    "a role that nobody has": pair("a", "b", pair_id="row-1", prompt=[Turn(role="oracle", content="x")]),
    "a verdict of nobody": with_verdict(choice="CHOICE_FIRST"),
    "confidence below 0": with_verdict(judge="m", confidence=-5),
    "confidence 0": with_verdict(judge="m", confidence=0),
    "confidence above 1": with_verdict(judge="m", confidence=7),
    "confidence that is no number": with_verdict(judge="m", confidence=float("nan")),
    "a choice that is none": with_verdict(judge="m", choice=99),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_pair_that_no_file_could_have_brought_is_refused_at_the_door_too(what, runs):
    asked = pb.SubmitPairsRequest(run_id=RUN, request_id=what, pairs=[PAIRS[0], BROKEN[what]])
    status, words = refusal(runs.SubmitPairs, asked)
    assert status is grpc.StatusCode.INVALID_ARGUMENT and "pairs[1]" in words
    assert runs.GetRun(pb.GetRunRequest(run_id=RUN)).run.pairs == 0


def test_two_pairs_with_one_id_are_refused_in_one_call_and_over_several(runs):
    twice = pb.SubmitPairsRequest(run_id=RUN, request_id="twice", pairs=[PAIRS[0], PAIRS[0]])
    status, words = refusal(runs.SubmitPairs, twice)
    assert status is grpc.StatusCode.INVALID_ARGUMENT and f"two pairs have the id '{PAIRS[0].pair_id}'" in words
    run_id = ids.run_id("twice", b"")
    runs.CreateRun(pb.CreateRunRequest(run_id=run_id, config=config()))
    for at in range(2):
        sent = pb.SubmitPairsRequest(run_id=run_id, request_id=str(at), pairs=[PAIRS[0]], first_index=at)
        runs.SubmitPairs(sent)
    status, words = refusal(runs.StartRun, pb.StartRunRequest(run_id=run_id, request_id="start"))
    assert status is grpc.StatusCode.INVALID_ARGUMENT and "two pairs have the id" in words
    assert runs.GetRun(pb.GetRunRequest(run_id=run_id)).run.status == pb.RUN_STATUS_CREATED


def test_a_verdict_at_the_ends_of_its_range_is_taken():
    for confidence in (5e-324, 0.5, 1.0):
        said = RecordedVerdict(judge="m", choice="CHOICE_TIE", confidence=confidence)
        limits.check_pairs([pair("a", "", pair_id="row-1", verdicts=[said])], 1)


@pytest.mark.parametrize("original", ["{", "7", "{}", "[]", "[1]", '[{"tools": 1}]'])
def test_what_stands_beside_an_answer_is_its_messages_or_refused(original):
    held = pair("a", "b", pair_id="row-1")
    held.first.original = original
    with pytest.raises(InvalidInput, match="original"):
        limits.check_pairs([held], 1)
    held.first.original = '[{"role": "assistant", "content": "a"}]'
    limits.check_pairs([held], 1)


@pytest.mark.parametrize("token", ["²", "-1", "x", " 1", "1.0", "٣"])
def test_a_page_that_nobody_gave_is_refused(token, runs):
    status, words = refusal(runs.ListRuns, pb.ListRunsRequest(page_token=token))
    assert status is grpc.StatusCode.INVALID_ARGUMENT and "page_token" in words


def test_a_preview_over_other_blobs_is_refused_in_words(channel, runs):
    run_id = ids.run_id("previewed", b"")
    drive.begin(runs, run_id, config(), PAIRS, "0" * 64, "made up")
    runs.PauseRun(pb.PauseRunRequest(run_id=run_id, request_id="1"))
    uri = runs.GetRun(pb.GetRunRequest(run_id=run_id)).run.pairs_uri
    for task in (
        {"labels_uri": uri, "features_uri": uri, "scores_uri": uri},
        {"labels_uri": uri},
        {"annotation_uris": [uri], "previous_uri": uri},
    ):
        for method in ("posterior", "rlthf", "none", "no method"):
            work = {"run_id": run_id, "config": config(), "pairs_uri": uri, "triage_round": task | {"ask": 3}}
            asked = PreviewTriageRequest(work=work)
            asked.work.config.method = method
            status, words = refusal(TriageServiceStub(channel).PreviewTriage, asked)
            assert status is grpc.StatusCode.INVALID_ARGUMENT, words


def test_a_temperature_that_is_no_number_is_refused_before_anybody_is_asked(channel):
    asked = LabelPairsRequest(judge={"kind": "llm", "name": "m", "url": "http://127.0.0.1:9/v1"}, pairs=PAIRS[:1])
    asked.judge.temperature = float("nan")
    status, words = refusal(LabelingServiceStub(channel).LabelPairs, asked)
    assert status is grpc.StatusCode.INVALID_ARGUMENT and "judge.temperature must lie between" in words
