"""A model that writes texts for a command, and the file that they go into."""

import asyncio
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from concord.client.intake.text_lines import unreadable
from concord.client.results.red_pairs import Ask
from concord.client.run import options, preflight, progress
from concord.commands import home
from concord.kit.errors import InvalidInput
from concord.kit.files import whole
from concord.kit.plural import many
from concord.v1.config_pb2 import JudgeConfig


def asking(spec: str, key: str, writes: bool = True) -> Ask:
    """What asks the model, which writes texts or judges them; raises InvalidInput where it is none, or its key is not there."""
    from concord.labeling import writing

    if not options.is_url(spec):
        raise InvalidInput(f"{spec}: the URL of an endpoint is expected, such as https://host/v1#model")
    asked = options.resolve({"judge": spec, "api_key_env": key or None})
    config: JudgeConfig = options.judge_config(asked, spec, None)
    home.opened()
    preflight.check((config,))
    environ = {config.api_key_env: os.environ.get(config.api_key_env, "")} if config.api_key_env else {}

    def ask(chats):
        said, used = asyncio.run(writing.written(chats, config, environ, writing.WARM if writes else 0.0))
        progress.say(f"asked {config.name}: {many(used.calls, 'call')}")
        return said

    return ask


def put(out: Path | None, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes the rows as JSON Lines; no file: to standard output. Raises InvalidInput where the file cannot be written."""
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if out is None:
        for line in lines:
            print(line, end="")
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with whole(out) as unfinished, unfinished.open("w", encoding="utf-8") as file:
            file.writelines(lines)
    except OSError as error:
        raise unreadable(out, error) from None
    progress.say(str(out))
