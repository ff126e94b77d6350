"""The README is tested: every command, setting and stage that it names exists, and the other way round."""

import re
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from concord.cli import app
from concord.client.run.options import METHODS, Options, resolve
from concord.kit.settings import Settings
from concord.runs.plan import PLANS
from concord.v1.events_pb2 import Event, Stage
from concord.wiring import SERVICES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = get_command(app).commands


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme_and_has_help(name):
    assert f"concord {name}" in README
    assert COMMANDS[name].help


@pytest.mark.parametrize("line", re.findall(r"^(?:\.venv/bin/)?concord (\w+)", README, re.M))
def test_every_command_in_the_readme_exists(line):
    assert line in COMMANDS


def test_every_flag_in_the_readme_exists():
    known = {
        flag for command in (get_command(app), *COMMANDS.values()) for param in command.params for flag in param.opts
    }
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", README))
    assert named <= known, named - known


def test_every_setting_is_in_the_readme_with_its_default_and_no_other():
    table = dict(re.findall(r"^\| `CONCORD_(\w+)` \| ([^|]*) \|", README, re.M))
    settings = {field.name.upper(): field.default for field in fields(Settings)}
    assert set(table) == set(settings)
    for name, default in settings.items():
        if default not in ("",):
            shown = table[name].strip().strip("`")
            assert shown == (f"{default:g}" if isinstance(default, float) else str(default)), name


def test_every_service_and_method_is_in_the_readme():
    for name in SERVICES:
        assert f"| `{name}` |" in README
    assert set(METHODS) == set(PLANS)
    for name in METHODS:
        assert f"| `{name}` |" in README


def test_the_example_settings_are_accepted_as_they_stand():
    given = yaml.safe_load((ROOT / "examples" / "run.yaml").read_text())
    assert resolve({}, given) == Options(judge="recorded:GPT-4")


def test_the_makefile_words_of_the_readme_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"`?make ([\w-]+)", README)) <= targets


def test_a_virtual_environment_that_came_half_way_is_made_again(tmp_path):
    """As on Debian without python3-venv: the interpreter is there, pip is not."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\n[ "$1" = -c ] && exit 0\nmkdir -p "$3/bin" && touch "$3/bin/python"; exit 1\n')
    python.chmod(0o755)
    for _ in range(2):
        made = subprocess.run(
            ["make", "-f", ROOT / "Makefile", ".venv/bin/python", f"PYTHON={python}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert made.returncode != 0
        assert "apt-get install python3-venv" in made.stdout
        assert not (tmp_path / ".venv/bin/python").exists()


def test_every_fact_and_every_stage_is_explained_in_the_contract():
    """Each message of the catalogue stands below a comment; so does each stage that is not plain from its name."""
    text = (ROOT / "protos/concord/v1/events.proto").read_text()
    for field in Event.DESCRIPTOR.oneofs_by_name["kind"].fields:
        assert re.search(rf"^// .+\nmessage {field.message_type.name} ", text, re.M), field.message_type.name
    assert len(Stage.keys()) == 18
