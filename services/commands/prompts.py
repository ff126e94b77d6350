"""`concord prompts`: topics become prompts that a model writes, for `concord run --generate`."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from concord.checks.model_list import same
from concord.client.intake import answered
from concord.client.run import progress
from concord.commands.writer import asking, put
from concord.kit.plural import many

MOST = 1_000
Topics = Annotated[str, typer.Argument(metavar="FILE", help="Topics, one a line.")]
Writer = Annotated[str, typer.Option(metavar="URL#MODEL", help="The model that writes them.")]
Count = Annotated[int, typer.Option(min=1, max=MOST, help="How many prompts for each topic.")]
Key = Annotated[str, typer.Option(help="Environment variable that holds the model's key.")]
Out = Annotated[Path | None, typer.Option(help="The file to write; none: standard output.")]


def prompts(path: Topics, writer: Writer, count: Count = 20, api_key_env: Key = "", out: Out = None) -> None:
    """Write prompts on topics by a model, none twice, each with its topic as `domain`: a file for `concord run --generate`."""
    from concord.labeling import topics

    ask, told = asking(writer, api_key_env), Counter[str]()
    wanted = list(dict.fromkeys(one.prompt.strip() for one in answered.read(path)))
    made: dict[str, list[str]] = {topic: [] for topic in wanted}
    seen = set[str]()
    # A call gives at most so many; two more rounds for what was repeated.
    for _ in range(-(-count // topics.A_CALL) + 2):
        short = [topic for topic in wanted if len(made[topic]) < count]
        if not short:
            break
        said = ask([topics.messages(topic, count - len(made[topic]), made[topic]) for topic in short])
        for topic, text in zip(short, said, strict=True):
            new, useless = topics.read(text or "", seen)
            kept = new[: count - len(made[topic])]
            made[topic] += kept
            seen.update(map(same, kept))
            told["repeated or too long"] += useless
            told["answers without a list"] += not new and not useless
    put(out, (_row(topic, number, text) for topic in wanted for number, text in enumerate(made[topic])))
    written, few = sum(map(len, made.values())), [topic for topic in wanted if len(made[topic]) < count]
    progress.say(f"{many(written, 'prompt')} on {many(len(wanted), 'topic')}")
    for why, number in told.items():
        if number:
            progress.say(f"  {why}: {number:,}")
    for topic in few[:5]:
        progress.say(f"  {topic[:60]!r}: {len(made[topic])} of {count}")


def _row(topic: str, number: int, text: str) -> dict[str, Any]:
    return {"id": f"{same(topic).replace(' ', '-')[:40]}-{number}", "prompt": text, "domain": topic[:100]}
