"""`concord replay`: a run as its facts tell it."""

from functools import partial
from typing import Annotated

import typer

from concord.client.results.records import there
from concord.commands import FOUND, flags, home
from concord.kit.errors import InvalidInput
from concord.kit.settings import Settings, open_blobs
from concord.operate import replay_commands, run_log
from concord.operate.local_records import here
from concord.v1.events_pb2 import Event
from concord.v1.work_pb2 import Work


def replay(
    name: Annotated[
        str,
        typer.Argument(
            metavar="[RUN]", help="A run's id, the beginning of it, or `last`; none: dead letters of all runs."
        ),
    ] = "",
    log: Annotated[str, typer.Option("--log", help="Read this log instead of CONCORD_LOG_URL's.")] = "",
    until: Annotated[str, typer.Option(help="Fold to this offset (inclusive) or up to this time.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole state and the story as JSON.")] = False,
    events: Annotated[bool, typer.Option("--events", help="Print the facts as JSON lines.")] = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="Compare the log's state with the live store's; exit 3 if they differ.")
    ] = False,
    unit: Annotated[str, typer.Option(help="Do one unit again and compare with its fact: STAGE[.ROUND]/N.")] = "",
    dead_letters: Annotated[bool, typer.Option("--dead-letters", help="List the items that were given up.")] = False,
    requeue: Annotated[
        list[str] | None, typer.Option(metavar="LETTER|all", help="Put a dead letter back, once; may be repeated.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before --requeue.")] = False,
    server: flags.Door = "",
) -> None:
    """Tell a run's story from the log, then or now; print its facts, do a unit again. Only --requeue changes anything."""
    closer = {"--requeue": requeue, "--dead-letters": dead_letters, "--unit": unit, "--diff": diff}
    replay_commands.check_there(server, {"--log": log, **closer})
    settings = replay_commands.with_log(home.opened(), log)
    if not name and not (dead_letters or requeue):
        raise InvalidInput("which run? Give its id, the beginning of it, or `last`; `concord runs` lists them")
    if server and (dead_letters or requeue):
        if not name:
            raise InvalidInput(
                f"which run? A front door knows dead letters by their run; `concord runs --server {server}` lists them"
            )
        with there(server) as door:
            run_id = door.find(name)
            if requeue:
                return replay_commands.requeue_there(door, run_id, requeue, yes)
            return replay_commands.print_letters_there(door, run_id, as_json)
    if not any(closer.values()):
        with home.reading(settings, server) as records:
            run_id = records.find(name)
            if events:
                return replay_commands.print_events(run_log.cut(records.of(run_id), until))
            if replay_commands.tell(records, run_id, until, as_json):
                raise typer.Exit(FOUND)
            return
    with here(settings) as place:
        run_id = place.find(name) if name else ""
        if requeue:
            return replay_commands.requeue(settings, run_id, requeue, yes)
        if dead_letters:
            return replay_commands.print_letters(place.log, run_id, as_json)
        if unit:
            differs = replay_commands.do_again(place.log, run_id, unit, partial(_done, settings), place.blob)
        else:
            differs = replay_commands.compare(place.log, place.store, run_id, until)
    if differs:
        raise typer.Exit(FOUND)


def _done(settings: Settings, item: Work) -> Event:
    """The unit's fact, made in this process."""
    from concord import wiring
    from concord.embedded import allowing

    return wiring.done(allowing(settings, item.config), open_blobs(settings), item)
