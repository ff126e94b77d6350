"""`concord criteria`: where people overruled the judge, and what other criteria would change, before a run is paid for."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from concord.client.run import preflight, progress
from concord.client.run.confirm import agreed
from concord.commands import flags, home
from concord.kit.blobs import MemoryBlobs
from concord.kit.errors import InvalidInput
from concord.kit.plural import many
from concord.kit.settings import Settings
from concord.preference import run_settings
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Event, Usage
from concord.v1.work_pb2 import Work

Try = Annotated[
    str,
    typer.Option(
        "--try",
        metavar="FILE|TEXT",
        help="Ask the judge again with these criteria about the pairs that people decided; says first what it costs.",
    ),
]
Shown = Annotated[int, typer.Option(min=0, help="Pairs that are shown with their texts.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before paying.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON, with every overruled pair.")]


def criteria(
    name: flags.Run,
    try_: Try = "",
    shown: Shown = 5,
    yes: Yes = False,
    as_json: AsJson = False,
    server: flags.Door = "",
) -> None:
    """Show where people overruled the judge, grouped; measure other criteria on the pairs that people decided."""
    from concord.client.results import criteria as asked
    from concord.client.results import criteria_text as told
    from concord.report.disagreement import answered
    from concord.report.history import read_history

    opened = home.opened()
    with home.reading(opened, server) as records:
        run_id = records.find(name)
        history = read_history(records.events(run_id), records.blob)
        found = answered(history, records.blob)
        if not as_json:
            for line in told.account(history, found, 0 if try_ else shown):
                print(progress.clean(line))
        tried = None
        if try_:
            if not found:
                raise InvalidInput(f"run {run_id[:8]}: people have decided no pair yet, so nothing can be measured")
            config = asked.revised(history.created.config, wanted(try_))
            progress.say(told.cost_line(config.judge, found, asked.expected(history, found, config.judge)))
            if not yes and not agreed("ask it?", "the judge would be asked again"):
                return
            preflight.check((config.judge,))
            do = _doing(opened, config, records.blob)
            events = list(_asked(asked.asked_again(history, config, found, do), len(found)))
            tried = asked.trial(found, events)
            if not as_json:
                for line in told.trial_lines(tried, _used(events)):
                    print(line)
                print(f"a run with them: concord run --from {run_id[:8]} --criteria …{records.flag}")
    if as_json:
        print(json.dumps(told.as_json(history, found, tried), indent=2, ensure_ascii=False))


def wanted(said: str) -> str:
    """The criteria: what the file of this name holds, or the text itself. Raises InvalidInput for none, or too much."""
    try:
        text = Path(said).read_text(encoding="utf-8") if Path(said).is_file() else said
    except (OSError, UnicodeDecodeError) as error:
        if not isinstance(error, UnicodeDecodeError) and len(said) > 200:
            text = said  # no file has such a name
        else:
            raise InvalidInput(f"--try {said[:100]}: cannot be read: {error}") from None
    if not text.strip():
        raise InvalidInput("--try: the criteria are empty")
    run_settings.check_text("--try", text, run_settings.settings()["criteria"].longest)
    return text.strip()


def _doing(settings: Settings, config: RunConfig, blob: Callable[[str], bytes]) -> Callable[[Work], Event]:
    """What does a unit of judging in this process, its shards read where the run lies."""
    from concord import wiring
    from concord.embedded import allowing

    allowed, shards = allowing(settings, config), MemoryBlobs()

    def do(work: Work) -> Event:
        for uri in work.label_shard.shard_uris:
            shards.put(blob(uri))
        return wiring.done(allowed, shards, work)

    return do


def _asked(units: Iterator[tuple[Event, int]], pairs: int) -> Iterator[Event]:
    for event, so_far in units:
        progress.say(f"  {so_far:,} of {many(pairs, 'pair')}")
        yield event


def _used(events: list[Event]) -> Usage:
    return Usage(
        calls=sum(event.usage.calls for event in events),
        cached_calls=sum(event.usage.cached_calls for event in events),
        dollars=sum(event.usage.dollars for event in events),
    )
