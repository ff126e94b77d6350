"""The short form of `make chaos`: one fault of every kind in one run on Kafka, PostgreSQL and S3, and nothing comes of it."""

import json

import pytest

from tests.chaos import run_chaos
from tests.faults import KINDS
from tests.fleet import each_its_own

pytestmark = pytest.mark.slow


def test_a_fault_of_every_kind_changes_neither_the_dataset_nor_what_is_kept_nor_the_bill(kafka_jars, versity):
    found = run_chaos(len(KINDS), seed=2, plan=each_its_own(labeling=2, runs=2))
    print(json.dumps(found))
    assert found["faults"] == len(KINDS) - len(found["left_out"])
    assert set(found["by_kind"]) | set(found["left_out"]) == set(KINDS)
