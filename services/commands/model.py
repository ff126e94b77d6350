"""`concord model put`: a model's folder into the blobs, for nodes that reach no hub, or where a reward model is served."""

from pathlib import Path
from typing import Annotated

import typer

from concord.client.run import progress
from concord.commands import home

Model = Annotated[
    str,
    typer.Argument(
        help="The folder of a model of transformers: config.json, weights, tokenizer. Or the address of a server's rewards."
    ),
]


def put(model: Model) -> None:
    """Store a model's folder in the blobs; prints the URI that --reward-model and --policy take in its place.

    Of an address (http://HOST:8000/pooling#NAME; /classify and /predict too) prints the URI that ScorePairs takes.
    """
    from concord.kit.settings import open_blobs
    from concord.reward import stored
    from concord.scoring import remote

    if remote.is_remote(model):
        remote.Remote(model)
        print(stored.put_remote(open_blobs(home.opened()), model))
        return
    folder = Path(model)
    uri = stored.put(open_blobs(home.opened()), folder)
    progress.say(f"{folder} is stored; `concord run … --reward-model {uri}` has every node fetch it from there")
    print(uri)
