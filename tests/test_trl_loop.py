"""The whole loop of `make run-torch`, with a tiny model in place of the small real one."""

import json

import pytest

from benchmarks import whole_loop
from tests.tiny_models import saved

pytestmark = pytest.mark.trl


def test_the_whole_loop_trains_aligns_and_compares_with_the_commands_that_it_shows(tmp_path, capfd):
    model = saved(tmp_path / "tiny", "llama", width=0.2)
    assert whole_loop.main([str(model), str(tmp_path / "out"), "--quick"]) == 0
    said = capfd.readouterr().out
    assert (
        said.count("$ concord run ") == 2
        and "--reward-model" in said
        and "$ python -m concord.training.answers" in said
    )
    first, second = (
        json.loads((tmp_path / "out" / name / "report.json").read_text()) for name in ("aligned", "compared")
    )
    assert {one["kind"] for one in first["tunings"]} == {"reward-model", "policy"}
    assert (tmp_path / "out" / "aligned" / "policy" / "adapter_model.safetensors").exists()
    (contest,) = second["contests"]
    assert {contest["model"], contest["against"]} == {"policy", "start"} and contest["judge"] and contest["people"]
    assert said.count("log-probability") == 2 and "The reward model of the same labels prefers" in said
    assert "Answers that begin with 'Certainly!'" in said and str(tmp_path / "out" / "compared" / "report.html") in said
