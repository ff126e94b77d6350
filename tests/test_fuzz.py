"""A few random inputs for every door, and again those that once broke one; `make fuzz` tries many."""

import json
import random

import pytest

from tests.fuzz import runner

TARGETS = runner.targets()
SMOKE = 200


@pytest.mark.parametrize("name", TARGETS)
def test_a_door_stands_some_random_inputs(name):
    accounts = runner.run({name: TARGETS[name]}, 0, SMOKE, 0, lambda words: None)
    assert accounts[name].tried == SMOKE
    assert not accounts[name].failures, accounts[name].failures[0].trace


@pytest.mark.parametrize("name", TARGETS)
def test_an_input_that_once_broke_a_door_does_so_no_more(name):
    for seed in runner.known().get(name, []):
        failure = runner.tried(name, TARGETS[name], seed)
        assert failure is None, failure.trace


def test_a_failure_is_found_told_once_for_each_kind_and_kept(tmp_path):
    def breaks(rng: random.Random) -> None:
        assert rng.random() < 0.5

    said: list[str] = []
    accounts = runner.run({"made-up": breaks}, 0, 100, 7, said.append)
    failures = accounts["made-up"].failures
    assert len(failures) == runner.MOST_ALIKE == len(said)
    runner.keep(failures, tmp_path / "found.json")
    runner.keep(failures, tmp_path / "found.json")
    assert json.loads((tmp_path / "found.json").read_text()) == {"made-up": [failure.seed for failure in failures]}
    assert all(runner.tried("made-up", breaks, seed) for seed in runner.known(tmp_path / "found.json")["made-up"])


def test_an_input_that_hangs_is_a_failure(monkeypatch):
    def hangs(rng: random.Random) -> None:
        while True:
            rng.random()

    monkeypatch.setattr(runner, "PATIENCE_S", 0.1)
    failure = runner.tried("hanging", hangs, 0)
    assert failure is not None and failure.kind.startswith("TimeoutError")


def test_figures_of_several_goes_are_added_up_in_one_file(tmp_path):
    accounts = runner.run({"made-up": lambda rng: None}, 0, 10, 7, print)
    for seed in (7, 17):
        runner.write_down(accounts, seed, {"commit": "made up"}, tmp_path / "fuzz.json")
    kept = json.loads((tmp_path / "fuzz.json").read_text())
    assert (kept["inputs"], [one["first_seed"] for one in kept["runs"]]) == (20, [7, 17])


def test_targets_take_turns_and_end_with_the_time(monkeypatch):
    monkeypatch.setattr(runner, "TURN_S", 0.01)
    accounts = runner.run({"one": lambda rng: None, "other": lambda rng: None}, 0.001, None, 0, print)
    assert all(account.tried for account in accounts.values())
    assert runner.lines(accounts)[-1].split()[0] == "together"
