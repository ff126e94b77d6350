"""`concord model put`: a model's folder into the blobs, for nodes that reach no hub."""

from pathlib import Path
from typing import Annotated

import typer

from concord.client.run import progress
from concord.commands import home

Folder = Annotated[Path, typer.Argument(help="A model of transformers: config.json, weights, tokenizer.")]


def put(folder: Folder) -> None:
    """Store a model's folder in the blobs; prints the URI that --reward-model and --policy take in its place."""
    from concord.kit.settings import open_blobs
    from concord.reward import stored

    uri = stored.put(open_blobs(home.opened()), folder)
    progress.say(f"{folder} is stored; `concord run … --reward-model {uri}` has every node fetch it from there")
    print(uri)
