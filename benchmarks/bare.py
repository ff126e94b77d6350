"""A bare machine: Python, make and git alone on the PATH, an empty HOME, the clock running. What `make run` and `make test` take.

    python -m benchmarks.bare [--with mvn java] [--words run test] [--keep FOLDER] [--json [FILE]]

The repository's last commit is cloned. PATH is a folder of links to the programs of `PROGRAMS` and to those of `--with`;
HOME is empty, and with it pip's cache. Each word of `--words` is made in turn in the same clone; what a word leaves in
`.venv` and `.tools` is there for the next.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.measure import asked_of, circumstances, parser_of, write
from benchmarks.newcomer import KEPT, MB, cpu_s

ROOT = Path(__file__).resolve().parent.parent
# Python, make and git; the rest is what every Unix has (coreutils, a shell, grep, sed, find).
PROGRAMS = [
    "python3",
    "make",
    "git",
    "sh",
    "bash",
    "env",
    "ls",
    "cp",
    "mv",
    "rm",
    "rmdir",
    "mkdir",
    "cat",
    "touch",
    "chmod",
    "ln",
    "dirname",
    "basename",
    "uname",
    "tr",
    "sed",
    "grep",
    "head",
    "tail",
    "sort",
    "uniq",
    "wc",
    "mktemp",
    "sleep",
    "date",
    "true",
    "false",
    "test",
    "expr",
    "id",
    "printf",
    "echo",
    "tee",
    "readlink",
    "realpath",
    "find",
    "xargs",
    "cut",
    "du",
    "pwd",
    "kill",
    "seq",
    "stat",
]


def links(folder: Path, programs: Sequence[str]) -> Path:
    """A folder that holds these programs and no others. SystemExit where one is not on this machine."""
    folder.mkdir()
    for name in programs:
        found = shutil.which(name)
        if found is None:
            sys.exit(f"there is no {name} on this machine to begin with")
        (folder / name).symlink_to(Path(found).resolve())
    return folder


def made(word: str, clone: Path, environment: Mapping[str, str]) -> dict[str, object]:
    """`make WORD`: seconds on the clock and of the processor, megabytes that lie there afterwards, its last lines."""
    print(f"$ make {word}", file=sys.stderr, flush=True)
    began, used = time.monotonic(), cpu_s()
    done = subprocess.run(["make", word], cwd=clone, env=environment, stdout=subprocess.PIPE, text=True)
    lines = done.stdout.strip().splitlines()
    (clone.parent / f"{word}.log").write_text(done.stdout)
    print("\n".join(lines[-60:]), file=sys.stderr)
    return {
        "status": done.returncode,
        "seconds": time.monotonic() - began,
        "cpu_s": cpu_s() - used,
        "venv_mb": megabytes(clone / ".venv"),
        "tools_mb": megabytes(clone / ".tools"),
        "said": lines[-2:],
    }


def megabytes(folder: Path) -> int:
    """On disk; 0 where there is no such folder."""
    return round(sum(path.lstat().st_blocks * 512 for path in folder.rglob("*") if not path.is_symlink()) / MB)


def main() -> None:
    parser = parser_of(__doc__, "`make run` alone")
    parser.add_argument("--with", dest="more", nargs="+", default=[], metavar="PROGRAM", help="on the PATH as well")
    parser.add_argument("--words", nargs="+", default=["run", "test"], help="what is made, in this order")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="where it happens, kept with what make said; default: deleted"
    )
    asked = asked_of(parser)
    with tempfile.TemporaryDirectory(prefix="concord-bare-") as temporary:
        place = asked.keep or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        # PostgreSQL's own user goes through it.
        place.chmod(0o755)
        (place / "home").mkdir()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(place / "concord")], check=True)
        kept = {name: value for name, value in os.environ.items() if KEPT.fullmatch(name)}
        path = str(links(place / "bin", [*PROGRAMS, *asked.more]))
        environment = kept | {"PATH": path, "HOME": str(place / "home")}
        words = ["run"] if asked.quick else asked.words
        rows = {f"make {word}": made(word, place / "concord", environment) for word in words}
    for name, row in rows.items():
        print(f"{name}: {row}")
    if asked.json:
        write(asked.json, circumstances({"with": asked.more, "load_after": os.getloadavg()[0]}) | rows)
    sys.exit(max(int(str(row["status"])) for row in rows.values()))


if __name__ == "__main__":
    main()
