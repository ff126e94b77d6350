"""`concord …`: the functions of `services/commands` as one program, and their errors as exit codes.

Exit codes: 0 done · 1 our fault (please report) · 2 a mistake in files, flags or settings · 3 the run stands still and
waits for you, or something wrong was found · 4 something that Concord needs does not answer, is
damaged, or is not given by the system · 130 interrupted; the same
command goes on later.
"""

import os
import sys
from collections.abc import Callable
from functools import wraps
from importlib.metadata import version
from typing import Annotated

# One BLAS thread: results must not depend on the number of cores. Before NumPy is imported.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

AWAY, WRONG = 4, 2

try:
    from concord.kit import allowance

    if allowance.too_few_addresses():
        raise MemoryError

    import typer

    from concord.client.run import progress
    from concord.commands import (
        annotate,
        certify,
        console,
        criteria,
        flags,
        judge,
        keeping,
        model,
        people,
        place,
        prompts,
        redteam,
        replay,
        results,
        run,
        steer,
        tasks,
        upkeep,
    )
    from concord.kit.errors import ConcordError, Corrupt, Fenced, Unavailable
except (ImportError, MemoryError, OSError) as error:
    # A library is missing, or cannot be read into what memory there is.
    print(
        f"concord: cannot start: {error or 'no memory is left'}. Too little memory or too few open files (ulimit -v, ulimit -n) "
        "look like that, and so does a package that is missing: pip install --upgrade concord-preference",
        file=sys.stderr,
    )
    sys.exit(AWAY)

# In the order in which `concord --help` lists them.
COMMANDS = (
    flags.with_settings(run.run),
    prompts.prompts,
    certify.certify,
    annotate.annotate,
    console.console,
    console.link,
    steer.pause,
    steer.resume,
    steer.cancel,
    replay.replay,
    results.report,
    results.runs,
    results.export,
    criteria.criteria,
    upkeep.verify,
    upkeep.rm,
    upkeep.gc,
    upkeep.prune,
    keeping.backup,
    keeping.restore,
    place.fetch,
    place.serve,
    place.migrate,
    place.doctor,
)


def spoken(command: Callable) -> Callable:
    """Errors on purpose end in one message and their exit code; only a bug shows a trace."""

    @wraps(command)
    def call(*args, **kwargs):
        try:
            return command(*args, **kwargs)
        except ConcordError as error:
            print("concord: " + "\n".join(map(progress.clean, str(error).split("\n"))), file=sys.stderr)
            raise typer.Exit(AWAY if isinstance(error, Unavailable | Fenced | Corrupt) else WRONG) from None
        except KeyboardInterrupt:
            print("concord: interrupted; the same command goes on where this one stopped", file=sys.stderr)
            raise typer.Exit(130) from None
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except (OSError, MemoryError, RuntimeError, ImportError) as error:
            if (why := allowance.want(error)) is None:
                raise
            print(f"concord: {why}", file=sys.stderr)
            raise typer.Exit(AWAY) from None

    return call


def _say_version(wanted: bool) -> None:
    if wanted:
        print(f"concord {version('concord-preference')}")
        raise typer.Exit()


def concord(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """Preference datasets of human quality from an LLM judge and a few people, asked only where it pays."""


app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.callback()(concord)
for command in COMMANDS:
    app.command()(spoken(command))
judges = typer.Typer(no_args_is_help=True)
judges.command("try")(spoken(judge.try_))
app.add_typer(judges, name="judge", help="A judge by itself, without a run: `judge try` asks it about three pairs.")

models = typer.Typer(no_args_is_help=True)
models.command("put")(spoken(model.put))
app.add_typer(
    models, name="model", help="Models for --reward-model and --policy: `model put` stores a folder in the blobs."
)

red = typer.Typer(no_args_is_help=True)
for part in (redteam.attacks, redteam.classify, redteam.pairs):
    red.command()(spoken(part))
app.add_typer(
    red, name="redteam", help="Attack prompts, what answers to them do, and pairs with the safe answer chosen."
)

persons = typer.Typer(no_args_is_help=True)
persons.command("list")(spoken(people.list_))
persons.command("forget")(spoken(people.forget))
persons.command("pay")(spoken(people.pay))
app.add_typer(
    persons, name="people", help="Who annotates: names behind pseudonyms, forgetting one, pay and pace as CSV."
)

erasing = typer.Typer(no_args_is_help=True)
erasing.command("prompt")(spoken(keeping.erase_prompt))
erasing.command("person")(spoken(keeping.erase_person))
erasing.command("run")(spoken(keeping.erase_run))
app.add_typer(
    erasing, name="erase", help="Texts that must go: of a prompt, a person or a whole run; the rest verifies as before."
)

elsewhere = typer.Typer(no_args_is_help=True)
elsewhere.command("export")(spoken(tasks.export))
elsewhere.command("import")(spoken(tasks.import_))
elsewhere.command("label-studio")(spoken(tasks.label_studio))
app.add_typer(
    elsewhere, name="tasks", help="A run's questions to people, to a file or another program, and the answers back."
)


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()
