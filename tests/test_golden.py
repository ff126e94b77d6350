"""Golden histories: facts of real runs, recorded once, folded by the code as it is now."""

import json
from pathlib import Path

import pytest
from google.protobuf.json_format import ParseDict

from concord.kit.log import Record
from concord.kit.log.topics import FACTS
from concord.kit.loop.fold import Folded, fold_records, restore_run, start_run
from concord.operate.run_log import as_json
from concord.runs import service as runs
from concord.tasks import service as tasks
from concord.v1.events_pb2 import Event

HERE = Path(__file__).parent / "golden"
NAMES = sorted(path.stem for path in HERE.glob("*.jsonl"))


def recorded(name: str) -> list[Record]:
    out = []
    for line in (HERE / f"{name}.jsonl").read_text().splitlines():
        fact = json.loads(line)
        event = ParseDict(fact["event"], Event())
        value = event.SerializeToString(deterministic=True)
        out.append(Record(FACTS.name, 0, fact["offset"], event.run_id.encode(), value, fact["at"]))
    return out


def folded(name: str, records: list[Record]) -> Folded:
    fold = runs.fold()
    return fold_records(fold, start_run(fold, records[0].key.decode()), records)[0]


def expected(name: str) -> dict:
    return json.loads((HERE / f"{name}.json").read_text())


def test_there_are_histories():
    assert len(NAMES) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_a_history_folds_to_the_state_it_once_folded_to_and_to_the_same_hash(name):
    assert as_json(folded(name, recorded(name))) == expected(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_history_said_twice_folds_to_the_same_state(name):
    records = recorded(name)
    twice = as_json(folded(name, [record for record in records for _ in range(2)]))
    assert twice.pop("duplicates") == len(records)
    assert twice == {key: value for key, value in expected(name).items() if key != "duplicates"}


@pytest.mark.parametrize("name", NAMES)
def test_a_history_cut_anywhere_goes_on_from_its_snapshot(name):
    fold, records = runs.fold(), recorded(name)
    run_id = records[0].key.decode()
    for cut in range(1, len(records), 7):
        rows: dict[str, bytes] = {}
        run = start_run(fold, run_id)
        for part in (records[:cut], records[cut:]):
            run, changed = fold_records(fold, run, part)
            rows = {n: value for n, value in (rows | changed).items() if value is not None}
            run = restore_run(fold, run_id, rows)
        assert as_json(run) == expected(name), cut


@pytest.mark.parametrize("name", NAMES)
def test_after_a_history_nobody_is_asked_anything(name):
    fold, records = tasks.fold(), recorded(name)
    run, _ = fold_records(fold, start_run(fold, records[0].key.decode()), records)
    assert run.state.run.ended and not run.state.tasks and not fold.active(run.state)
