"""Section by section the promises of the architecture hold under faults; and bugs planted on purpose are found."""

import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.kit.log.topics import FACTS
from concord.preference import checked
from concord.preference.stages import STAGES
from concord.runs.plan import stages
from concord.v1.events_pb2 import Event, Stage
from tests.simulation.checks import outcome
from tests.simulation.faults import KINDS, planned
from tests.simulation.plants import PLANTS
from tests.simulation.seeds import LEAST_FAULTS, Figures, first_caught, minimal_of_plant, quiet, run_seeds
from tests.simulation.shrink import shrink
from tests.simulation.workload import WORKLOADS, workload
from tests.simulation.world import World

AT_ONCE = 20
# Seeds that `make test` runs, and those that `make test-all` adds; `make simulate` runs any others.
QUICK, MORE = 60, 1000
# Each planted bug must be found within so many seeds.
WITHIN = 100


@pytest.fixture(scope="module")
def pool():
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1), mp_context=context) as pool:
        yield pool


def break_no_promise(pool: ProcessPoolExecutor, seeds: range) -> None:
    """Runs the seeds, some at once; AssertionError with the command for each that does not hold."""
    figures, begun = Figures(), time.monotonic()
    for found in pool.map(run_seeds, [seeds[at : at + AT_ONCE] for at in range(0, len(seeds), AT_ONCE)]):
        figures.add(found)
    print(figures.line(time.monotonic() - begun))
    again = [f"python -m tests.simulation --seeds 1 --first {seed}\n{report}" for seed, report in figures.failures]
    assert not again, "\n".join(again)
    assert figures.seeds == len(seeds)
    assert figures.fewest_faults >= LEAST_FAULTS


def test_seeds_of_faults_give_the_undisturbed_runs_datasets_or_say_why_not_and_break_no_promise(pool):
    break_no_promise(pool, range(QUICK))


@pytest.mark.slow
def test_a_thousand_more_seeds_of_faults_break_no_promise_either(pool):
    break_no_promise(pool, range(QUICK, QUICK + MORE))


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_bug_is_found(pool, plant):
    """By the seed that is known to find it; where the cluster has changed since, by one of the first hundred."""
    found = pool.submit(first_caught, plant, [PLANTS[plant].seed, *range(WITHIN)]).result()
    assert found is not None, f"{WITHIN} seeds did not find that {plant}"
    print(f"seed {found[0]} finds that {plant}: {found[1].splitlines()[0]}")


def test_a_failing_seeds_faults_are_shrunk_to_those_that_it_takes(pool):
    """What is planted shows under a fact of a newer version alone; nearly nothing else is left of the seed's faults."""
    kept = pool.submit(minimal_of_plant, "a newer version's fact stops the fold").result()
    assert "newer_fact" in [fault.kind for fault in kept]
    assert len(kept) <= 3


@given(st.sets(st.integers(0, 30), min_size=1), st.integers(1, 31))
def test_shrinking_keeps_just_what_it_takes(needed, count):
    things = range(max(count, max(needed) + 1))
    kept = shrink(things, lambda some: needed <= set(some), most_tries=10_000)
    assert list(kept) == sorted(needed)


@given(st.sets(st.integers(0, 15)))
def test_of_what_is_left_nothing_can_be_left_out(bad):
    def fails(some):
        return len(bad & set(some)) % 3 == 2 or len(some) > 12

    kept = shrink(range(16), fails, most_tries=10_000)
    assert fails(kept)
    assert not any(fails(kept[:at] + kept[at + 1 :]) for at in range(len(kept)))


def test_a_plan_is_the_seeds_alone_and_each_kind_of_fault_is_in_some():
    assert planned(7, 1_000) == planned(7, 1_000) != planned(8, 1_000)
    assert {fault.kind for seed in range(100) for fault in planned(seed, 1_000)} == set(KINDS)


def test_every_stage_and_the_newest_settings_are_in_some_workload():
    configs = [run.config for number in range(WORKLOADS) for run in workload(number)]
    for setting in ("rubric", "re_ask_share", "target_error", "people_teach", "select", "generators", "dollar_budget"):
        assert any(getattr(config, setting) for config in configs), setting
    for setting in (
        "most_votes",
        "most_each",
        "gold_share",
        "label_worth",
        "policy",
        "evaluate",
        "annotation_deadline_s",
    ):
        assert any(getattr(config, setting) for config in configs), setting
    seen = {stage for config in configs for stage, _ in stages(config, 200, 40)}
    # A stage that is newer than these is to be added to a workload, and then here.
    assert {stage for stage in set(STAGES) - seen if stage <= Stage.STAGE_EVALUATE} == set()


def test_every_workload_has_two_runs_and_two_hundred_pairs():
    for number in range(WORKLOADS):
        steady = [run for run in workload(number) if run.steady]
        assert len(steady) >= 2
        assert sum(len(run.pairs) for run in steady) >= 200
        assert len({run.run_id for run in workload(number)}) == len(workload(number))


def test_there_are_runs_whose_pairs_checks_decide_and_leave_to_the_judge_and_call_both_wrong():
    world = World(0, workload(1), lively=False)
    world.run(most_steps=20_000)
    facts = [record for records, _ in world.cluster.broker.topics[FACTS.name].values() for record in records]
    events = [Event.FromString(record.value) for record in facts]
    (kind,) = checked.by_kind(event.shard_labeled for event in events if event.HasField("shard_labeled"))
    assert min(kind.tried, kind.decided, kind.both_wrong) > 0
    judged = [len(checked.judged(event.shard_labeled)) for event in events if event.HasField("shard_labeled")]
    assert sum(judged) > kind.tried


def test_the_order_of_things_changes_no_dataset():
    """The quiet run steps in a fixed order without delays; another one, as lively as can be, agrees with it."""
    _, hashes = quiet(2)
    world = World(7, workload(2), lively=True)
    world.run(most_steps=50_000)
    for run in workload(2):
        assert outcome(world, run.run_id) == hashes[run.run_id]
