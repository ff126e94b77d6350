"""`concord run --annotators web` as a user types it: links, pages beside the run, an interruption, and the end."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from concord.commands.console import check_names
from concord.kit.errors import InvalidInput
from tests.console_world import Browser
from tests.test_asking import write_blind
from tests.test_cli import concord
from tests.waiting import until

WORDS = (
    *("run", "blind.jsonl", "--judge", "sample", "--no-checks", "--budget", "8", "--pilot", "4"),
    *("--annotators", "web", "--annotator", "ann", "--annotator", "bob"),
)


class Started:
    """A command that goes on, and what it has said."""

    def __init__(self, process: subprocess.Popen, said: Path) -> None:
        self.process, self._said = process, said

    def links(self) -> dict[str, str]:
        return dict(re.findall(r"^  (\w+) +(http\S+)$", self._said.read_text(), re.M))


@contextmanager
def started(folder: Path, *words: str) -> Iterator[Started]:
    said = folder / "said.txt"
    with said.open("w") as out:
        environment = {**os.environ, "CONCORD_HOME": str(folder / "home"), "CONCORD_CONSOLE_LISTEN": "127.0.0.1:0"}
        command = [sys.executable, "-m", "concord.cli", *words]
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out, env=environment, preexec_fn=_hears)
        try:
            yield Started(process, said)
        finally:
            process.kill()
            process.wait()


def _hears() -> None:
    """Where the tests run in a shell's background ^C is ignored, and whatever they start would not hear it either."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def entered(link: str) -> Browser:
    client = httpx2.Client(base_url=link.split("/enter/")[0], headers={"accept": "text/html"})
    path = client.get(link).headers["location"]
    return Browser(client, path, re.search(r'name="form" content="([^"]+)"', client.get(path).text)[1])


@pytest.mark.slow
def test_a_run_prints_a_link_for_each_and_goes_on_as_answers_come_also_after_an_interruption(tmp_path):
    write_blind(tmp_path)
    with started(tmp_path, *WORDS) as run:
        links = until(lambda: len(run.links()) == 3 and run.links(), "three links")
        assert set(links) == {"ann", "bob", "operator"}
        ann = entered(links["ann"])
        task = until(ann.tasks, "a question")[0]
        assert ann.answer(task)["refused"] == ""
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait(60) == 130
    with started(tmp_path, *WORDS) as run:
        again = until(lambda: len(run.links()) == 3 and run.links(), "three links again")
        # The old link's pass still holds: the secret is the home's.
        old = links["ann"].split("/enter/")[1]
        bob, ann = entered(again["bob"]), entered(f"{again['ann'].split('/enter/')[0]}/enter/{old}")
        assert ann.get("/tasks").json()["answered"] == 1
        over = False
        while not over and run.process.poll() is None:
            for person in (ann, bob):
                asked = person.get("/tasks").json()
                over = over or asked.get("over", False)
                for one in asked["tasks"][:1]:
                    person.answer(one, "tie")
        assert run.process.wait(60) == 0, (tmp_path / "said.txt").read_text()
    assert list((tmp_path / "home" / "runs").rglob("dataset.jsonl"))
    listed = concord(tmp_path, "link", "last", "cleo", "--role", "viewer", CONCORD_HOME=str(tmp_path / "home"))
    assert re.match(r"http://127\.0\.0\.1:7080/enter/\S+$", listed.stdout.strip()), listed.stderr


@pytest.mark.parametrize(
    ("annotators", "names", "says"),
    [
        ("people", ["ann"], "--annotators web, not people"),
        ("web", ["ann", "ann"], "a name of the own"),
        ("web", ["operator"], "none is called"),
        ("web", ["a,b"], "a name of 1 to 60"),
    ],
)
def test_names_that_cannot_be_are_refused_before_anything_is_begun(annotators, names, says):
    with pytest.raises(InvalidInput, match=re.escape(says)):
        check_names(annotators, names)
