"""What may be said to a command, each flag with its help; its default stands where the command names it.

The flags of a run's settings are those of the table; here are the others.
"""

from collections.abc import Callable, Iterator
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from typer import Argument, Option

from concord.client.run.options import METHODS
from concord.preference import run_settings
from concord.preference.run_settings import AGAIN, PAIRS, PANELS, PEOPLE, RESULTS, Options

# Of several commands.
Run = Annotated[str, Argument(metavar="RUN", help="A run's id, the beginning of it, or `last`.")]
Door = Annotated[str, Option("--server", help="Read through the front door HOST:PORT; none: what the settings name.")]

# Of `concord run`.
Pairs = Annotated[
    str,
    Argument(
        metavar="[PATH]", help="A file or folder of pairs (JSONL, Parquet …), or `sample` for the bundled simulation."
    ),
]
From = Annotated[
    str,
    Option(
        "--from",
        metavar="RUN",
        help="Go on from an earlier run: its pairs, settings and answers, and the new pairs of PATH.",
        rich_help_panel=PAIRS,
    ),
]
SkipBad = Annotated[
    bool, Option("--skip-bad", help="Set rows that cannot be used aside instead of stopping.", rich_help_panel=PAIRS)
]
SkipUnanswered = Annotated[
    bool,
    Option(
        "--skip-unanswered",
        help="Go on where nobody answered: those questions count as skipped.",
        rich_help_panel=PEOPLE,
    ),
]
Wait = Annotated[
    bool,
    Option("--wait", help="Wait for missing answers instead of ending with exit code 3.", rich_help_panel=PEOPLE),
]
Annotator = Annotated[
    list[str] | None,
    Option(
        metavar="NAME[=SKILL,…]",
        help="With --annotators web: who gets a link to the pages; may be repeated. None: whoever you are here.",
        rich_help_panel=PEOPLE,
    ),
]
Columns = Annotated[
    str,
    Option(
        metavar="ROLE=NAME,…",
        help="Which column of PATH is what, where the form is none we know: prompt=…,first=…,second=…,winner=… or "
        "prompt=…,chosen=…,rejected=….",
        rich_help_panel=PAIRS,
    ),
]
Contradictions = Annotated[
    str,
    Option(
        help="Rows of one pair whose labels contradict each other: `tie`, or `aside` to leave them out.",
        rich_help_panel=PAIRS,
    ),
]
Reuse = Annotated[
    str | None,
    Option(help="A run whose people's answers on the same pairs are taken over.", rich_help_panel=AGAIN),
]
New = Annotated[str, Option(help="Any word: begin another run of the same input and settings.", rich_help_panel=AGAIN)]
Resume = Annotated[
    bool,
    Option(
        "--resume",
        help="Let a paused run go on: what failed or got no verdict is tried anew, a shut gate is overruled.",
        rich_help_panel=AGAIN,
    ),
]
AcceptJudge = Annotated[
    bool,
    Option(
        "--accept-judge",
        help="With --resume: go on with a judge that fell silent or that follows the place of an answer.",
        rich_help_panel=AGAIN,
    ),
]
Results = Annotated[
    Path | None,
    Option(help="Folder for the results.", show_default="runs/RUN in CONCORD_HOME", rich_help_panel=RESULTS),
]
Test = Annotated[
    Path | None,
    Option(help="Test pairs with people's labels: how much of the gap was closed.", rich_help_panel=RESULTS),
]
Compare = Annotated[
    bool,
    Option("--compare", help="Run the other methods on the same labels and budget.", rich_help_panel=RESULTS),
]
DryRun = Annotated[bool, Option("--dry-run", help="Say what it will cost, and stop.", rich_help_panel=RESULTS)]
ReportAsJson = Annotated[
    bool,
    Option("--json", help="Print report.json on standard output, nothing else there.", rich_help_panel=RESULTS),
]
_IN_FILE_ALONE = ", ".join(sorted(name for name, entry in run_settings.settings().items() if not entry.panel))
Config = Annotated[Path | None, Option(help=f"A YAML file of settings, of these and of {_IN_FILE_ALONE}; flags win.")]
Server = Annotated[
    str, Option(help="HOST:PORT of the front door of services that run elsewhere; none: all in this process.")
]

# Of `concord pause`, `resume` and `cancel`.
Through = Annotated[
    str, Option("--server", help="Say it through the front door HOST:PORT; none: to the log that the settings name.")
]
Why = Annotated[str, Option("--why", help="The reason, as the run's story will tell it.")]
AcceptSilence = Annotated[
    bool, Option("--accept-judge", help="Go on with a judge that fell silent or that follows the place of an answer.")
]
CancelYes = Annotated[bool, Option("--yes", help="Do not ask before.")]


def with_settings(command: Callable[..., None], table: type = Options) -> Callable[..., None]:
    """The command with a flag for each setting of the table where it takes `**said`, in the order of the panels."""

    @wraps(command)
    def call(**given: object) -> None:
        command(**given)

    own = [one for one in signature(command).parameters.values() if one.kind is not Parameter.VAR_KEYWORD]
    shown = sorted((*own, *settings(table)), key=_panel)
    # This is what typer reads the flags from.
    vars(call)["__signature__"] = Signature([one.replace(kind=Parameter.KEYWORD_ONLY) for one in shown])
    return call


def settings(table: type = Options) -> Iterator[Parameter]:
    """A flag for each setting with a panel, and a hidden one for each name that it had; None: it is not given.

    What is not given is the settings file's, or the earlier run's, or the default.
    """
    kinds = get_type_hints(table)
    for name, entry in run_settings.settings(table).items():
        if not entry.panel:
            continue
        kind, default = _taken(kinds[name]) | None, as_typed(getattr(table, name))
        shown = Option(help=_help(name, entry.help), show_default=default, rich_help_panel=entry.panel)
        for flag, option in {name: shown, **{old: Option(hidden=True) for old in entry.aliases}}.items():
            yield Parameter(flag, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option])


def _help(name: str, text: str) -> str:
    return f"{text.rstrip('.')}: {', '.join(METHODS)}." if name == "method" else text


def as_typed(default: object) -> str:
    """A default as it would be typed."""
    if isinstance(default, tuple):
        return ",".join(map(as_typed, default)) or "none"
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default) or "none"


def _taken(kind: Any) -> Any:
    """What a flag of this setting takes: texts one by one, numbers with commas between them."""
    return {tuple[str, ...]: list[str], tuple[float, ...]: str}.get(kind, kind)


def _panel(flag: Parameter) -> int:
    """Where the flag's panel stands; what has none comes last."""
    (said,) = flag.annotation.__metadata__
    return PANELS.index(said.rich_help_panel) if said.rich_help_panel else len(PANELS)
