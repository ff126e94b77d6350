"""After a week in which nobody used the cluster: no pod, and with work all is back, though Kafka has forgotten what was done."""

from uuid import uuid4

import pytest

from tests.idle_week import WORKERS, back, pods


def test_the_scalers_of_prod_want_as_many_pods_as_the_units_need_and_none_without_any():
    nothing = dict.fromkeys(WORKERS, 0)
    assert pods(nothing) == nothing
    assert pods(nothing | {"labeling": 1}) == nothing | {"labeling": 1}
    assert pods(nothing | {"labeling": 33, "training": 2}) == nothing | {"labeling": 3, "training": 2}
    assert pods(dict.fromkeys(WORKERS, 10_000)) == {"labeling": 12, "scoring": 8, "triage": 4, "training": 8}


@pytest.mark.slow
def test_no_pod_after_a_week_and_work_is_done_all_the_same_though_kafka_forgot_the_groups(
    kafka_url, postgres_url, some_s3, s3_keys, tmp_path
):
    urls = {"LOG": kafka_url, "STATE": postgres_url, "BLOB": some_s3.url(f"idle-{uuid4().hex[:8]}")}
    environment = {f"CONCORD_{name}_URL": url for name, url in urls.items()} | {"CONCORD_PROCESSES": "1"} | s3_keys
    assert back(tmp_path, environment)
