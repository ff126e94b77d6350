"""The benchmark of the certificate: its small form shows what the full one measures."""

from benchmarks.certificate import WORLDS, Person, cell, measured, summed


def test_a_few_runs_show_intervals_that_hold_and_runs_that_stop():
    found = measured(len(WORLDS), len(WORLDS), epsilons=(0.1,), first=7)
    pooled = found["coverage"]["0.1"]["pooled"]
    assert pooled["runs"] == len(WORLDS) and pooled["coverage"] >= 0.7
    assert 0 < pooled["width_points"] < 30 and pooled["asked"] <= 600


def test_good_labels_stop_a_run_early_and_bad_ones_do_not():
    good = summed(cell("judge 95 % right", Person(0.0), range(1, 5), 0))
    bad = summed(cell("judge 55 % right", Person(0.0), range(1, 3), 0))
    assert good["stopped"] > bad["stopped"] and good["asked"] < bad["asked"]
