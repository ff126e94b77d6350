"""Servers on this machine: where their programs are, and what stands in their way in words."""

import re
import shutil
from pathlib import Path

import pytest

from deploy.local import broker, programs
from deploy.local.postgres import check_version, open_to_all


def test_every_program_is_installed_with_the_developers_extra():
    for program in (programs.java(), programs.postgres() / "bin" / "initdb", programs.kubectl()):
        assert program.is_file() and shutil.which(program), program


def test_data_of_another_postgresql_are_refused_with_what_to_do(tmp_path):
    (tmp_path / "data").mkdir()
    version = tmp_path / "data" / "PG_VERSION"
    version.write_text("15\n")
    with pytest.raises(RuntimeError, match=f"{re.escape(str(tmp_path))}.*PostgreSQL 15.*begin with an empty folder"):
        check_version(tmp_path)
    version.write_text(programs.postgres_version().split(".")[0] + "\n")
    check_version(tmp_path)


def test_a_program_below_a_folder_that_lets_nobody_in_is_not_open_to_all(tmp_path_factory):
    assert open_to_all(Path("/usr/bin/env"))
    home = tmp_path_factory.mktemp("home")
    (home / "initdb").touch()
    home.chmod(0o700)
    assert not open_to_all(home / "initdb")


def test_without_jars_and_maven_a_broker_is_missing_in_words(monkeypatch, tmp_path):
    monkeypatch.setattr(broker, "LIBS", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "Maven" in broker.missing()
    with pytest.raises(RuntimeError, match="apt-get install maven"):
        broker.install()
