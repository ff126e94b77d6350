"""How much of one endpoint is asked at once and in a minute."""

import asyncio
import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from concord.labeling.pace import LEAST_OUTCOMES, Pace
from concord.labeling.turns import Turns
from tests.fake_time import FakeTime


def pace(most: int = 64) -> tuple[Pace, FakeTime]:
    time = FakeTime()
    return Pace(most, time, time.sleep), time


def sent_by_replica(url: str, count: int) -> list[float]:
    """When a replica that starts at 0 sends so many requests at 120 a minute, by its own clock."""
    time = FakeTime()
    turns = Turns(url, time)

    async def take(seconds: float) -> float:
        return turns.taken("http://h/v1", seconds)

    limits = Pace(64, time, time.sleep, take)
    limits.limit(120, 0)

    async def send() -> list[float]:
        sent = []
        for _ in range(count):
            await limits.turn(1)
            sent.append(time.now)
        return sent

    return asyncio.run(send())


def test_replicas_that_share_an_endpoints_time_keep_its_rate_together(tmp_path):
    url = f"sqlite:///{tmp_path / 'turns.db'}"
    sent = sorted(at for replica in range(3) for at in sent_by_replica(url, 40))
    gaps = [later - earlier for earlier, later in itertools.pairwise(sent)]
    assert min(gaps) == pytest.approx(0.5), "two a second, whoever asks"
    assert sent[-1] == pytest.approx(59.5), "and nothing is left unused while there is something to ask"


def test_the_time_of_one_endpoint_is_nobody_elses(tmp_path):
    turns = Turns(f"sqlite:///{tmp_path / 'turns.db'}", lambda: 100.0)
    assert [turns.taken("a", 5), turns.taken("a", 5), turns.taken("b", 5)] == [0, 5, 0]


def test_two_replicas_are_never_handed_the_same_piece(postgres_url):
    turns = [Turns(postgres_url, lambda: 100.0) for _ in range(4)]
    with ThreadPoolExecutor(16) as pool:
        begins = list(pool.map(lambda number: turns[number % 4].taken("a", 1.0), range(80)))
    assert sorted(begins) == [float(at) for at in range(80)]


async def hold(limits: Pace, released: asyncio.Event, seen: list[int]) -> None:
    async with limits.place():
        seen.append(1)
        await released.wait()


def test_no_more_have_a_place_than_the_window_has_and_each_gets_one_in_turn():
    async def scenario():
        limits, _ = pace(3)
        released, seen = asyncio.Event(), []
        tasks = [asyncio.create_task(hold(limits, released, seen)) for _ in range(10)]
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(seen) == 3
        tasks[0].cancel()
        tasks[5].cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(seen) == 4, "one that left made room; one that only waited made none"
        released.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert len(seen) == 9 and limits._taken == 0

    asyncio.run(scenario())


def test_a_few_refusals_among_many_answers_change_nothing():
    limits, _ = pace()
    for n in range(1_000):
        limits.was_too_much(0) if n % 20 == 0 else limits.went_well(0)
    assert limits.window == 64


def test_the_window_shrinks_where_much_is_too_much_and_grows_again():
    limits, time = pace()
    limits._taken = 64
    shrunk = [limits.was_too_much(0) for _ in range(40)]
    assert sum(shrunk) == 1 and limits.window == 32, "what was sent before it shrank does not shrink it again"
    time.now = 1
    for _ in range(32 * 34):
        limits.went_well(1)
    assert limits.window > 50


def test_an_endpoint_that_is_too_slow_is_asked_as_much_as_it_answered_in_time_and_less():
    limits, _ = pace()
    limits._taken = 64
    for _ in range(6):
        limits.went_well(0)
    for _ in range(58):
        limits.was_too_much(0, slow=True)
    assert limits.window == 3


def test_one_that_answers_nothing_is_asked_one_at_a_time():
    limits, _ = pace()
    limits._taken = 64
    for _ in range(LEAST_OUTCOMES):
        limits.was_too_much(0, slow=True)
    assert limits.window == 1


@pytest.mark.parametrize(("requests", "tokens", "seconds"), [(60, 0, 9), (0, 6_000, 9 * 5), (60, 60_000, 9), (0, 0, 0)])
def test_requests_and_tokens_a_minute_are_kept(requests, tokens, seconds):
    async def scenario():
        limits, time = pace()
        limits.limit(requests, tokens)
        for _ in range(10):
            await limits.turn(500)
        assert time.now == pytest.approx(seconds)

    asyncio.run(scenario())
