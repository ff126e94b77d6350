"""What may be said to a command, each flag with its help; its default stands where the command names it."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from concord.client.run import options

# Of several commands.
Run = Annotated[str, Argument(metavar="RUN", help="A run's id, the beginning of it, or `last`.")]
Door = Annotated[str, Option("--server", help="Read through the front door HOST:PORT; none: what the settings name.")]

# Of `concord run`: the input.
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
    ),
]
Reuse = Annotated[str | None, Option(help="A run whose people's answers on the same pairs are taken over.")]
SkipBad = Annotated[bool, Option("--skip-bad", help="Set rows that cannot be used aside instead of stopping.")]
Test = Annotated[Path | None, Option(help="Test pairs with people's labels: how much of the gap was closed.")]

# What the run is asked to be; None: the settings file's, or the earlier run's, or the default.
Judge = Annotated[
    str | None,
    Option(
        help="sample, recorded:NAME, or the URL of an OpenAI-compatible endpoint (URL#MODEL).", show_default="sample"
    ),
]
Helper = Annotated[list[str] | None, Option(help="A further judge that informs, never labels; may be repeated.")]
Annotators = Annotated[str | None, Option(help="recorded, simulated:ERROR_RATE or file:PATH.", show_default="recorded")]
# The name until 0.2.
Humans = Annotated[str | None, Option("--humans", hidden=True)]
Budget = Annotated[str | None, Option(help="Votes: a share of the pairs or a number.", show_default="6%")]
Method = Annotated[str | None, Option(help=f"One of {', '.join(options.METHODS)}.", show_default="posterior")]
Pilot = Annotated[
    int | None,
    Option(help="Pilot tasks; 0: none; -1: max(8, 0.5 %), at most a quarter of the budget.", show_default="-1"),
]
Quorum = Annotated[int | None, Option(help="Votes a task needs.", show_default="1")]
Seed = Annotated[
    int | None, Option(help="Of all draws: the same input, settings and seed are the same run.", show_default="0")
]
Model = Annotated[str | None, Option(help="The LLM judge's model name.")]
Criteria = Annotated[str | None, Option(help="What makes a response better, most important first.")]
ApiKeyEnv = Annotated[str | None, Option(help="Environment variable that holds the judge's key.")]
PromptPrice = Annotated[float | None, Option(help="Dollars per million prompt tokens.")]
CompletionPrice = Annotated[float | None, Option(help="Dollars per million completion tokens.")]
Dollars = Annotated[float | None, Option(help="Most that judging may cost; 0: no limit.")]
Config = Annotated[Path | None, Option(help="A YAML file of these settings; flags win.")]
New = Annotated[str, Option(help="Any word: begin another run of the same input and settings.")]

# How it is carried out, and what comes of it.
Server = Annotated[
    str, Option(help="HOST:PORT of the front door of services that run elsewhere; none: all in this process.")
]
Resume = Annotated[
    bool,
    Option(
        "--resume",
        help="Let a paused run go on: what failed or got no verdict is tried anew, a shut gate is overruled.",
    ),
]
AcceptJudge = Annotated[
    bool, Option("--accept-judge", help="With --resume: go on without the verdicts that a silent judge did not give.")
]
Compare = Annotated[bool, Option("--compare", help="Run the other methods on the same labels and budget.")]
DryRun = Annotated[bool, Option("--dry-run", help="Say what it will cost, and stop.")]
Results = Annotated[Path | None, Option(help="Folder for the results.")]
ReportAsJson = Annotated[bool, Option("--json", help="Print report.json on standard output, nothing else there.")]

# Of `concord pause`, `resume` and `cancel`.
Through = Annotated[
    str, Option("--server", help="Say it through the front door HOST:PORT; none: to the log that the settings name.")
]
Why = Annotated[str, Option("--why", help="The reason, as the run's story will tell it.")]
AcceptSilence = Annotated[
    bool, Option("--accept-judge", help="Go on without the verdicts that a silent judge did not give.")
]
CancelYes = Annotated[bool, Option("--yes", help="Do not ask before.")]
