"""A judge whose requests are handed in as batches: waited for without a worker, found again, read once, paid once, cancelled."""

import asyncio
from pathlib import Path

import pytest

from concord.kit.errors import Deferred, Permanent
from concord.labeling.answer_cache import AnswerCache
from concord.labeling.batch_notes import BatchNotes
from concord.labeling.batch_wire import BatchWire, standing
from concord.labeling.batches import TRIES, Batches
from concord.labeling.llm import LLMJudges
from concord.v1.config_pb2 import JudgeConfig
from concord.v1.events_pb2 import Usage
from tests.batch_endpoint import BatchEndpoint
from tests.small_pairs import pair

RUN, UNIT = "6f7b9a1e-52c1-5d0b-9c64-0c8d1f0e4a77", "one unit"
PAIRS = [pair(f"an answer to {n}", f"another answer to {n}", pair_id=str(n)) for n in range(6)]


class Process:
    """One process that judges: its own connections, the database that all of them share."""

    def __init__(self, folder: Path, endpoint: BatchEndpoint) -> None:
        url = f"sqlite:///{folder / 'state.sqlite'}"
        self.config = JudgeConfig(
            kind="llm", name="stub", url=endpoint.url, both_orders=True, max_tokens=300, batch=True
        )
        self.config.prompt_dollars = self.config.completion_dollars = 1.0
        self._cache = AnswerCache(url)
        self.judges = LLMJudges(self._cache, {})
        self.notes = BatchNotes(url)
        self.batches = Batches(self.notes, lambda judge: BatchWire(self.judges.endpoint(judge)), 7.0)

    async def __aenter__(self) -> "Process":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.batches.close()
        await self.judges.close()
        await self._cache.close()

    async def gather(self, unit: str = UNIT) -> Usage:
        return await self.batches.gather(self.judges.of(self.config), RUN, unit, PAIRS, 0)


async def put_off(process: Process) -> Deferred:
    with pytest.raises(Deferred) as raised:
        await process.gather()
    return raised.value


def lived(folder: Path, story) -> None:
    """A story of an endpoint."""

    async def tell() -> None:
        async with BatchEndpoint() as endpoint:
            await story(endpoint)

    asyncio.run(tell())


def test_a_unit_is_handed_in_once_and_judged_from_what_comes_back(tmp_path):
    async def story(endpoint: BatchEndpoint) -> None:
        async with Process(tmp_path, endpoint) as process:
            first = await put_off(process)
            assert first.retry_after_s == 7.0 and "batch-0" in str(first)
            # The first pair was asked live, which shows how this endpoint wants its requests.
            assert first.usage.calls == 2 == endpoint.calls
            assert endpoint.batches[0].lines == 2 * (len(PAIRS) - 1)
            assert "0 of 10 requests" in str(await put_off(process))
            endpoint.finish(endpoint.batches[0])
            paid = await process.gather()
            assert paid.calls == 10 and paid.prompt_tokens > 0 and paid.dollars > 0
            said, used = await process.judges.ask(PAIRS, process.config, 0)
            assert all(one.choice for one in said)
            assert (used.calls, used.cached_calls) == (0, 12)
            assert len(endpoint.batches) == 1 and endpoint.paid_again == 0

    lived(tmp_path, story)


def test_verdicts_are_those_of_live_requests(tmp_path):
    async def story(endpoint: BatchEndpoint) -> None:
        async with Process(tmp_path, endpoint) as process:
            await put_off(process)
            endpoint.finish(endpoint.batches[0])
            await process.gather()
            batched, _ = await process.judges.ask(PAIRS, process.config, 0)
        other = tmp_path / "live"
        other.mkdir()
        async with Process(other, endpoint) as process:
            live, used = await process.judges.ask(PAIRS, process.config, 0)
            assert used.calls == 12
        assert batched == live

    lived(tmp_path, story)


def test_another_process_goes_on_with_the_batch(tmp_path):
    async def story(endpoint: BatchEndpoint) -> None:
        async with Process(tmp_path, endpoint) as process:
            await put_off(process)
        async with Process(tmp_path, endpoint) as process:
            await put_off(process)
            endpoint.finish(endpoint.batches[0])
            await process.gather()
        assert len(endpoint.batches) == 1

    lived(tmp_path, story)


def test_a_batch_whose_note_was_never_written_is_found_at_the_endpoint(tmp_path):
    async def story(endpoint: BatchEndpoint) -> None:
        async with Process(tmp_path, endpoint) as process:
            await put_off(process)
            note = process.notes.open()[0]
        (tmp_path / "after the crash").mkdir()
        async with Process(tmp_path / "after the crash", endpoint) as process:
            await put_off(process)
            assert process.notes.of(note.name) == note
        assert len(endpoint.batches) == 1

    lived(tmp_path, story)


def test_what_a_batch_did_not_answer_is_asked_live(tmp_path):
    async def story(endpoint: BatchEndpoint) -> None:
        endpoint.lost = 3
        async with Process(tmp_path, endpoint) as process:
            await put_off(process)
            endpoint.finish(endpoint.batches[0])
            assert (await process.gather()).calls == 7
            said, used = await process.judges.ask(PAIRS, process.config, 0)
            assert all(one.choice for one in said)
            assert (used.calls, used.cached_calls) == (3, 9)

    lived(tmp_path, story)


def test_a_batch_that_expired_is_handed_in_again_with_what_is_missing_and_not_for_ever(tmp_path):
    async def story(endpoint: BatchEndpoint) -> None:
        endpoint.lost = 6
        async with Process(tmp_path, endpoint) as process:
            calls = (await put_off(process)).usage.calls
            for number in range(TRIES - 1):
                endpoint.finish(endpoint.batches[number], "expired")
                calls += (await put_off(process)).usage.calls
            endpoint.finish(endpoint.batches[TRIES - 1], "expired")
            calls += (await process.gather()).calls
            assert len(endpoint.batches) <= TRIES
            said, used = await process.judges.ask(PAIRS, process.config, 0)
            assert all(one.choice for one in said)
            # Every answer that was paid stands in the ledger, once.
            assert calls + used.calls == sum(endpoint.paid.values())

    lived(tmp_path, story)


def test_a_batch_that_the_endpoint_refuses_is_told_with_its_code(tmp_path):
    async def story(endpoint: BatchEndpoint) -> None:
        async with Process(tmp_path, endpoint) as process:
            await put_off(process)
            endpoint.batches[0].status = "failed"
            endpoint.batches[0].errors = [{"code": "token_limit_exceeded", "message": "a quote of a question"}]
            with pytest.raises(Permanent, match="batch-0 failed: token_limit_exceeded") as raised:
                await process.gather()
            assert "quote" not in str(raised.value)

    lived(tmp_path, story)


def test_an_endpoint_without_batches_says_so_at_once(tmp_path):
    async def story(endpoint: BatchEndpoint) -> None:
        endpoint.has_batches = False
        async with Process(tmp_path, endpoint) as process:
            with pytest.raises(Permanent, match=r"404.*--judge-batch"):
                await process.gather()

    lived(tmp_path, story)


def test_batches_of_a_cancelled_run_are_cancelled_and_those_of_others_are_not(tmp_path):
    async def story(endpoint: BatchEndpoint) -> None:
        async with Process(tmp_path, endpoint) as process:
            await put_off(process)
            assert await process.batches.sweep(lambda run_id: False) == 0
            assert endpoint.batches[0].status == "in_progress"
            assert await process.batches.sweep(lambda run_id: run_id == RUN) == 1
            assert endpoint.batches[0].status == "cancelled"
            assert await process.batches.sweep(lambda run_id: True) == 0

    lived(tmp_path, story)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"id": 5, "status": ["completed"], "request_counts": 7, "errors": {"data": {}}},
        {"id": "../../secret", "status": "x" * 500, "request_counts": {"total": -1, "completed": 1e99}},
        {"output_file_id": "a/b", "error_file_id": None, "errors": {"data": ["no"]}},
    ],
)
def test_nothing_of_a_batch_object_is_believed_to_have_its_type(said):
    seen = standing(said)
    assert (seen.id, seen.files, seen.done, seen.total) == ("", (), 0, 0)
    assert not seen.over
