"""Endpoints as people have them: found out once, said once, no verdict lost, no word of it where it does not belong."""

import asyncio
import json
import zlib
from contextlib import suppress
from random import Random

import pytest
from structlog.testing import capture_logs

from concord.kit.errors import Deferred, Permanent
from concord.labeling.answer_cache import MemoryAnswers, request_key
from concord.labeling.chat import ChatSettings
from concord.labeling.llm import LLMJudges
from concord.labeling.refusal import Trouble
from concord.labeling.shard import accounted, label_shard
from concord.labeling.wire import MOST_BODY, Wire
from concord.labeling.wire import Endpoint as Endpoint_
from concord.v1 import config_pb2 as cfg
from concord.v1 import pairs_pb2 as pb
from concord.v1.events_pb2 import AnswerFault, Usage
from tests.dialects import DIALECTS, Dialects, pairs, right
from tests.endpoint import Endpoint
from tests.fake_time import FakeTime

USABLE = sorted(name for name, dialect in DIALECTS.items() if dialect.verdicts == 24)
LASTING = sorted(name for name, dialect in DIALECTS.items() if dialect.lasting)


def judge(url: str, **changes) -> cfg.JudgeConfig:
    return cfg.JudgeConfig(**{"kind": "llm", "name": "m", "url": url, "both_orders": True, "max_tokens": 300} | changes)


def judges(time: FakeTime, answers=None, environ=None, **settings) -> LLMJudges:
    answers = MemoryAnswers() if answers is None else answers
    return LLMJudges(answers, environ or {}, ChatSettings(**settings), clock=time, sleep=time.sleep, random=Random(0))


def asked(name: str, **settings):
    """(served, what the judge of this dialect said of 12 pairs, usage, its judges, log lines)."""

    async def scenario():
        async with Dialects() as served:
            llm = judges(FakeTime(), **settings)
            try:
                with capture_logs() as logs:
                    said, usage = await llm.ask(pairs(), judge(served.url(name)), 1)
                return served, said, usage, llm.chat(judge(served.url(name))), logs
            finally:
                await llm.close()

    return asyncio.run(scenario())


def shard(name: str):
    """The fact of a shard that the judge of this dialect labels."""

    async def scenario():
        async with Dialects() as served:
            llm = judges(FakeTime())
            try:
                with capture_logs() as logs:
                    fact, usage = await label_shard(
                        list(enumerate(pairs(), 64)), judge(served.url(name)), [], 1, llm.ask
                    )
                return fact, usage, logs
            finally:
                await llm.close()

    return asyncio.run(scenario())


@pytest.mark.parametrize("name", USABLE)
def test_every_dialect_gives_every_verdict(name):
    served, said, usage, _, _ = asked(name)
    assert [one.choice for one in said] == [right(pair) for pair in pairs()]
    assert all(one.order_flipped == 0 for one in said)
    assert usage.calls <= len(served.requests[name])


@pytest.mark.parametrize("name", USABLE)
def test_one_at_a_time_a_verdict_comes_within_a_few_calls(name):
    served, _, _, _, _ = asked(name, concurrency=1)
    assert served.first[name] <= 7, served.first[name]


def test_what_an_endpoint_does_not_take_is_found_out_once_said_once_and_can_be_asked_for():
    served, _, _, chat, logs = asked("reasoning", concurrency=1)
    assert len(served.requests["reasoning"]) == 24 + 3, "three refusals, no more"
    dropped = (
        "max_tokens as max_completion_tokens",
        "logprobs left out",
        "temperature left out",
        "top_logprobs left out",
    )
    assert chat.dropped == dropped
    assert [line["how"] for line in logs if line["event"] == "judge_is_asked_otherwise"] == [dropped]


@pytest.mark.parametrize(
    ("name", "dropped"),
    [
        ("standard", ()),
        ("llamacpp", ()),
        ("mistral", ("logprobs left out", "seed left out", "top_logprobs left out")),
        ("noschema", ("response_format tgi",)),
        ("plainschema", ("response_format plain json_schema",)),
        ("tgi", ("response_format tgi", "temperature at least 0.01")),
        ("vllm", ("logprobs left out", "top_logprobs left out")),
        ("listing", ("seed left out",)),
        ("router", ("seed left out",)),
    ],
)
def test_only_what_was_refused_is_dropped(name, dropped):
    assert asked(name)[3].dropped == dropped


def test_the_standard_schema_goes_on_the_wire_as_it_is():
    served = asked("standard")[0]
    sent = served.requests["standard"][0]["response_format"]
    assert sent["type"] == "json_schema" and sent["json_schema"]["schema"]["properties"]["winner"]["enum"] == ["A", "B"]


def test_answers_are_kept_under_the_standard_request_whatever_was_sent():
    async def scenario():
        answers = MemoryAnswers()
        async with Dialects() as served:
            config = judge(served.url("strict"))
            llm = judges(FakeTime(), answers)
            await llm.ask(pairs(1), config, 1)
            one = llm.of(config)
            for swapped in (False, True):
                (key, request), *_ = one._asker._requests(one._question(pairs(1)[0], swapped), 1)
                assert set(request) >= {"seed", "response_format", "logprobs", "top_logprobs", "max_tokens"}
                assert key == request_key(config.url, request, 0) and await answers.get(key)
            await llm.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("name", "room"), [("thinking", 16), ("unseen", 16), ("inline", 16), ("reasons", 64), ("wordy", 2)]
)
def test_a_judge_whose_answers_are_cut_gets_more_room_once(name, room):
    served, _, usage, chat, logs = asked(name, concurrency=1)
    assert chat.dialect.room == room
    assert sum(line["event"] == "judge_gets_more_tokens" for line in logs) == (2 if room == 64 else 1)
    assert len(served.requests[name]) == usage.calls == 24 + (2 if room == 64 else 1)


FAULTS = {
    "copying": AnswerFault.ANSWER_FAULT_NOT_UNDERSTOOD,
    "contradicting": AnswerFault.ANSWER_FAULT_CONTRADICTING,
    "cut": AnswerFault.ANSWER_FAULT_CUT,
    "shortcontext": AnswerFault.ANSWER_FAULT_CUT,
    "declining": AnswerFault.ANSWER_FAULT_REFUSED,
    "refusing": AnswerFault.ANSWER_FAULT_REFUSED,
    "filtering": AnswerFault.ANSWER_FAULT_FILTERED,
    "silent": AnswerFault.ANSWER_FAULT_EMPTY,
    "number": AnswerFault.ANSWER_FAULT_EMPTY,
}


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_useless_answers_are_counted_by_cause_and_a_few_are_kept(name):
    fact, usage, logs = shard(name)
    (count,) = fact.faults
    assert (count.fault, count.answers, count.judge.startswith("llm:m@http")) == (FAULTS[name], 24, True)
    assert len(fact.kept_answers) == 3 and {kept.fault for kept in fact.kept_answers} == {FAULTS[name]}
    assert [kept.pair_index for kept in fact.kept_answers] == [64, 64, 65]
    assert [kept.swapped for kept in fact.kept_answers] == [False, True, False]
    assert usage.calls >= 24, "useless answers are paid"
    for kept in fact.kept_answers:
        assert not kept.text or kept.text not in json.dumps(logs), "an answer's words stay out of the log"


def test_what_a_filter_refuses_harms_those_requests_alone():
    fact, _, logs = shard("azure")
    assert [(one.fault, one.answers) for one in fact.faults] == [(AnswerFault.ANSWER_FAULT_FILTERED, 3)]
    assert "content management" in fact.kept_answers[0].text and "content management" not in json.dumps(logs)
    assert len(fact.pair_index) == 12 and pb.CHOICE_UNSPECIFIED not in fact.choice


def test_a_sound_judge_leaves_no_faults():
    fact, _, _ = shard("standard")
    assert not fact.faults and not fact.kept_answers


@pytest.mark.parametrize("name", LASTING)
def test_what_no_retry_mends_ends_at_once_with_the_reason(name):
    async def scenario():
        async with Dialects() as served:
            time = FakeTime()
            llm = judges(time)
            with pytest.raises(Permanent) as raised:
                await llm.ask(pairs(), judge(served.url(name)), 1)
            await llm.close()
            assert time.now < 10 and len(served.requests[name]) < 60
            assert raised.value.usage.calls == 0, "nothing of it is paid"
            return str(raised.value)

    said = asyncio.run(scenario())
    assert {"quota": "credit", "payment": "credit", "unauth": "Incorrect key", "nomodel": "URL#MODEL", "html": "HTML"}[
        name
    ] in said


def test_counts_that_cannot_be_are_estimated_and_floats_that_are_whole_are_taken():
    assert asked("floats")[2].prompt_tokens == 24 * 300
    for name in ("liar", "nousage"):
        assert 24 * 100 < asked(name)[2].prompt_tokens < 24 * 2_000


def test_azure_gets_its_key_in_its_own_header_too():
    async def scenario():
        async with Dialects() as served:
            llm = judges(FakeTime(), environ={"K": "secret-key-1"})
            await llm.ask(pairs(1), judge(served.url("azure"), api_key_env="K"), 1)
            await llm.close()
            headers = served.headers["azure"][0]
            assert (headers["api-key"], headers["authorization"]) == ("secret-key-1", "Bearer secret-key-1")

    asyncio.run(scenario())


def test_a_base_url_without_v1_is_tried_both_ways():
    async def scenario():
        async with Dialects() as served:
            llm = judges(FakeTime())
            for below in ("standard", "standard/other"):
                said, _ = await llm.ask(pairs(2), judge(served.below(below)), 1)
                assert [one.choice for one in said] == [right(pair) for pair in pairs(2)]
            await llm.close()

    asyncio.run(scenario())


def test_a_question_that_speaks_of_a_fields_name_does_not_take_the_field_from_all_others():
    async def scenario():
        asked = pairs()
        asked[0].prompt[0].content = "What is the temperature in Paris?"
        async with Endpoint(
            poison={"Paris": 400}, error="invalid prompt: What is the temperature in Paris?"
        ) as endpoint:
            llm = judges(FakeTime(), concurrency=1)
            said, _ = await llm.ask(asked, judge(endpoint.url), 1)
            assert [bool(one.choice) for one in said] == [False] + [True] * 11
            assert llm.chat(judge(endpoint.url)).dropped == ()
            await llm.close()

    asyncio.run(scenario())


def test_an_endpoint_that_does_one_at_a_time_is_asked_as_much_as_it_does():
    async def scenario():
        async with Endpoint(latency_s=0.05, one_at_a_time=True) as endpoint:
            with capture_logs() as logs:
                llm = LLMJudges(MemoryAnswers(), {}, ChatSettings(timeout_s=0.5, first_delay_s=0.01))
                said, _ = await llm.ask(pairs(40), judge(endpoint.url), 1)
            await llm.close()
            assert pb.CHOICE_UNSPECIFIED not in {one.choice for one in said}
            assert "judge_is_asked_less" in {line["event"] for line in logs}
            assert endpoint.calls < 80 + 64 + 40, "80 answers, a first wave that was too much, and little more"

    asyncio.run(scenario())


def test_a_time_that_is_set_is_kept_and_told_of():
    async def scenario():
        async with Endpoint(poison={"?": "hang"}) as endpoint:
            llm = judges(FakeTime(), concurrency=1)
            with pytest.raises(Deferred, match=r"no answer within 0\.05 s.*judge_timeout"):
                await llm.ask(pairs(1), judge(endpoint.url, timeout_s=0.05), 1)
            await llm.close()

    asyncio.run(scenario())


def test_the_rate_that_is_set_is_kept_from_the_first_request_on():
    async def scenario():
        async with Dialects() as served:
            time = FakeTime()
            llm = judges(time, concurrency=1)
            await llm.ask(pairs(), judge(served.url("standard"), requests_per_minute=60.0), 1)
            await llm.close()
            assert time.now == pytest.approx(23)

    asyncio.run(scenario())


def test_whoever_names_many_endpoints_leaves_few_connections():
    async def scenario():
        async with Dialects() as served:
            llm = judges(FakeTime())
            for n in range(70):
                await llm.ask(pairs(1), judge(served.url("standard"), name=f"m{n}"), 1)
            assert len(llm._chats) <= 51
            said, _ = await llm.ask(pairs(1), judge(served.url("standard"), name="m0"), 2)
            assert said[0].choice == right(pairs(1)[0])
            await llm.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("packed", [False, True])
def test_a_body_without_end_is_read_no_further_than_needed(packed):
    async def scenario():
        bomb = zlib.compress(b" " * (3 * MOST_BODY)) if packed else b""
        sent = 0

        async def pour(reader, writer):
            nonlocal sent
            await reader.readuntil(b"\r\n\r\n")
            head = b"content-encoding: deflate\r\n" if packed else b""
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n" + head + b"\r\n" + bomb)
            with suppress(ConnectionError):
                while not packed:
                    writer.write(b" " * 2**20)
                    await writer.drain()
                    sent += 1
            writer.close()

        server = await asyncio.start_server(pour, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        wire = Wire(Endpoint_(f"http://127.0.0.1:{port}/v1", "m"), 1)
        with pytest.raises(Trouble, match="more than 16 MB") as raised:
            await wire.send({"model": "m", "messages": []}, 30)
        assert raised.value.paid and sent < 64
        await wire.close()
        server.close()

    asyncio.run(scenario())


def test_a_black_hole_keeps_no_healthy_judge_from_its_calls():
    async def scenario():
        async with Endpoint(poison={"?": "hang"}) as hole, Dialects() as served:
            llm = judges(FakeTime(), concurrency=4)
            falling = asyncio.create_task(llm.ask(pairs(), judge(hole.url), 1))
            while hole.calls < 4:
                await asyncio.sleep(0)
            said, _ = await llm.ask(pairs(), judge(served.url("standard")), 1)
            assert pb.CHOICE_UNSPECIFIED not in {one.choice for one in said}
            falling.cancel()
            await asyncio.gather(falling, return_exceptions=True)
            await llm.close()

    asyncio.run(scenario())


def test_an_error_of_one_judge_carries_what_all_of_them_spent():
    async def scenario():
        class BreaksLater(Endpoint):
            """Answers once the other judge, which asks one thing at a time, has at least two answers."""

            async def _answer(self, request, body):
                while len(served.requests["standard"]) < 3:
                    await asyncio.sleep(0)
                return await super()._answer(request, body)

        async with Dialects() as served, BreaksLater(poison={"What do": 401, "2 + 2": 401}) as breaking:
            llm = judges(FakeTime(), concurrency=1)
            with pytest.raises((Permanent, Deferred)) as raised:
                helpers = [judge(served.url("standard"))]
                await label_shard(list(enumerate(pairs())), judge(breaking.url), helpers, 1, llm.ask)
            await llm.close()
            assert raised.value.usage.calls >= 2
            assert raised.value.usage.prompt_tokens >= 2 * 300

    asyncio.run(scenario())


def test_what_a_judge_had_spent_when_another_ended_it_is_counted():
    async def scenario():
        paid = asyncio.Event()

        async def ended():
            paid.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError as error:
                error.usage = Usage(calls=3)
                raise

        async def breaks():
            await paid.wait()
            error = Permanent("no more")
            error.usage = Usage(calls=2)
            raise error

        with pytest.raises(Permanent) as raised:
            await accounted([ended(), breaks()])
        assert raised.value.usage.calls == 5

    asyncio.run(scenario())
