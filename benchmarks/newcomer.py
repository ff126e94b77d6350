"""A newcomer's first minutes: an empty folder, an empty HOME, the README's own commands, the clock running.

    python -m benchmarks.newcomer [--repository PATH] [--peers] [--json [FILE]]

The repository's last commit is cloned, and the README's first block of commands is carried out up to the one that ends
with a report, by a shell that knows no more of this machine than PATH, proxies and where pip finds packages. HOME being
empty, pip's cache is too. `--peers` installs those that one would otherwise take, each in a virtual environment of its
own, in the same way; what one must do with them after that is not timed here.
"""

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.measure import asked_of, circumstances, parser_of, write

ROOT = Path(__file__).resolve().parent.parent
PEERS = ("distilabel[openai]", "label-studio")
# Of the environment only this is passed on; pip's own settings as well, its cache excepted.
KEPT = re.compile(r"PATH|LANG|LC_.*|(?i:\w+_proxy)|PIP_(?!CACHE_DIR|NO_CACHE_DIR)\w+|SSL_CERT_\w+|REQUESTS_CA_BUNDLE")
MB = 2**20


def readme_commands(readme: str) -> list[str]:
    """The commands of the first block of shell, without comments, up to the one that makes the first report."""
    block = re.search(r"^```sh\n(.*?)^```", readme, re.M | re.S)
    if block is None:
        sys.exit("the README has no block of commands (```sh)")
    lines = [line.split("#")[0].strip() for line in block[1].splitlines()]
    return lines[: lines.index("make run") + 1]


def newcomer(repository: Path) -> dict[str, object]:
    """Clone and run; seconds, commands, and what lies there afterwards."""
    with tempfile.TemporaryDirectory() as empty:
        environment, folder = _empty_home(Path(empty)), Path(empty) / "concord"
        commands = ["git clone --quiet REPOSITORY concord", "cd concord"]
        began, used = time.time(), cpu_s()
        _carry_out(commands[0].replace("REPOSITORY", str(repository)), Path(empty), environment)
        commands += readme_commands((folder / "README.md").read_text())
        for command in commands[2:]:
            _carry_out(command, folder, environment)
        reports = list(folder.glob("concord-data/runs/*/report.html"))
        if not reports:
            sys.exit(f"{' && '.join(commands)} made no report")
        # Written when everything is installed.
        installed = (folder / ".venv" / "light").stat().st_mtime
        first = reports[0].stat().st_mtime
        return {
            "commands": commands,
            "install_s": installed - began,
            "report_s": first - began,
            "after_install_s": first - installed,
            "cpu_s": cpu_s() - used,
            **_size(folder / ".venv"),
        }


def peer(requirement: str) -> dict[str, object]:
    """Installs it in an empty virtual environment."""
    with tempfile.TemporaryDirectory() as empty:
        environment, folder = _empty_home(Path(empty)), Path(empty)
        began, used = time.time(), cpu_s()
        _carry_out(f"{sys.executable} -m venv .venv", folder, environment)
        _carry_out(f".venv/bin/pip install --quiet --disable-pip-version-check '{requirement}'", folder, environment)
        return {"install_s": time.time() - began, "cpu_s": cpu_s() - used, **_size(folder / ".venv")}


def _empty_home(folder: Path) -> Mapping[str, str]:
    home = folder / "home"
    home.mkdir()
    return {name: value for name, value in os.environ.items() if KEPT.fullmatch(name)} | {"HOME": str(home)}


def _carry_out(command: str, folder: Path, environment: Mapping[str, str]) -> None:
    print(f"$ {command}", file=sys.stderr, flush=True)
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    if done.returncode:
        sys.exit(f"`{command}` ended with {done.returncode}")


def cpu_s() -> float:
    """Of all commands so far: what else the machine does changes it little."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _size(folder: Path) -> dict[str, object]:
    """Megabytes on disk, and how many packages besides pip and setuptools."""
    used = sum(path.lstat().st_blocks * 512 for path in folder.rglob("*") if not path.is_symlink())
    names = {path.name.split("-")[0].lower() for path in folder.glob("lib/*/site-packages/*.dist-info")}
    return {"mb": round(used / MB), "packages": len(names - {"pip", "setuptools"})}


def table(rows: Mapping[str, Mapping[str, object]]) -> str:
    """Markdown."""
    lines = [
        "| | commands | installed, s | MB | packages | first report, s | processor, s |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        commands = row.get("commands")
        asked = f"{len(commands)}" if isinstance(commands, Sequence) else "1 pip"
        first = f"{row['report_s']:.0f}" if "report_s" in row else "–"
        size = f"{row['mb']} | {row['packages']}"
        lines.append(f"| {name} | {asked} | {row['install_s']:.0f} | {size} | {first} | {row['cpu_s']:.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = parser_of(__doc__, "the same: it cannot be made smaller")
    parser.add_argument("--repository", type=Path, default=ROOT, help="what is cloned; default: this one")
    parser.add_argument("--peers", action="store_true", help=f"install {' and '.join(PEERS)} as well")
    asked = asked_of(parser)
    rows = {"Concord": newcomer(asked.repository.resolve())} | {name: peer(name) for name in PEERS if asked.peers}
    print(table(rows))
    if asked.json:
        write(asked.json, circumstances({"pip's cache": "empty", "load_after": os.getloadavg()[0]}) | rows)


if __name__ == "__main__":
    main()
