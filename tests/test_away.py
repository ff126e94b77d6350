"""A judge that is away: what the user hears, how soon, and what no output of the run ever holds."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import structlog

from concord.client.run import options, session
from concord.client.run.job import Job, prepare
from concord.embedded import embedded
from concord.kit.settings import from_environment
from concord.kit.telemetry import log_json
from concord.v1.runs_service_pb2 import RUN_STATUS_FINISHED, RUN_STATUS_PAUSED, RunView
from tests.dialects import pairs
from tests.test_sigkill import endpoint

PHRASE = "violet-walrus-rubric"
KEY = "sk-planted/key\"with'signs"


class Paused(Exception):
    """The run stands still."""


def left_once_it_waits(view: RunView) -> None:
    if view.status == RUN_STATUS_PAUSED:
        raise Paused(view.detail)


def settings_in(folder: Path, **more: object):
    return from_environment({}, home=str(folder), listen="127.0.0.1:0", **more)


def job(folder: Path, judge: str, **flags: object) -> Job:
    rows = [{"prompt": p.prompt[0].content, "chosen": p.first.text, "rejected": p.second.text} for p in pairs(16)]
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = {"judge": judge, "annotators": "simulated:0", "pilot": 0, **flags}
    return prepare(str(path), options.resolve(asked), None, "")


def test_the_same_command_looks_anew_at_a_judge_that_asked_to_be_left_alone_for_years(tmp_path):
    with endpoint(rate_limited=1.0, retry_after="315360000") as judge:
        asked = job(tmp_path, f"{judge.url}#m")
        with embedded(settings_in(tmp_path)) as running, pytest.raises(Paused, match=r"429.*every 60 s"):
            session.run(asked, running, left_once_it_waits)
        judge.behaviour.rate_limited = 0.0
        began = time.monotonic()
        with embedded(settings_in(tmp_path)) as running:
            view = session.run(asked, running, lambda view: None)
        assert view.status == RUN_STATUS_FINISHED and time.monotonic() - began < 50


@pytest.mark.parametrize("status", [400, 401, 403, 422, 429, 500])
def test_neither_the_key_nor_the_rubric_that_an_endpoint_repeats_stands_anywhere(tmp_path, monkeypatch, status):
    monkeypatch.setenv("PLANTED", KEY)
    said = f"You sent Authorization: Bearer {KEY} and {json.dumps(KEY)}; the rubric was {PHRASE}"
    home = tmp_path / "home"
    home.mkdir()
    with endpoint(poison={PHRASE: status}, error=said) as judge, logged(home / "concord.log"):
        asked = job(tmp_path, f"{judge.url}#m", criteria=f"{PHRASE} decides.", api_key_env="PLANTED")
        with embedded(settings_in(home, judge_keys="PLANTED")) as running:
            heard = _heard(asked, running)
    log = (home / "concord.log").read_text()
    assert PHRASE not in heard + log and "planted" not in heard + log
    for path in home.rglob("*"):
        # The rubric is part of the run's record, as it must be; the key is not.
        assert not path.is_file() or b"planted" not in path.read_bytes(), path


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """What this process logs goes to the file, and afterwards where it went before."""
    before = structlog.get_config()
    with path.open("a") as file:
        log_json("debug", file)
        try:
            yield
        finally:
            structlog.configure(**before)


def _heard(asked: Job, running) -> str:
    """What the user reads of the run's states until it ends or waits."""
    details: list[str] = []

    def seen(view: RunView) -> None:
        details.append(view.detail)
        if view.status == RUN_STATUS_PAUSED:
            raise Paused

    with suppress(Paused):
        session.run(asked, running, seen)
    return " ".join(details)
