"""A real PostgreSQL on this machine: set up in a second or two, started where asked, killed and restarted at will.

By hand: `python -m deploy.local.postgres [--port 5432] FOLDER` runs one until Ctrl-C.
"""

import argparse
import os
import pwd
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from deploy.local import programs
from deploy.local.broker import free_port
from deploy.local.servers import dies_with_parent, ended, started

USER = "concord"
# A role that must give its password and owns nothing.
GUARDED, PASSWORD = "guarded", "hunter2-of-the-tests"
UP_S = 30.0
# Nothing here outlives the machine, so nothing needs to reach the disk; the death of the process loses nothing all the same.
QUICK = ("fsync=off", "full_page_writes=off", "shared_buffers=64MB", "max_connections=200")


@dataclass
class Postgres:
    """One server. Start and restart it from the main thread: it dies with the thread that started it."""

    folder: Path
    port: int
    process: subprocess.Popen

    def url(self, database: str = "postgres", options: str = "") -> str:
        """Where CONCORD_STATE_URL would find the database."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}{options}"

    def make_database(self) -> str:
        """A new, empty database; returns its name."""
        name = f"test_{uuid4().hex[:12]}"
        self.execute(f"create database {name}")
        return name

    def guarded_url(self, database: str, password: str = PASSWORD) -> str:
        """The same for a user of few rights, who is made where it is missing."""
        make = f"create role {GUARDED} login password '{PASSWORD}'"
        self.execute(f"do $$ begin {make}; exception when duplicate_object then null; end $$")
        return f"postgresql://{GUARDED}:{password}@127.0.0.1:{self.port}/{database}"

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Runs statements as the server's owner, each on its own."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def stop(self) -> None:
        """Ends it in good order; whoever is connected is cut off."""
        ended(self.process, signal.SIGINT)

    def kill(self) -> None:
        """Ends it as a crash would: no checkpoint, and the next start recovers."""
        ended(self.process, signal.SIGQUIT)

    def restart(self) -> None:
        """Starts it again on the same port and data, if it does not run."""
        if self.process.poll() is not None:
            self.process = _launch(self.folder, self.port)


def start_postgres(folder: Path, port: int | None = None) -> Postgres:
    """Sets `folder` up the first time, starts the server and waits until it answers.

    Raises RuntimeError that says what to install, that the data are of another version's, or what the server wrote before
    it ended.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "data" / "PG_VERSION").exists():
        if user := _user():
            shutil.chown(folder, user, pwd.getpwnam(user).pw_gid)
        setup = (
            _program(folder, "initdb"),
            "-D",
            str(folder / "data"),
            "-U",
            USER,
            "-A",
            "trust",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
        )
        done = subprocess.run(dies_with_parent(setup, signal.SIGKILL, _user()), capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"`{' '.join(setup)}` failed:\n{(done.stdout + done.stderr)[-2000:]}")
        rules = folder / "data" / "pg_hba.conf"
        rules.write_text(f"host all {GUARDED} 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
    check_version(folder)
    port = port or free_port()
    return Postgres(folder, port, _launch(folder, port))


def check_version(folder: Path) -> None:
    """Raises RuntimeError where the data in `folder` were made by another PostgreSQL than the one that is installed."""
    made_by = (folder / "data" / "PG_VERSION").read_text().strip()
    ours = programs.postgres_version().partition(".")[0]
    if made_by != ours:
        raise RuntimeError(
            f"{folder / 'data'} was made by PostgreSQL {made_by}, and {ours} is installed, which cannot read it: begin with an "
            "empty folder (`make down DATA=gone` deletes what `make up` keeps)"
        )


def _program(folder: Path, name: str) -> str:
    """The program; of a copy in `folder` where the server's own user may not enter the folder that it is installed in."""
    installed = programs.postgres()
    if not _user() or open_to_all(installed / "bin" / name):
        return str(installed / "bin" / name)
    copy = folder / f"postgresql-{programs.postgres_version()}"
    if not copy.exists():
        shutil.copytree(installed, copy, symlinks=True, ignore=shutil.ignore_patterns("include"))
    return str(copy / "bin" / name)


def open_to_all(path: Path) -> bool:
    """Whether everybody may enter all folders on the way to the file: a home often lets nobody in."""
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


def _user() -> str:
    """Who it runs as; empty: who calls. The server refuses to run as root, and every Unix has a `nobody`."""
    return "nobody" if os.geteuid() == 0 else ""


def _launch(folder: Path, port: int) -> subprocess.Popen:
    settings = (f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}", *QUICK)
    command = [
        _program(folder, "postgres"),
        "-D",
        str(folder / "data"),
        *(part for one in settings for part in ("-c", one)),
    ]
    command = dies_with_parent(command, signal.SIGQUIT, _user())
    return started(f"PostgreSQL on port {port}", command, folder / "postgres.log", lambda: _answers(port), UP_S)


def _answers(port: int) -> bool:
    """Whether it takes connections: while it recovers, its port is open and it says 'starting up'."""
    import psycopg

    try:
        psycopg.connect(f"postgresql://{USER}@127.0.0.1:{port}/postgres", connect_timeout=2).close()
        return True
    except psycopg.OperationalError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int)
    given = parser.parse_args()
    server = start_postgres(given.folder.resolve(), given.port)
    print(f"CONCORD_STATE_URL={server.url()}   (pid {server.process.pid}; Ctrl-C ends it)", flush=True)
    try:
        server.process.wait()
    except KeyboardInterrupt:
        server.stop()


if __name__ == "__main__":
    main()
