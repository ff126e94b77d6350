"""The LLM judge against a real HTTP endpoint. Time is a fake wherever something waits."""

import asyncio
import json
from random import Random

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from concord.kit import telemetry
from concord.kit.errors import Deferred, InvalidInput, Permanent
from concord.labeling.answer_cache import AnswerCache, MemoryAnswers
from concord.labeling.chat import ChatSettings
from concord.labeling.llm import LLMJudges
from concord.labeling.shard import label_shard
from concord.v1 import config_pb2 as cfg
from concord.v1 import pairs_pb2 as pb
from tests.endpoint import Endpoint
from tests.fake_time import FakeTime

FIRST, SECOND, NONE = pb.CHOICE_FIRST, pb.CHOICE_SECOND, pb.CHOICE_UNSPECIFIED
KEY = "sk-very-secret"


def pairs(count: int) -> list[pb.Pair]:
    return [
        pb.Pair(
            pair_id=f"p{n}",
            prompt=[pb.Message(role="user", content=f"Question {n}?")],
            first=pb.Response(text=f"One answer to {n}."),
            second=pb.Response(text=f"Another answer to {n}."),
        )
        for n in range(count)
    ]


def config(endpoint: Endpoint, **changes) -> cfg.JudgeConfig:
    judge = cfg.JudgeConfig(kind="llm", name="stub", url=endpoint.url, both_orders=True, max_tokens=64)
    judge.MergeFrom(cfg.JudgeConfig(**changes))
    return judge


def judges(answers=None, time=None, environ=None, **settings) -> LLMJudges:
    time = time or FakeTime()
    answers = MemoryAnswers() if answers is None else answers
    return LLMJudges(answers, environ or {}, ChatSettings(**settings), clock=time, sleep=time.sleep, random=Random(0))


def expected(endpoint: Endpoint, pair: pb.Pair) -> int:
    """The choice that the endpoint's verdicts lead to."""
    if endpoint.positional(pair.first.text, pair.second.text):
        return FIRST
    return FIRST if endpoint.first_wins(pair.first.text, pair.second.text) else SECOND


def ask(asked, count=20, seed=1, judge=None, behaviour=None, **options):
    """Runs one judge over so many pairs; returns (what it said, usage, endpoint)."""

    async def scenario():
        async with Endpoint(**(behaviour or {})) as endpoint:
            llm = judges(**options)
            try:
                return *await llm.ask(asked or pairs(count), config(endpoint, **(judge or {})), seed), endpoint
            finally:
                await llm.close()

    return asyncio.run(scenario())


def test_each_pair_gets_the_endpoints_verdict_in_both_orders():
    said, usage, endpoint = ask(None, 20, judge={"prompt_dollars": 1.0, "completion_dollars": 2.0})
    assert [s.choice for s in said] == [expected(endpoint, pair) for pair in pairs(20)]
    assert {FIRST, SECOND} == {s.choice for s in said}
    assert all(s.order_flipped == 0 and 0.6 <= s.confidence < 1 for s in said)
    assert (endpoint.calls, usage.calls, usage.cached_calls) == (40, 40, 0)
    assert usage.prompt_tokens == sum(len(r["messages"][0]["content"]) // 4 for r in endpoint.requests)
    assert usage.dollars == pytest.approx((usage.prompt_tokens + 2 * usage.completion_tokens) / 1e6)


def test_the_request_on_the_wire_holds_what_was_configured():
    _, _, endpoint = ask(pairs(1), seed=2**40 + 7, judge={"temperature": 0.25, "criteria": "Be brief."})
    request = endpoint.requests[0]
    assert (request["model"], request["temperature"], request["max_tokens"]) == ("stub", 0.25, 64)
    assert request["seed"] == 7 and "Be brief." in request["messages"][0]["content"]
    schema = request["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["winner"] == {"type": "string", "enum": ["A", "B"]}
    assert request["logprobs"] is True and request["top_logprobs"] >= 2


def test_order_flips_are_found_exactly():
    asked = pairs(60)
    said, _, endpoint = ask(asked, behaviour={"flips": 0.2})
    flipped = [endpoint.positional(pair.first.text, pair.second.text) for pair in asked]
    assert [s.order_flipped for s in said] == [int(f) for f in flipped] and 0 < sum(flipped) < 60
    assert all(s.p_first == 0.5 and s.choice == FIRST for s, f in zip(said, flipped, strict=True) if f)


def test_one_order_is_one_call_and_leaves_the_flip_unknown():
    async def scenario():
        async with Endpoint() as endpoint:
            judge = config(endpoint)
            judge.both_orders = False
            llm = judges()
            said, usage = await llm.of(judge).judge(pairs(1)[0], 1)
            await llm.close()
            assert (said.order_flipped, usage.calls, endpoint.calls) == (-1, 1, 1)

    asyncio.run(scenario())


def test_256_asked_are_256_in_flight():
    _, _, endpoint = ask(pairs(256), behaviour={"hold_until": 256}, concurrency=256)
    assert endpoint.max_in_flight == 256


def test_the_limit_holds_over_all_shards_and_judges():
    async def scenario():
        async with Endpoint(hold_until=8) as endpoint:
            llm = judges(concurrency=8)
            asked = [llm.ask(pairs(20), config(endpoint, name=name), 1) for name in ("one", "two", "three")]
            await asyncio.gather(*asked)
            await llm.close()
            assert endpoint.calls == 120 and endpoint.max_in_flight == 8

    asyncio.run(scenario())


FAILING = {"rate_limited": 0.02, "server_errors": 0.02, "bad_texts": 0.005, "truncated": 0.005}


def test_five_per_cent_of_passing_failures_cost_no_label():
    asked = pairs(500)
    said, usage, endpoint = ask(asked, behaviour=FAILING)
    assert [s.choice for s in said] == [expected(endpoint, pair) for pair in asked]
    assert all(s.order_flipped == 0 for s in said)
    assert endpoint.calls > 1000 and endpoint.paid_again == 0
    assert 1000 < usage.calls < endpoint.calls


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 529])
def test_what_may_pass_is_asked_again_with_growing_delays(status):
    async def scenario():
        async with Endpoint(down=status) as endpoint:
            time = FakeTime()
            with pytest.raises(Deferred, match=str(status)) as raised:
                await judges(time=time, concurrency=1).ask(pairs(1), config(endpoint), 1)
            assert 15 <= raised.value.retry_after_s <= 60
            assert 5 <= time.now <= 40 and 4 < len(time.slept) < 20, "a long wait is the run's, which can tell of it"
            assert time.slept[0] <= 0.2 and time.slept == sorted(time.slept)

    asyncio.run(scenario())


def test_retry_after_is_honoured():
    _, _, endpoint = ask(
        pairs(5), time=(time := FakeTime()), behaviour={"rate_limited": 0.3, "retry_after": "7"}, concurrency=1
    )
    assert endpoint.calls > 10 and min(time.slept) == 7


def test_a_retry_after_beyond_all_patience_defers_at_once_and_is_not_obeyed_for_years():
    async def scenario():
        async with Endpoint(rate_limited=1.0, retry_after="315360000") as endpoint:
            time = FakeTime()
            with pytest.raises(Deferred) as raised:
                await judges(time=time, concurrency=1).ask(pairs(1), config(endpoint), 1)
            assert (raised.value.retry_after_s, time.slept, endpoint.calls) == (60, [], 1)

    asyncio.run(scenario())


def test_an_endpoint_that_is_not_there_defers():
    async def scenario():
        async with Endpoint() as endpoint:
            gone = config(endpoint)
        with pytest.raises(Deferred, match=r"127\.0\.0\.1"):
            await judges().ask(pairs(1), gone, 1)

    asyncio.run(scenario())


def test_an_endpoint_that_comes_back_gives_every_label():
    async def scenario():
        async with Endpoint(down=503) as endpoint:
            time = FakeTime()

            async def sleep(seconds: float) -> None:
                await FakeTime.sleep(time, seconds)
                endpoint.behaviour.down = 0 if time.now > 60 else 503

            llm = LLMJudges(MemoryAnswers(), {}, ChatSettings(), clock=time, sleep=sleep)
            said = None
            while said is None:
                try:
                    said, _ = await llm.ask(pairs(10), config(endpoint), 1)
                except Deferred as deferred:
                    await sleep(deferred.retry_after_s)
            await llm.close()
            assert NONE not in {s.choice for s in said} and 60 < time.now < 200

    asyncio.run(scenario())


@pytest.mark.parametrize("failure", [400, 413, 422, 500, "bad", "truncated"])
def test_a_poisoned_pair_fails_alone_and_is_asked_again_at_the_next_run(failure, tmp_path):
    async def scenario():
        async with Endpoint(poison={"One answer to 3.": failure}) as endpoint:
            answers = AnswerCache(f"sqlite:///{tmp_path / 'answers.db'}")
            llm = judges(answers)
            with capture_logs() as logs:
                said, _ = await llm.ask(pairs(10), config(endpoint), 1)
            assert [n for n, s in enumerate(said) if s.choice == NONE] == [3]
            assert said[3].confidence == 0 and said[3].p_first == 0.5
            assert {line["pair_id"] for line in logs if line["event"] == "pair_without_verdict"} == {"p3"}
            await llm.close()

            endpoint.behaviour.poison = {}
            before, llm = endpoint.calls, judges(answers)
            said, usage = await llm.ask(pairs(10), config(endpoint), 1)
            assert said[3].choice == expected(endpoint, pairs(10)[3])
            assert endpoint.calls - before == 2 and (usage.calls, usage.cached_calls) == (2, 18)
            await llm.close()
            await answers.close()

    asyncio.run(scenario())


def test_a_prompt_that_only_hangs_fails_alone():
    said, _, _ = ask(pairs(4), behaviour={"poison": {"One answer to 3.": "hang"}}, timeout_s=0.5, suspect_after=2)
    assert [s.choice == NONE for s in said] == [False, False, False, True]


def test_a_prompt_whose_answer_takes_longer_than_the_others_gets_the_time():
    with capture_logs() as logs:
        said, _, _ = ask(pairs(4), behaviour={"poison": {"One answer to 3.": 0.5}}, timeout_s=0.2)
    assert [s.choice for s in said if s.choice == NONE] == []
    given = [line["timeout_s"] for line in logs if line["event"] == "judge_gets_more_time"]
    assert given and given[0] == 0.4 and max(given) <= 4 * 0.2


def test_a_time_that_somebody_set_is_kept():
    said, _, _ = ask(
        pairs(4), judge={"timeout_s": 0.5}, behaviour={"poison": {"One answer to 3.": 1.2}}, suspect_after=4
    )
    assert [s.choice == NONE for s in said] == [False, False, False, True]


def test_a_poisoned_pair_that_is_alone_does_not_look_like_an_endpoint_that_is_down():
    said, usage, endpoint = ask(pairs(1), behaviour={"poison": {"Question 0?": 500}})
    assert said[0].choice == NONE and 1 <= usage.calls <= 2, "the probes were paid"
    assert endpoint.paid_again <= 1


def test_a_bad_text_is_asked_once_more_with_another_seed():
    _, usage, endpoint = ask(pairs(1), seed=5, behaviour={"poison": {"Question 0?": "bad"}})
    assert sorted((r["seed"], r["temperature"]) for r in endpoint.requests) == [(5, 0), (5, 0), (6, 0.5), (6, 0.5)]
    assert usage.calls == 4, "useless answers are paid too"


def test_only_usable_answers_are_kept():
    answers = MemoryAnswers()
    said, usage, _ = ask(pairs(50), behaviour={"bad_texts": 0.3, "truncated": 0.1}, answers=answers)
    usable = sum(len(s.choices) for s in said)
    assert len(answers) == usable < usage.calls

    ask(pairs(5), behaviour={"poison": {"Question": "bad"}}, answers=(none := MemoryAnswers()))
    assert len(none) == 0


def test_a_finished_run_asks_nothing_again(tmp_path):
    async def scenario():
        async with Endpoint(**FAILING) as endpoint:
            url = f"sqlite:///{tmp_path / 'answers.db'}"
            said, used = [], []
            for _ in range(2):
                calls, answers = endpoint.calls, AnswerCache(url)
                llm = judges(answers)
                one, usage = await llm.ask(pairs(100), config(endpoint), 1)
                said.append(one)
                used.append((endpoint.calls - calls, usage.calls, usage.cached_calls, usage.dollars))
                await llm.close()
                await answers.close()
            assert used[1] == (0, 0, 200, 0) and said[0] == said[1]

    asyncio.run(scenario())


def test_another_criterion_seed_or_model_is_another_question():
    async def scenario():
        async with Endpoint() as endpoint:
            llm = judges()
            await llm.ask(pairs(1), config(endpoint), 1)
            for judge, seed in (
                (config(endpoint, criteria="x"), 1),
                (config(endpoint, name="y"), 1),
                (config(endpoint), 2),
            ):
                before = endpoint.calls
                await llm.ask(pairs(1), judge, seed)
                assert endpoint.calls == before + 2
            await llm.close()

    asyncio.run(scenario())


def test_after_a_kill_only_what_was_in_flight_is_paid_again(tmp_path):
    async def scenario():
        async with Endpoint() as endpoint:
            url = f"sqlite:///{tmp_path / 'answers.db'}"
            answers = AnswerCache(url)
            llm = judges(answers, concurrency=16)
            work = asyncio.create_task(llm.ask(pairs(200), config(endpoint), 1))
            while endpoint.answered < 180:
                await asyncio.sleep(0)
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
            await llm.close()
            await answers.close()
            assert 180 <= endpoint.answered < 400

            again = AnswerCache(url)
            llm = judges(again, concurrency=16)
            said, usage = await llm.ask(pairs(200), config(endpoint), 1)
            assert NONE not in {s.choice for s in said}
            assert endpoint.paid_again <= 16 and usage.cached_calls >= 180 - 16
            await llm.close()
            await again.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("style", ["json", "fence", "line"])
@pytest.mark.parametrize("logprobs", [True, False])
def test_verdicts_are_read_in_every_style(style, logprobs):
    asked = pairs(10)
    said, _, endpoint = ask(asked, behaviour={"style": style}, logprobs=logprobs)
    assert [s.choice for s in said] == [expected(endpoint, pair) for pair in asked]
    assert all((s.confidence is None) == (style == "line" and not logprobs) for s in said)


BOTH = {"response_format", "logprobs"}
REJECTIONS = [
    ({"response_format": "Unknown parameter: 'response_format'"}, {"response_format"}),
    ({"logprobs": "logprobs are not supported"}, {"logprobs"}),
    ({"logprobs": "logprobs are not supported", "response_format": "json_object is not supported"}, BOTH),
    # Where the refusal does not say why, all that may be unknown is left out.
    ({"logprobs": "unexpected field"}, BOTH),
    ({"response_format": "bad request"}, BOTH),
]


@pytest.mark.parametrize(("rejects", "dropped"), REJECTIONS)
def test_an_endpoint_that_lacks_a_feature_is_asked_without_it(rejects, dropped):
    async def scenario():
        async with Endpoint(rejects=rejects) as endpoint:
            llm = judges()
            said, _ = await llm.ask(pairs(30), config(endpoint), 1)
            assert [s.choice for s in said] == [expected(endpoint, pair) for pair in pairs(30)]
            before = endpoint.calls
            await llm.ask(pairs(30), config(endpoint), 2)
            assert endpoint.calls == before + 60, "the refusal is remembered"
            for request in endpoint.requests[before:]:
                assert BOTH - set(request) == dropped
            # A new process does not know yet what was refused, but finds the answers.
            before = endpoint.calls
            _, usage = await judges(llm._answers).ask(pairs(30), config(endpoint), 1)
            assert endpoint.calls == before and usage.calls == 0
            await llm.close()

    asyncio.run(scenario())


def test_a_poisoned_prompt_that_echoes_a_features_name_does_not_switch_it_off():
    asked = pairs(20)

    async def scenario():
        async with Endpoint() as endpoint:
            llm = judges(concurrency=1)
            await llm.ask(asked[:2], config(endpoint), 1)
            endpoint.behaviour.poison = {"One answer to 3.": 422}
            endpoint.behaviour.error = "invalid input: response_format, logprobs"
            said, _ = await llm.ask(asked, config(endpoint), 1)
            assert [n for n, s in enumerate(said) if s.choice == NONE] == [3]
            assert "response_format" in endpoint.requests[-1]
            await llm.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("status", "says"), [(401, "MY_KEY"), (403, "MY_KEY"), (404, "URL#MODEL"), (402, "402"), (405, "405"), (400, "400")]
)
def test_an_endpoint_that_refuses_everything_is_a_clear_permanent_error(status, says):
    async def scenario():
        async with Endpoint(down=status) as endpoint:
            llm = judges(environ={"MY_KEY": KEY})
            with pytest.raises(Permanent) as raised:
                await llm.ask(pairs(20), config(endpoint, api_key_env="MY_KEY"), 1)
            await llm.close()
            text = str(raised.value)
            assert endpoint.url in text and "'stub'" in text and says in text and KEY not in text
            assert endpoint.calls < 150

    asyncio.run(scenario())


def test_the_key_is_sent_and_a_missing_one_is_named():
    async def scenario():
        async with Endpoint(key=KEY) as endpoint:
            judge = config(endpoint, api_key_env="MY_KEY")
            said, _ = await judges(environ={"MY_KEY": KEY + "\n"}).ask(pairs(2), judge, 1)
            assert NONE not in {s.choice for s in said}
            with pytest.raises(Permanent, match="MY_KEY holds a key that it refuses") as raised:
                await judges(environ={"MY_KEY": "sk-wrong"}).ask(pairs(2), judge, 1)
            assert "sk-wrong" not in str(raised.value), "not even where the endpoint repeats it"
            with pytest.raises(Permanent, match="MY_KEY is not set"):
                await judges(environ={"MY_KEY": ""}).ask(pairs(2), judge, 1)
            before = endpoint.calls
            with pytest.raises(InvalidInput, match=r"MY_KEY.*CONCORD_JUDGE_KEYS"):
                await judges(environ={"OTHER": "secret"}).ask(pairs(2), judge, 1)
            assert endpoint.calls == before
            with pytest.raises(Permanent, match="--api-key-env"):
                await judges().ask(pairs(2), config(endpoint), 1)

    asyncio.run(scenario())


def test_without_a_key_no_saved_hub_token_is_sent(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_savedtoken")
    _, _, endpoint = ask(pairs(2))
    assert not any("authorization" in headers for headers in endpoint.headers)
    assert "hf_savedtoken" not in json.dumps(endpoint.headers)


def test_the_key_does_not_follow_a_redirect():
    async def scenario():
        async with Endpoint() as other, Endpoint(redirect=f"{other.url}/chat/completions") as endpoint:
            with pytest.raises(Permanent, match=r"redirects to .*judge\.url"):
                await judges(environ={"MY_KEY": KEY}).ask(pairs(1), config(endpoint, api_key_env="MY_KEY"), 1)
            assert other.calls == 0

    asyncio.run(scenario())


def test_plain_http_goes_past_the_environments_proxy(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    said, _, _ = ask(pairs(1))
    assert said[0].choice != NONE


def test_the_key_shows_in_no_log_and_no_repr(caplog):
    caplog.set_level(0)
    with capture_logs() as logs:
        ask(pairs(2), environ={"K": KEY}, judge={"api_key_env": "K"}, behaviour={"key": KEY, "poison": {"1?": "bad"}})
    assert logs and KEY not in json.dumps(logs) and KEY not in caplog.text


@pytest.mark.parametrize(
    ("judge", "says"),
    [
        ({"url": "localhost:8000"}, "judge.url"),
        ({"url": "http://u:p@host/v1"}, "judge.api_key_env"),
        ({"url": "http://h/v1", "name": ""}, "judge.name"),
        ({"url": "http://h/v1", "api_key_env": "BAD"}, "BAD"),
    ],
)
def test_a_setting_that_cannot_be_is_named(judge, says):
    with pytest.raises(InvalidInput, match=says) as raised:
        judges(environ={"BAD": "sk\nx"}).of(cfg.JudgeConfig(**{"kind": "llm", "name": "m"} | judge))
    assert "sk\nx" not in str(raised.value)


def test_a_key_that_is_bound_to_an_address_goes_nowhere_else():
    bound = LLMJudges(MemoryAnswers(), {"K": KEY}, homes={"K": ("https://api.example/v1",)})
    assert bound.of(cfg.JudgeConfig(kind="llm", name="m", url="https://api.example/v1", api_key_env="K"))
    with pytest.raises(InvalidInput, match=r"evil.example.*CONCORD_JUDGE_KEYS") as raised:
        bound.of(cfg.JudgeConfig(kind="llm", name="m", url="https://evil.example/v1", api_key_env="K"))
    assert KEY not in str(raised.value)


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"endpoint": telemetry.bounded("127.0.0.1"), **labels}) or 0.0


def test_calls_tokens_and_those_turned_away_are_counted_by_the_endpoint():
    async def scenario():
        async with Endpoint(rate_limited=0.5) as endpoint:
            llm = judges()
            await llm.ask(pairs(20), config(endpoint, prompt_dollars=1.0), 1)
            await llm.close()

    names = [
        ("concord_judge_calls_total", {"outcome": "answered"}),
        ("concord_judge_calls_total", {"outcome": "limit"}),
    ]
    names += [("concord_judge_tokens_total", {"kind": "prompt"}), ("concord_judge_dollars_total", {})]
    names += [("concord_judge_seconds_count", {})]
    before = [counted(name, **labels) for name, labels in names]
    asyncio.run(scenario())
    more = [counted(name, **labels) - was for (name, labels), was in zip(names, before, strict=True)]
    assert more[0] == more[4] >= 40 and min(more) > 0


def test_what_was_spent_before_an_error_is_told():
    async def scenario():
        async with Endpoint() as endpoint:
            llm = judges(concurrency=1)
            await llm.ask(pairs(3), config(endpoint), 1)
            endpoint.behaviour.poison = {"Question 5?": 429}
            with pytest.raises(Deferred) as raised:
                await llm.ask(pairs(6), config(endpoint), 1)
            assert raised.value.usage.cached_calls == 6 and raised.value.usage.calls == 4
            await llm.close()

    asyncio.run(scenario())


def test_an_endpoint_that_counts_no_tokens_still_costs_something():
    _, usage, _ = ask(pairs(1), behaviour={"usage": False})
    assert usage.prompt_tokens > 400 and usage.completion_tokens > 10


def test_a_shard_is_labelled_by_the_judge_and_informed_by_helpers():
    async def scenario():
        async with Endpoint() as endpoint, Endpoint(flips=1.0) as other:
            llm, asked = judges(), pairs(8)
            helper = config(other, name="helper")
            fact, usage = await label_shard(list(enumerate(asked, start=64)), config(endpoint), [helper], 1, llm.ask)
            await llm.close()
            assert list(fact.pair_index) == list(range(64, 72))
            assert list(fact.choice) == [expected(endpoint, pair) for pair in asked]
            assert [column.judge for column in fact.helpers] == [f"llm:helper@{other.url}"]
            assert list(fact.helpers[0].disagree) == [0.5] * 8
            assert usage.calls == 32 == endpoint.calls + other.calls

    asyncio.run(scenario())
