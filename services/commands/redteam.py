"""`concord redteam`: attack prompts, what answers to them do, and pairs in which the safe answer is chosen."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from concord.client.intake import answered
from concord.client.results import red_pairs
from concord.client.run import progress
from concord.commands.writer import asking, put
from concord.kit.plural import many
from concord.redteam import attacks as attacking
from concord.redteam import variants

Requests = Annotated[str, typer.Argument(metavar="FILE", help="Requests for harm, one a line, or rows with `prompt`.")]
File = Annotated[str, typer.Argument(metavar="FILE", help="JSON Lines: `prompt`, `responses`, `harmful`.")]
Out = Annotated[Path | None, typer.Option(help="The file to write; none: standard output.")]
Kinds = Annotated[list[str] | None, typer.Option("--kind", help="A kind of attack, several times; none: all of them.")]
Writer = Annotated[str, typer.Option(metavar="URL#MODEL", help="A model that writes further wordings of each request.")]
Count = Annotated[int, typer.Option(min=1, max=variants.MOST, help="How many wordings are asked for.")]
Rewriter = Annotated[
    str,
    typer.Option(metavar="URL#MODEL", help="A model that writes a harmless answer where none of the given is safe."),
]
Judge = Annotated[
    str, typer.Option(metavar="URL#MODEL", help="A judge that is asked what each answer does, beside the rules.")
]
Key = Annotated[str, typer.Option(help="Environment variable that holds the model's key.")]


def attacks(
    path: Requests, kind: Kinds = None, writer: Writer = "", count: Count = 5, api_key_env: Key = "", out: Out = None
) -> None:
    """Make attack prompts of requests: from templates, and with --writer from a model's wordings."""
    requests = [one.prompt for one in answered.read(path)]
    held = list(attacking.attacks(requests, kind or ()))
    made = [red_pairs.attacked(one, f"attack-{number}") for number, one in enumerate(held)]
    if writer:
        told = Counter[str]()
        wordings = _wordings(requests, writer, count, api_key_env, told)
        made += [red_pairs.attacked(one, f"attack-{len(held) + number}") for number, one in enumerate(wordings)]
        progress.say(", ".join(f"{why}: {number:,}" for why, number in told.items()))
    put(out, made)
    progress.say(f"{many(len(made), 'attack prompt')} of {many(len(requests), 'request')}, marked as harmful")


def classify(path: File, judge: Judge = "", api_key_env: Key = "", out: Out = None) -> None:
    """Say of each answer whether it complies, in part, or refuses, with the sentence that decided."""
    ask = asking(judge, api_key_env, writes=False) if judge else None
    rows = list(red_pairs.conduct(answered.read(path), ask))
    put(out, rows)
    counts = Counter(row["class"] for row in rows)
    progress.say(f"{many(len(rows), 'answer')}: {', '.join(f'{name} {n:,}' for name, n in counts.most_common())}")


def pairs(path: File, rewriter: Rewriter = "", judge: Judge = "", api_key_env: Key = "", out: Out = None) -> None:
    """Make pairs: to what asks for harm the refusal or a harmless rewrite is chosen, to a safe prompt the help."""
    account = red_pairs.Account()
    ask = asking(rewriter, api_key_env) if rewriter else None
    judging = asking(judge, api_key_env, writes=False) if judge else None
    put(out, red_pairs.paired(answered.read(path), account, ask, judging))
    progress.say(f"pairs of harmful prompts: {account.made['harmful']:,}, of safe ones: {account.made['safe']:,}")
    told = (
        ("the judge says", account.judged),
        ("rewrites", account.rewrites),
        ("prompts without a pair", account.left),
    )
    for title, held in told:
        if held:
            progress.say(f"  {title}: {', '.join(f'{why}: {number:,}' for why, number in held.most_common())}")


def _wordings(requests: list[str], writer: str, count: int, key: str, told: Counter[str]) -> Iterator[attacking.Attack]:
    said = asking(writer, key)([variants.messages(request, count) for request in requests])
    for request, text in zip(requests, said, strict=True):
        found = variants.read(request, text or "", count)
        told["wordings"] += len(found.texts)
        told["repeated"] += found.repeated
        told["requests of which the model wrote none"] += not found.texts
        for wording in found.texts:
            yield attacking.Attack("a model's wording", request, (("user", wording),))
