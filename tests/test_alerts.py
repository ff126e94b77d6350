"""Each alert fires on the fault that it is for, none on a quiet day, and each has a page that says what to do.

Prometheus' own promtool evaluates the rules (Debian: apt-get install prometheus).
"""

import re
import shutil
import subprocess

import pytest
import yaml

from tests.manifests import ROOT, built, of_kind

RULES = of_kind("PrometheusRule", built("prod"))["concord"]["spec"]["groups"]
ALERTS = {rule["alert"]: rule for group in RULES for rule in group["rules"]}
RUNBOOKS = ROOT / "docs/runbooks"
SERVICES = ("runs", "tasks", "labeling", "scoring", "triage", "training")
# Series as promtool writes them: begin, step a minute, how many times.
FLAT, GROWS = "0x1600", "0+10x1600"
UP = {f'up{{job="{name}", instance="a"}}': "1x1600" for name in SERVICES}
RPC = 'concord_rpc_seconds_bucket{{method="/concord.v1.RunService/GetRun", le="{}"}}'
JUDGE = 'concord_judge_seconds_bucket{{endpoint="api.judge.example", le="{}"}}'
CALLS = 'concord_judge_calls_total{{endpoint="api.judge.example", outcome="{}"}}'
STEP = 'concord_training_step{instance="a", devices="cuda:0"}'
QUIET = {
    **UP,
    'concord_units_wanted{service="labeling"}': "16x1600",
    'concord_units_in_flight{service="labeling"}': "8x1600",
    'concord_wait_seconds{service="labeling"}': "20x1600",
    'concord_units_total{service="labeling", outcome="done"}': GROWS,
    'concord_units_total{service="labeling", outcome="failed"}': FLAT,
    'concord_units_total{service="labeling", outcome="deferred"}': FLAT,
    'concord_dead_letters_total{service="labeling"}': FLAT,
    'concord_runs_paused{reason="caller"}': "3x1600",
    'concord_runs_paused{reason="deferred"}': "1x1600",
    'concord_rpcs_total{method="GetRun", code="OK"}': GROWS,
    'concord_rpcs_total{method="GetRun", code="INTERNAL"}': FLAT,
    RPC.format("0.05"): "0+100x1600",
    RPC.format("2.5"): "0+100x1600",
    RPC.format("+Inf"): "0+100x1600",
    'concord_fold_lag{service="runs"}': "40x1600",
    'concord_work_lag{service="labeling"}': "1600x1600",
    'concord_backend_errors_total{what="store"}': FLAT,
    CALLS.format("answered"): "0+100x1600",
    CALLS.format("limit"): "0+5x1600",
    CALLS.format("passing"): "0+2x1600",
    JUDGE.format("8"): "0+100x1600",
    JUDGE.format("120"): "0+100x1600",
    JUDGE.format("+Inf"): "0+100x1600",
    'concord_judge_dollars_total{endpoint="api.judge.example"}': "0+0.5x1600",
    "concord_open_questions": "12x1600",
    "concord_answers_total": GROWS,
    "concord_unknown_facts_total": FLAT,
    STEP: GROWS,
}
# What is otherwise on the day on which each alert must fire; None: the series is not there.
FAULTS = {
    "ConcordRunsAway": {'up{job="runs", instance="a"}': "0x1600"},
    "ConcordReplicaAway": {'up{job="scoring", instance="a"}': "0x1600"},
    "ConcordNobodyWorks": {'concord_units_in_flight{service="labeling"}': None},
    "ConcordUnitsWait": {'concord_wait_seconds{service="labeling"}': "0+600x1600"},
    "ConcordUnitsFail": {'concord_units_total{service="labeling", outcome="failed"}': GROWS},
    "ConcordDeadLetters": {'concord_dead_letters_total{service="labeling"}': GROWS},
    "ConcordUnitsDeferred": {'concord_units_total{service="labeling", outcome="deferred"}': GROWS},
    "ConcordRunsPaused": {'concord_runs_paused{reason="budget"}': "1x1600"},
    "ConcordIsWrong": {'concord_rpcs_total{method="GetRun", code="INTERNAL"}': GROWS},
    "ConcordSlow": {RPC.format("0.05"): "0+50x1600", RPC.format("2.5"): "0+60x1600"},
    "ConcordFoldLag": {'concord_fold_lag{service="runs"}': "20000x1600"},
    "ConcordWorkLag": {'concord_work_lag{service="labeling"}': "20000x1600"},
    "ConcordBackendAway": {'concord_backend_errors_total{what="store"}': GROWS},
    "ConcordJudgeLimits": {CALLS.format("limit"): "0+60x1600"},
    "ConcordJudgeAway": {CALLS.format("passing"): "0+300x1600"},
    "ConcordJudgeSlow": {JUDGE.format("8"): "0+10x1600"},
    "ConcordSpendsFast": {'concord_judge_dollars_total{endpoint="api.judge.example"}': "0+5x1600"},
    "ConcordPeopleAway": {"concord_answers_total": "100x1600"},
    "ConcordTrainingStands": {STEP: "40x1600"},
    "ConcordUnknownFacts": {"concord_unknown_facts_total": GROWS},
}
# By then everything that waits for a while has waited; nobody's silence is a day's before.
AT, LATE = "90m", {"ConcordPeopleAway": "26h"}


def promtool(*words: str, folder) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    done = subprocess.run(["promtool", *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def day(faults: dict, is_late: bool = False) -> list[dict]:
    """The series of a day that is quiet but for these; cut short where what is asked for comes early."""
    series = {name: values for name, values in (QUIET | faults).items() if values is not None}
    return [
        {"series": name, "values": values if is_late else values.replace("x1600", "x100")}
        for name, values in series.items()
    ]


def fires(alert: str, times: int) -> dict:
    """What promtool is to find of an alert: its labels are not compared, so they are taken off before."""
    return {
        "eval_time": LATE.get(alert, AT) if times else AT,
        "alertname": alert,
        "exp_alerts": [{"exp_labels": {}, "exp_annotations": {}}] * times,
    }


@pytest.fixture
def folder(tmp_path):
    """The rules as Prometheus reads them; those of the tests say only whether, and not of what."""
    bare = [
        {
            "name": group["name"],
            "rules": [{"alert": r["alert"], "expr": f"count({r['expr']})", "for": r["for"]} for r in group["rules"]],
        }
        for group in RULES
    ]
    (tmp_path / "bare.yaml").write_text(yaml.safe_dump({"groups": bare}))
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": RULES}))
    return tmp_path


def test_prometheus_takes_the_rules(folder):
    promtool("check", "rules", "rules.yaml", folder=folder)


def test_every_alert_fires_on_its_fault_and_none_on_a_quiet_day(folder):
    tests = [{"interval": "1m", "input_series": day({}), "alert_rule_test": [fires(alert, 0) for alert in ALERTS]}]
    tests += [
        {"interval": "1m", "input_series": day(fault, alert in LATE), "alert_rule_test": [fires(alert, 1)]}
        for alert, fault in FAULTS.items()
    ]
    said = {"rule_files": ["bare.yaml"], "evaluation_interval": "5m", "tests": tests}
    (folder / "tests.yaml").write_text(yaml.safe_dump(said))
    promtool("test", "rules", "tests.yaml", folder=folder)


def test_every_alert_has_a_planted_fault_and_a_page_and_no_page_is_of_no_alert():
    assert set(FAULTS) == set(ALERTS) == {path.stem for path in RUNBOOKS.glob("*.md")}
    for name, rule in ALERTS.items():
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"
        page = (RUNBOOKS / f"{name}.md").read_text()
        assert rule["expr"] in page, f"{name}'s page asks something else"
        assert re.search(r"^1\. ", page, re.M), f"{name}'s page says nothing to do"


def test_severities_are_known():
    assert {rule["labels"]["severity"] for rule in ALERTS.values()} <= {"info", "warning", "critical"}
