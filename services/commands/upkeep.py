"""`concord verify`, `rm`, `gc` and `prune`: whether a run is as it was recorded, and what is taken out."""

import json
import time
from typing import Annotated

import typer

from concord.client.run import progress
from concord.client.run.confirm import agreed
from concord.commands import FOUND, flags, home
from concord.kit.plural import many


def verify(
    name: flags.Run,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
    server: flags.Door = "",
) -> None:
    """Hold a run against what was kept of it: facts, stages, stores, blobs, its dataset; exit 3 if anything is not as it was."""
    from concord.operate import verify as verifying

    settings = home.opened()
    with home.reading(settings, server) as records:
        found = verifying.verified(records, records.find(name))
    if as_json:
        print(json.dumps(verifying.as_json(found), indent=2, ensure_ascii=False))
    else:
        print("\n".join(map(progress.clean, verifying.lines(found))))
    if found.flaws:
        raise typer.Exit(FOUND)


def rm(
    name: flags.Run,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before.")] = False,
) -> None:
    """Take a run, and what was compared with it, out of this folder for good; `concord gc` then frees its blobs."""
    from concord.kit.enums import word
    from concord.operate import removal
    from concord.operate.local_records import here
    from concord.v1.runs_service_pb2 import RunStatus
    from concord.wiring import SERVICES

    settings = home.opened()
    with removal.alone(settings, SERVICES) as log:
        with here(settings) as place:
            run_id = place.find(name)
            found = removal.family(place.views(), run_id) or [place.view(run_id)]
        for view in found:
            progress.say(
                f"run {view.run_id} ({view.input_name}: {many(view.pairs, 'pair')}) is {word(RunStatus, view.status)}: "
                f"{many(view.votes, 'answer')} of people, its dataset and its report go"
            )
        if not yes and not agreed("remove it?", f"run {run_id} would be removed for good"):
            progress.say("nothing was removed")
            return
        # Those beside it first: until it is gone itself, they are found with it.
        for view in sorted(found, key=lambda view: view.run_id == run_id):
            gone = removal.remove(settings, log, view.run_id)
            print(f"run {view.run_id}: {many(gone.facts, 'fact')} and {many(gone.items, 'work item')} are gone")
    progress.say("`concord gc` frees the blobs that no other run names")


def gc(
    grace: Annotated[float, typer.Option(min=0, help="Hours for which a blob is left alone, named or not.")] = 1.0,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before.")] = False,
) -> None:
    """Free the blobs of this folder that no run names; says first what that comes to, and asks."""
    from concord.kit.blobs import FileBlobs
    from concord.kit.errors import InvalidInput
    from concord.kit.settings import open_blobs
    from concord.kit.urls import without_secrets
    from concord.operate import removal
    from concord.wiring import SERVICES

    settings = home.opened()
    with removal.alone(settings, SERVICES) as log:
        blobs = open_blobs(settings)
        if not isinstance(blobs, FileBlobs):
            raise InvalidInput(
                f"CONCORD_BLOB_URL={without_secrets(settings.blob_url)}: in a bucket nothing is freed from here, for other "
                "machines may put blobs there at any moment; a rule of the bucket (a lifecycle) ends them once no run needs it"
            )
        found = removal.garbage(log, blobs, time.time(), grace * 3_600)
        print(
            f"named by no run: {many(len(found.gone), 'blob')} ({found.bytes / 1e6:,.1f} MB); by "
            f"{many(found.runs, 'run')}: {found.kept:,} "
            f"({found.kept_bytes / 1e6:,.1f} MB); younger than {grace:g} h, so that they stay: {found.young:,}"
        )
        if not found.gone and not yes:
            return
        if not yes and not agreed("free them?", f"{many(len(found.gone), 'blob')} would be freed"):
            progress.say("nothing was freed")
            return
        removal.sweep(settings, blobs, found)
        print(f"{many(len(found.gone), 'blob is', 'blobs are')} freed; log and store are compacted")


def prune(
    days: Annotated[
        float | None, typer.Option(min=0, help="What is older; none: what CONCORD_ANSWER_DAYS says.")
    ] = None,
    run: Annotated[str, typer.Option(help="What was written while this run went on, whatever its age.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before.")] = False,
) -> None:
    """Delete judges' kept answers by age or by run, in a folder or a cluster; what a run under way may want again stays."""
    from concord.kit.errors import InvalidInput
    from concord.operate import retention

    if run and days is not None:
        raise InvalidInput("--run and --days: say one of the two")
    settings = home.opened()
    span = (
        retention.of_run(settings, run)
        if run
        else retention.older(settings, settings.answer_days if days is None else days, time.time())
    )
    if span.spared_for:
        progress.say(f"those since run {span.spared_for} began stay, for it is under way")
    count = retention.counted(settings, span)
    if count and not yes and not agreed("delete them?", f"{many(count, 'answer')} of judges would be deleted"):
        progress.say("nothing was deleted")
        return
    deleted = retention.deleted(settings, span)
    again = "; asked for again, they are paid again" if deleted else ""
    print(f"{many(deleted, 'answer')} of judges deleted{again}")
