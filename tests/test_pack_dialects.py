"""The pack's own stand-in for endpoints, where it is there: what comes of each of its dialects."""

import asyncio
import importlib.util
import threading
from contextlib import contextmanager
from http.server import ThreadingHTTPServer

import pytest

from concord.kit.errors import Permanent
from concord.labeling.answer_cache import MemoryAnswers
from concord.labeling.chat import ChatSettings
from concord.labeling.llm import LLMJudges
from concord.v1 import config_pb2 as cfg
from tests.data import case_path
from tests.dialects import pairs
from tests.fake_time import FakeTime

# Verdicts of 24; none where nothing can be had, and an error where no retry helps.
VERDICTS = dict.fromkeys(
    ("alltrue", "bracket", "fence", "noschema", "nousage", "o1", "plain", "rate", "single", "strict", "think"), 24
) | {"thinkopen": 24, "word": 24, "filter": 18, "refusal": 0, "refuse": 0, "trunc": 0}
LASTING = ("html", "nomodel", "quota", "unauth")


@contextmanager
def served():
    """The base URL of the pack's stand-in."""
    spec = importlib.util.spec_from_file_location("judge_dialects", case_path("judge_dialects.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with ThreadingHTTPServer(("127.0.0.1", 0), module.Endpoint) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def asked(name: str):
    async def scenario(base: str):
        time = FakeTime()
        # One at a time: the stand-in counts its calls, and its filter goes by the count.
        settings = ChatSettings(concurrency=1)
        llm = LLMJudges(MemoryAnswers(), {}, settings, clock=time, sleep=time.sleep)
        config = cfg.JudgeConfig(kind="llm", name="m", url=f"{base}/{name}/v1", both_orders=True, max_tokens=300)
        try:
            return await llm.ask(pairs(), config, 1)
        finally:
            await llm.close()

    with served() as base:
        return asyncio.run(scenario(base))


@pytest.mark.parametrize("name", sorted(VERDICTS))
def test_each_dialect_of_the_pack_gives_what_is_to_be_had(name):
    said, usage = asked(name)
    assert sum(len(one.choices) for one in said) == VERDICTS[name]
    assert sum(len(one.misses) for one in said) == 24 - VERDICTS[name], "what is no verdict has its cause"
    assert usage.calls >= VERDICTS[name]


@pytest.mark.parametrize("name", LASTING)
def test_each_lasting_failure_of_the_pack_ends_at_once_with_its_reason(name):
    with pytest.raises(Permanent, match=r"HTML|no such model|no credit|key"):
        asked(name)
