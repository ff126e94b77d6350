"""`concord judge try`: the first thing to do with a new endpoint, before a run meets it."""

import asyncio
import json
import os
from pathlib import Path
from typing import Annotated

import typer

from concord.client.run import options, preflight, progress
from concord.commands import FOUND, home
from concord.kit.errors import InvalidInput
from concord.preference.pairs import Row
from concord.preference.run_settings import Options
from concord.v1.config_pb2 import JudgeConfig

PAIRS = 3

Spec = Annotated[str, typer.Argument(metavar="URL#MODEL", help="The judge, as `concord run --judge` has it.")]
File = Annotated[str, typer.Argument(metavar="[FILE]", help="A file of pairs; none: three of the bundled sample.")]
Model = Annotated[str, typer.Option(help="The model's name, where URL does not end in #MODEL.")]
Criteria = Annotated[str, typer.Option(help="What makes a response better, most important first.")]
Key = Annotated[str, typer.Option(help="Environment variable that holds the judge's key.")]
Price = Annotated[float, typer.Option(min=0, help="Dollars per million tokens.")]
Yaml = Annotated[Path | None, typer.Option(help="A YAML file of settings, such as max_tokens; flags win.")]
Rubric = Annotated[str, typer.Option(help="Score each answer alone as well: doubtful or all, as in a run.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON, the answers whole.")]


def try_(
    spec: Spec,
    path: File = "",
    model: Model = "",
    criteria: Criteria = "",
    api_key_env: Key = "",
    prompt_price: Price = 0.0,
    completion_price: Price = 0.0,
    config: Yaml = None,
    rubric: Rubric = "",
    as_json: AsJson = False,
) -> None:
    """Ask a judge about three pairs in both orders: what was sent, what came back, what it took; exit 3 unless it is understood."""
    from concord.commands.run import read_yaml
    from concord.labeling import trial, trial_text

    said = {"judge": spec, "model": model, "criteria": criteria, "api_key_env": api_key_env, "rubric": rubric}
    priced = {"prompt_price": prompt_price or None, "completion_price": completion_price or None}
    given = {name: value or None for name, value in said.items()} | priced
    asked = options.resolve(given, read_yaml(config) if config else None, str(config))
    one = _judge(asked)
    options.run_config(asked, None)
    # What the services say goes to the log beside the data, as in a run.
    home.opened()
    rows = _pairs(path)
    preflight.check((one,))
    environ = {one.api_key_env: os.environ.get(one.api_key_env, "")} if one.api_key_env else {}
    tried = asyncio.run(trial.tried([row.pair for row in rows], one, environ, asked.seed, bool(asked.rubric)))
    ids = [row.pair.pair_id for row in rows]
    if as_json:
        print(json.dumps(trial_text.plain(one, ids, tried), indent=2, ensure_ascii=False))
    else:
        for line in trial_text.lines(one, ids, tried):
            print(progress.clean(line))
    unscored = 2 * len(tried.scores) - trial_text.scores(tried)
    if trial_text.verdicts(tried) < trial_text.wanted(one, len(rows)) or unscored:
        raise typer.Exit(FOUND)


def _judge(asked: Options) -> JudgeConfig:
    if not options.is_url(asked.judge):
        raise InvalidInput(
            f"judge try {asked.judge}: the URL of an endpoint is expected, such as https://host/v1#model"
        )
    return options.judge_config(asked, asked.judge, None)


def _pairs(path: str) -> tuple[Row, ...]:
    from concord.client.intake import intake

    rows = (intake.read(path) if path else intake.read_sample()).rows
    if len(rows) < 1:
        raise InvalidInput(f"{path}: the file has no pairs")
    return rows[:PAIRS]
