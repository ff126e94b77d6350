"""The contract of the answer cache, for both of its implementations."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from concord.kit.errors import InvalidInput, Unavailable
from concord.kit.store.sql import open_engine
from concord.labeling.answer_cache import AnswerCache, MemoryAnswers, request_key


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    """A database that several open."""
    return (
        f"sqlite:///{tmp_path / 'answers.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    )


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def opened(request, tmp_path):
    """A function that opens the cache for the length of a block."""
    url = (
        request.getfixturevalue("postgres_url")
        if request.param == "postgres"
        else f"sqlite:///{tmp_path / 'answers.db'}"
    )

    @asynccontextmanager
    async def open_cache():
        memory = request.param == "memory"
        answers = MemoryAnswers() if memory else AnswerCache(url)
        try:
            yield answers
        finally:
            await answers.close()

    return open_cache


def test_what_was_put_is_got(opened):
    async def scenario():
        async with opened() as answers:
            assert await answers.get("k") is None
            assert await answers.put("k", {"text": "größer", "odds": [[0, 1, 0.5, 0.5]]}) == {
                "text": "größer",
                "odds": [[0, 1, 0.5, 0.5]],
            }
            assert await answers.get("k") == {"text": "größer", "odds": [[0, 1, 0.5, 0.5]]}

    asyncio.run(scenario())


def test_answers_older_than_they_are_kept_go_and_the_others_stay(url):
    async def scenario():
        now = 1_000.0
        answers = AnswerCache(url, lambda: now)
        await asyncio.gather(*(answers.put(f"old {n}", {"n": n}) for n in range(30)))
        now = 2_000.0
        await answers.put("new", {"n": 1})
        assert await answers.prune(1_500.0) == 30 and await answers.prune(1_500.0) == 0
        assert (await answers.get("old 3"), await answers.get("new")) == (None, {"n": 1})
        await answers.close()

    asyncio.run(scenario())


def test_answers_that_an_earlier_version_kept_in_a_file_are_found_and_are_the_oldest(tmp_path):
    url = f"sqlite:///{tmp_path / 'answers.db'}"
    with open_engine(url).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE llm_answers (key VARCHAR(64) PRIMARY KEY, answer TEXT NOT NULL)")
        connection.exec_driver_sql("INSERT INTO llm_answers VALUES ('k', '{\"n\": 1}')")

    async def scenario():
        answers = AnswerCache(url)
        assert await answers.get("k") == {"n": 1}
        await answers.put("new", {"n": 2})
        assert await answers.prune(5.0) == 1 and await answers.get("new") == {"n": 2}
        await answers.close()

    asyncio.run(scenario())


def test_the_first_write_wins_and_the_loser_is_told(opened):
    async def scenario():
        async with opened() as answers:
            given = await asyncio.gather(*(answers.put("k", {"text": str(n)}) for n in range(20)))
            assert len({answer["text"] for answer in given}) == 1
            assert await answers.put("k", {"text": "late"}) == given[0]
            assert await answers.get("k") == given[0]

    asyncio.run(scenario())


def test_an_answer_belongs_to_who_got_it(opened):
    async def scenario():
        async with opened() as answers:
            await answers.put("k", {"text": "as it was"})
            (await answers.get("k"))["text"] = "changed"
            assert (await answers.get("k"))["text"] == "as it was"

    asyncio.run(scenario())


def test_many_at_once_are_all_kept(opened):
    async def scenario():
        async with opened() as answers:
            await asyncio.gather(*(answers.put(f"k{n}", {"text": str(n)}) for n in range(2500)))
            got = await asyncio.gather(*(answers.get(f"k{n}") for n in range(2500)))
            assert [answer["text"] for answer in got] == [str(n) for n in range(2500)]

    asyncio.run(scenario())


def execute(url, statement):
    """Past the cache, on a connection of its own."""
    engine = open_engine(url)
    with engine.begin() as connection:
        result = connection.exec_driver_sql(statement)
        rows = [tuple(row) for row in result] if result.returns_rows else []
    engine.dispose()
    return rows


def test_answers_are_in_the_database_before_put_returns(url):
    async def scenario():
        answers = AnswerCache(url)
        await answers.put("k", {"text": "x"})
        assert execute(url, "SELECT key FROM llm_answers") == [("k",)]
        await answers.close()

    asyncio.run(scenario())


def test_puts_that_wait_together_share_transactions(url):
    async def scenario():
        answers = AnswerCache(url)
        groups, write = [], answers._write
        answers._puts._answer_all = lambda items: groups.append(len(items)) or write(items)
        await asyncio.gather(*(answers.put(f"k{n}", {}) for n in range(256)))
        await answers.close()
        assert sum(groups) == 256 and len(groups) <= 2

    asyncio.run(scenario())


def test_two_processes_agree_on_the_first_answer(url):
    async def scenario():
        here, there = AnswerCache(url), AnswerCache(url)
        given = await asyncio.gather(
            *(c.put(f"k{n}", {"by": i}) for n in range(50) for i, c in enumerate((here, there)))
        )
        assert given[::2] == given[1::2]
        await here.close()
        await there.close()

    asyncio.run(scenario())


def test_a_caller_that_gives_up_does_not_lose_the_answer(url):
    async def scenario():
        answers = AnswerCache(url)
        putting = asyncio.create_task(answers.put("k", {"text": "x"}))
        await asyncio.sleep(0)
        putting.cancel()
        await answers.close()
        again = AnswerCache(url)
        assert await again.get("k") == {"text": "x"}
        await again.close()

    asyncio.run(scenario())


def test_a_store_that_fails_says_so_and_works_again_once_it_can(url):
    async def scenario():
        answers = AnswerCache(url)
        execute(url, "ALTER TABLE llm_answers RENAME TO away")
        # SQLite says the same of a table that is missing as of a disk that is away.
        with pytest.raises(Unavailable if url.startswith("sqlite") else InvalidInput, match="LLM answers"):
            await answers.put("k", {})
        execute(url, "ALTER TABLE away RENAME TO llm_answers")
        assert await answers.put("k", {"text": "x"}) == {"text": "x"}
        await answers.close()

    asyncio.run(scenario())


def test_postgresql_may_go_away_and_come_back_and_no_answer_is_half_kept(postgres, postgres_url):
    async def scenario():
        answers = AnswerCache(postgres_url)
        await answers.put("before", {"text": "x"})
        postgres.kill()
        for ask in (answers.get("before"), answers.put("while", {"text": "y"})):
            with pytest.raises(Unavailable, match=r"LLM answers .* does not answer"):
                await ask
        postgres.restart()
        assert await answers.get("before") == {"text": "x"}
        assert await answers.get("while") is None
        assert await answers.put("while", {"text": "z"}) == {"text": "z"}
        await answers.close()

    asyncio.run(scenario())


def test_a_store_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(Unavailable, match="nowhere"):
        AnswerCache(f"sqlite:///{tmp_path / 'nowhere' / 'answers.db'}")


REQUEST = {"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": 0.0, "seed": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"model": "n"},
        {"messages": [{"role": "user", "content": "y"}]},
        {"temperature": 0.1},
        {"seed": 2},
        {"response_format": {}},
        {"max_tokens": 5},
    ],
)
def test_every_field_of_the_request_is_part_of_the_key(change):
    assert request_key("u", REQUEST | change, 0) != request_key("u", REQUEST, 0)


def test_endpoint_and_sample_are_part_of_the_key_and_the_order_of_fields_is_not():
    key = request_key("u", REQUEST, 0)
    assert len({key, request_key("v", REQUEST, 0), request_key("u", REQUEST, 1)}) == 3
    assert request_key("u", dict(reversed(REQUEST.items())), 0) == key
