"""`concord prune`: judges' answers go by age or by run, and never those that a run under way may want again."""

import asyncio
from contextlib import closing
from dataclasses import replace

import pytest

from concord.kit.errors import InvalidInput, NotFound, Refused
from concord.kit.settings import Settings, look_at_log
from concord.labeling.answer_cache import AnswerCache
from concord.operate import retention
from concord.operate.retention import APART_S, DAY_S, Span, spared
from concord.operate.run_log import events
from tests.test_cli import concord
from tests.test_doctor import run_in, settings_in, truth

NOW = 100 * DAY_S


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request, tmp_path) -> Settings:
    """A home; its store in the file, or in PostgreSQL."""
    here = settings_in(tmp_path / "concord-data")
    return here if request.param == "sqlite" else replace(here, state_url=request.getfixturevalue("postgres_url"))


def write(settings: Settings, *times: float) -> None:
    """An answer of each of these times."""

    async def put() -> None:
        now = 0.0
        answers = AnswerCache(settings.state_url, lambda: now)
        for now in times:
            await answers.put(f"at {now}", {"n": 1})
        await answers.close()

    asyncio.run(put())


def left(settings: Settings) -> int:
    return retention.counted(settings, Span(0.0, 1e12))


def span_of(settings: Settings, run_id: str) -> tuple[float, float]:
    with closing(look_at_log(settings)) as log:
        times = [at for _, at in events(log, run_id)]
    return times[0], times[-1]


def test_what_is_older_goes_as_far_as_it_was_written_before_each_run_under_way():
    old = Span(0.0, 1_000.0)
    assert spared(old, []) == old
    assert spared(old, [("later", 5_000.0)]) == old
    assert spared(old, [("one", 900.0), ("first", 500.0)]) == Span(0.0, 500.0 - APART_S, "first")
    assert spared(Span(800.0, 1_000.0), [("first", 500.0)]) == Span(800.0, 800.0, "first")


def test_answers_older_than_so_many_days_go_and_an_unfinished_runs_stay(settings):
    view = run_in(settings, until=lambda view: view.stages)
    began, _ = span_of(settings, view.run_id)
    write(settings, 1.0, began - DAY_S, began + 1.0)
    assert left(settings) == 3
    # As if long after: the run is still under way.
    span = retention.older(settings, 30, began + 300 * DAY_S)
    assert span.spared_for == view.run_id and retention.counted(settings, span) == 2
    assert retention.deleted(settings, span) == 2 and left(settings) == 1
    with pytest.raises(Refused, match="is under way and may want its answers again"):
        retention.of_run(settings, view.run_id)


def test_a_runs_answers_go_once_it_is_over_and_nobody_elses(settings):
    view = run_in(settings, truth)
    began, ended = span_of(settings, view.run_id)
    write(settings, began - 1_000.0, began + 0.1, ended, ended + 1_000.0)
    assert retention.deleted(settings, retention.of_run(settings, view.run_id[:8])) == 2
    assert left(settings) == 2
    with pytest.raises(NotFound):
        retention.of_run(settings, "00000000")


def test_the_command_says_what_it_would_delete_and_asks_and_without_a_time_says_where_one_is_set(tmp_path):
    settings = settings_in(tmp_path / "concord-data")
    (tmp_path / "concord-data").mkdir()
    write(settings, 1.0, 2.0)
    none = concord(tmp_path, "prune")
    assert none.returncode == 2 and "--days, or in CONCORD_ANSWER_DAYS" in none.stderr
    both = concord(tmp_path, "prune", "--days", "3", "--run", "last")
    assert both.returncode == 2 and "say one of the two" in both.stderr
    unasked = concord(tmp_path, "prune", "--days", "3")
    assert "2 answers of judges would be deleted" in unasked.stderr and left(settings) == 2
    done = concord(tmp_path, "prune", "--days", "3", "--yes")
    assert done.returncode == 0 and done.stdout.startswith("2 answers of judges deleted; asked") and left(settings) == 0
    assert concord(tmp_path, "prune", "--days", "3", "--yes").stdout == "0 answers of judges deleted\n"


def test_no_days_is_for_ever(settings):
    with pytest.raises(InvalidInput, match="for ever"):
        retention.older(settings, 0, NOW)
