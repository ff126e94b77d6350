"""Sums of what units used stay sums, whatever a unit says that it used."""

import math

import pytest

from concord.kit import usage
from concord.kit.ids import event_id, run_id
from concord.kit.log import Record
from concord.kit.log.topics import FACTS
from concord.kit.loop.fold import fold_records, start_run
from concord.report import ledger
from concord.runs import service as runs
from concord.v1.events_pb2 import Event, Usage


def test_sound_amounts_are_added():
    total = Usage(calls=1, dollars=0.5, seconds=2)
    usage.add(total, Usage(calls=2, cached_calls=3, prompt_tokens=4, completion_tokens=5, dollars=0.25, seconds=1))
    assert total == Usage(calls=3, cached_calls=3, prompt_tokens=4, completion_tokens=5, dollars=0.75, seconds=3)


@pytest.mark.parametrize("name", usage.COUNTS)
def test_a_count_stays_at_its_bound_rather_than_run_over(name):
    total = Usage()
    for tokens in (2**57, 2**57, 2**64 - 1):
        usage.add(total, Usage(**{name: tokens}))
        assert getattr(total, name) == usage.MOST_COUNT


@pytest.mark.parametrize("name", usage.AMOUNTS)
@pytest.mark.parametrize("amount", [math.nan, math.inf, -math.inf, -1.0])
def test_what_is_no_amount_counts_for_nothing(name, amount):
    total = Usage(dollars=1, seconds=1)
    usage.add(total, Usage(**{name: amount}))
    assert total == Usage(dollars=1, seconds=1)
    assert ledger.Usage().plus(Usage(**{name: amount})) == ledger.Usage()


def test_a_unit_that_says_huge_token_counts_twice_leaves_its_run_whole():
    own = run_id("huge", b"")
    used = Usage(prompt_tokens=2**57, completion_tokens=2**64 - 1, dollars=1e308, seconds=1e308)
    events = [Event(event_id=event_id(own, n), run_id=own, usage=used, shard_labeled={}) for n in range(300)]
    told = [Record(FACTS.name, 0, n, own.encode(), event.SerializeToString(), 0.0) for n, event in enumerate(events)]
    run, _ = fold_records(runs.fold(), start_run(runs.fold(), own), told)
    assert not run.corrupt
    assert run.state.view.usage.prompt_tokens == usage.MOST_COUNT
    assert run.state.view.usage.dollars == usage.MOST_AMOUNT
