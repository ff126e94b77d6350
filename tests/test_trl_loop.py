"""The whole loop of `make run-torch`, with a tiny model in place of the small real one."""

import json

import pytest

from benchmarks import whole_loop
from tests.tiny_models import saved

pytestmark = pytest.mark.trl


def test_the_whole_loop_trains_aligns_and_compares_with_the_command_that_it_shows(tmp_path, capfd):
    model = saved(tmp_path / "tiny", "llama", width=0.2)
    assert whole_loop.main([str(model), str(tmp_path / "out"), "--quick"]) == 0
    said = capfd.readouterr().out
    first, again = (line for line in said.splitlines() if line.startswith("$ concord run "))
    assert first == again and "--evaluate-votes" in said and "--reward-model" in said and "--evaluate" in said
    report = json.loads((tmp_path / "out" / "run" / "report.json").read_text())
    assert {one["kind"] for one in report["tunings"]} == {"reward-model", "policy"}
    assert (tmp_path / "out" / "run" / "policy" / "adapter_model.safetensors").exists()
    contest = report["policy"]["contest"]
    assert {contest["model"], contest["against"]} == {"policy", "start"} and contest["judge"]
    assert report["policy"]["reward"] and report["policy"]["people"]["answered"] == whole_loop.QUICK.votes
    assert said.count("log-probability") == 2
    assert "Answers that begin with 'Certainly!'" in said and str(tmp_path / "out" / "run" / "report.html") in said
