"""The benchmarks run, and their quick form shows what the full one measures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data import data_path

pytestmark = pytest.mark.slow


ROOT = Path(__file__).parent.parent
# A benchmark that has not ended by then hangs; how long one takes is its own figure, and no test.
HANGS_S = 1800
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
# The data's place is given with --data alone.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "CONCORD_DATA"} | ONE_THREAD


def quick(name: str) -> dict:
    """The figures of the quick form, which are all that it prints on standard output."""
    data = data_path("hh_train.jsonl.gz").parent
    command = [sys.executable, "-m", f"benchmarks.{name}", "--data", str(data), "--quick", "--json"]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=HANGS_S)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert {"date", "commit", "machine", "settings"} < set(figures)
    return figures


@pytest.mark.parametrize("name", ["judged_pairs.jsonl.gz", "hh_train.jsonl.gz"])
def test_the_data_are_there(name):
    assert data_path(name).exists()


def test_label_efficiency_finds_the_posterior_above_rlthf_and_random_asking():
    labels: dict[str, float] = {}
    for cell in quick("label_efficiency")["cells"]:
        labels[cell["method"]] = labels.get(cell["method"], 0) + cell["curve"][-1]["labels"]
    assert labels["posterior"] > max(labels["rlthf"], labels["random"])


def test_near_duplicates_dropped_leave_fewer_ties_than_random_choice():
    for half in quick("selection")["sets"].values():
        assert half["reported half"]["drop-similar"]["ties_to_random"]["high"] < 1


def test_the_loop_at_scale_makes_the_same_dataset_as_a_straight_script():
    figures = quick("loop_scale")
    # There are no figures where the two datasets differ.
    assert figures["loop"]["dataset_sha256"] and set(figures["services"]["texts x 1"]["peak_mb"]) > {
        "runs",
        "tasks",
        "triage",
    }


def test_units_and_a_straight_script_choose_the_same_pairs():
    # There are no figures where they keep different ones.
    figures = quick("choose_scale")
    assert 0 < figures["kept"] < figures["settings"]["pairs"] and figures["seconds"]["ratio"]["repeats"] == 1


def test_every_endpoint_gives_what_is_to_be_had():
    for name, figures in quick("endpoints")["dialects"].items():
        assert figures["verdicts"] == figures["right"] == figures["verdicts_to_be_had"], name


def test_the_log_is_measured_beside_one_that_does_the_same():
    figures = quick("log")
    assert (
        figures["sqlite_append"]["ours_divided_by"] and figures["sqlite_read"]["facts_per_second"]["ours"]["median"] > 0
    )


def test_five_hundred_watchers_are_measured_beside_one():
    figures = quick("watchers")["by_watchers"]
    assert set(figures) == {"1", "10", "50"}
    assert all(row["get_p99_ms"]["median"] >= row["get_p50_ms"]["median"] > 0 for row in figures.values())


def test_triage_s_peak_is_measured_with_one_two_and_four_units_at_once():
    peaks = quick("triage_memory")["peak_mb_by_units_at_once"]
    for kind in ("triage_round", "build_dataset"):
        assert set(peaks[kind]) == {"1", "2", "4"}
        assert all(row["median"] > peaks["no unit"]["0"]["median"] / 2 for row in peaks[kind].values())


def test_runs_that_begin_in_one_moment_are_measured_beside_those_that_are_alone():
    figures = quick("many_runs")
    assert figures["finished"] == 4 and figures["run_s"]["slowest"] <= figures["until_the_last_s"]
    assert figures["straight_share_s"] == 4 * figures["alone_s"]["median"]


def test_the_cluster_is_measured_beside_bare_kafka_and_replicas_share_the_judges_calls():
    figures = quick("cluster")
    for side in ("reactor", "reactor_of_runs", "worker_8", "worker_64"):
        assert len(figures[side]["per_second"]) == 2 and figures[side]["ours_divided_by_bare"]["median"] > 0
    assert figures["replay"]["facts"] == 10_000
    assert figures["replicas"]["faster_than_one"]["2"]["median"] > 0
    assert figures["between_stages"]["count"] >= 5 and figures["two_runs"]["beside_divided_by_alone"] > 0
    simulated = figures["replicas"]["simulated_faster_than_one"]["100,000 pairs, window 16"]
    assert simulated["2"] <= 2 and simulated["48"] < 48


def test_a_short_soak_ends_every_run_without_an_error(kafka_jars):
    figures = quick("soak")
    assert figures["runs"] == {"finished": 2} and figures["answers"] > 0
    assert figures["held"]["no error"] and figures["held"]["every process lived"]
    assert {"NextTask", "SubmitAnnotation", "GetRun"} == set(figures["calls_ms"])


def test_the_runner_hands_its_options_on_and_judge_noise_finds_the_posterior_above_random_asking(tmp_path):
    data = data_path("judged_pairs.jsonl.gz").parent
    done = runner("judge_noise", "--data", str(data), "--quick", "--json", "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)["judge_noise"]
    assert figures == json.loads((tmp_path / "judge_noise.json").read_text())
    friendly = figures["groups"]["friendly"]
    removed = {name: friendly[f"{name}, 6%"]["errors_removed"] for name in ("posterior", "random")}
    assert removed["posterior"] > 0.1 > removed["random"]


def test_answers_are_sampled_as_often_as_the_plain_client_asks_and_never_beyond_what_may_be_in_flight():
    figures = quick("generate")
    for name, side in figures["sides"].items():
        assert side["max_in_flight"]["high"] <= int(name.rpartition(" ")[2])
    # What it is in full stands in the benchmark's figures; beside other tests it is no measurement.
    assert all(ratio["median"] > 0.2 for ratio in figures["ratios"].values())


def test_people_are_served_and_the_audit_finds_nothing_over_twice_or_lost():
    figures = quick("task_serving")
    closed = [one for found in figures["closed"].values() for one in found]
    for one in (*closed, *figures["paced"].values(), figures["hard"]):
        audit = one["audit"]
        assert not one["errors"] and one["submits"] > 0
        assert (
            audit["over_overlap"] == audit["twice_by_one"] == audit["acknowledged_but_lost"] == audit["unsettled"] == 0
        )


def test_what_was_planted_is_found_and_quiet_runs_are_silent():
    figures = quick("manipulation")
    drift = figures["drift"]
    assert all(row["strong"] == 1 for name, row in drift["faults"].items() if not name.startswith("people"))
    assert drift["false_alarms"] == 0
    poisons = figures["poison"]["made up"]["poisons"]
    assert poisons["trigger on 5 %, swapped"]["named"] == 1 and poisons["none"]["others"] == 0
    crews = figures["people"]["crews"]
    assert crews["a weak one is copied"]["two"] == 1 and crews["five of 10 %"] == {"two": 0, "others": 0}


def test_a_judge_that_obeys_follows_few_orders_once_they_are_hidden():
    together = quick("injections")["together"]
    assert together["all"]["one order"] > 0.9 and together["all"]["both orders, orders hidden"] < 0.25


def test_the_runner_knows_every_benchmark():
    refused = runner("nothing")
    assert refused.returncode == 2
    for name in (
        "log",
        "replay",
        "loop",
        "judge_speed",
        "endpoints",
        "generate",
        "judge_noise",
        "verification",
        "routing",
        "redteam",
        "worlds",
        "annotators",
        "manipulation",
        "injections",
        "selection",
        "task_serving",
        "loop_scale",
        "choose_scale",
        "cluster",
        "label_efficiency",
    ):
        assert name in refused.stderr


def runner(*words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "benchmarks", *words]
    return subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=HANGS_S)
