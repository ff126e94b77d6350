"""What `concord replay` does: a run read from the log alone, told, printed, compared, and its dead letters put back.

Reading joins no group and moves no position. It makes nothing either: no topic, no file.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache, partial

from concord.client.results.records import Records, There
from concord.client.run.confirm import agreed
from concord.client.run.progress import clean
from concord.kit.errors import InvalidInput
from concord.kit.log import Log, Record
from concord.kit.log.topics import fact_partition
from concord.kit.loop.events import facts
from concord.kit.plural import many
from concord.kit.settings import Settings, open_log
from concord.kit.store import Store
from concord.operate import letters, redo, run_log, timeline, timeline_text, verify
from concord.preference import answer_faults, checked
from concord.runs import dead_letters
from concord.v1.events_pb2 import Event
from concord.v1.pairs_pb2 import PairShard
from concord.v1.work_pb2 import Work

Say = Callable[[str], object]
# What needs more than a front door hands out, and where that is named.
THEMSELVES = {
    "--log": "CONCORD_LOG_URL",
    "--diff": "CONCORD_LOG_URL and CONCORD_STATE_URL",
    "--unit": "CONCORD_LOG_URL, CONCORD_STATE_URL and CONCORD_BLOB_URL",
}


def check_there(server: str, asked: Mapping[str, object]) -> None:
    """Raises InvalidInput for the flag among those asked for, if there is one, that a front door cannot serve."""
    for flag, urls in THEMSELVES.items():
        if server and asked.get(flag):
            raise InvalidInput(
                f"{flag} reads more than the front door {server} hands out: leave --server out, and give the services' own "
                f"{urls} in the environment"
            )


def with_log(settings: Settings, url: str) -> Settings:
    """The settings with the log that `--log` names, if it names one."""
    return replace(settings, log_url=url) if url else settings


def tell(records: Records, run_id: str, until: str, as_json: bool, say: Say = print) -> bool:
    """The run's story by stage, or its state and story as JSON; whether its facts contradict each other."""
    found = list(run_log.cut(records.of(run_id), until))
    run = run_log.fold_of(run_id, found)
    chapters = timeline.tell(facts(found))
    about = timeline_text.About(
        run.state.view, fact_partition(run_id), run.corrupt, run.duplicates, records.given_up(run_id), records.flag
    )
    _, flaws, _ = verify.facts_of(run_id, found, None)
    if as_json:
        story = {"story": timeline_text.as_json(about, chapters), "flaws": [vars(flaw) for flaw in flaws]}
        say(json.dumps({**run_log.as_json(run), **story}, indent=2))
        return bool(flaws)
    for line in (*timeline_text.lines(about, chapters), *verify.warning(flaws, run_id, records.flag)):
        say(clean(line))
    return bool(flaws)


def print_events(facts: Iterable[Record], say: Say = print) -> None:
    """The facts as JSON lines."""
    for record in facts:
        say(run_log.event_line(record))


def compare(log: Log, store: Store, run_id: str, until: str, say: Say = print) -> bool:
    """Says where the live store differs from the log; whether it does."""
    found = redo.store_differences(log, store, run_id, until)
    late = 0 if until else redo.behind(log, store, run_id)
    more = f"; {many(late, 'newer fact is', 'newer facts are')} not in the store yet" if late else ""
    say("\n".join(found) or f"log and store agree{more}")
    return bool(found)


def do_again(
    log: Log, run_id: str, unit: str, do: Callable[[Work], Event], blob: Callable[[str], bytes], say: Say = print
) -> bool:
    """Says where a unit that `do` does again differs from its fact, and which answers were no verdict; whether it differs."""
    found, said, again = redo.unit_again(log, run_id, run_log.parse_unit(unit), do)
    say("\n".join(found) or f"unit {unit} done again gives the same fact")
    for line in _checks(said):
        say(clean(line))
    for event, when in ((said, "in its fact"), (again, "done again")):
        for line in _answers(event, when, partial(_pair_names, log, run_id, unit, blob)):
            say(clean(line))
    return bool(found)


def _checks(event: Event) -> Iterator[str]:
    """What checks said of the unit's pairs."""
    kinds = checked.by_kind([event.shard_labeled])
    if not kinds:
        return
    yield checked.words(kinds)
    for index, (note, _) in sorted(checked.notes([event.shard_labeled]).items()):
        yield f"  pair {index}: {note.kind}, {'decided' if note.decided else 'not decided'}: {note.why}"


def _pair_names(log: Log, run_id: str, unit: str, blob: Callable[[str], bytes]) -> dict[int, str]:
    """What the pairs of the unit are called, by their index in the run."""
    item, _ = run_log.work_of(log, run_id, run_log.parse_unit(unit))
    shards = [PairShard.FromString(blob(uri)) for uri in item.label_shard.shard_uris]
    return {shard.first_index + at: pair.pair_id for shard in shards for at, pair in enumerate(shard.pairs)}


def _answers(event: Event, when: str, names: Callable[[], dict[int, str]]) -> Iterator[str]:
    """The unit's answers that are no verdict, as far as they were kept, whole."""
    named = names() if event.shard_labeled.kept_answers else {}
    for found in answer_faults.collected([event.shard_labeled]):
        yield f"{when}, {found.judge}: {found.words}: {found.cause.do}"
        for kept in found.examples:
            yield f"  pair {named[kept.pair_index]}{', orders swapped' if kept.swapped else ''}:"
            yield from (f"  | {line}" for line in kept.text.splitlines() or [""])


def print_letters(log: Log, run_id: str, as_json: bool, say: Say = print) -> None:
    """The dead letters of the run, or of all runs where none is named."""
    found = [letter for letter in dead_letters.read(log) if run_id in ("", letter.run_id)]
    _print(
        [letters.as_json(letter) for letter in found], [letters.line(one, _when(one.at)) for one in found], as_json, say
    )


def print_letters_there(records: There, run_id: str, as_json: bool, say: Say = print) -> None:
    """The run's dead letters as its front door lists them; of very many the newest."""
    answer = records.letters(run_id)
    found = list(reversed(answer.letters))
    told = [letters.line_of_view(one, run_id, _when(one.at)) for one in found]
    if answer.left_off:
        told.insert(0, f"{many(answer.left_off, 'older letter')} left off; the services' own CONCORD_LOG_URL lists all")
    _print([letters.view_as_json(letter, run_id) for letter in found], told, as_json, say)


def _print(plain: Sequence[Mapping[str, object]], told: Sequence[str], as_json: bool, say: Say) -> None:
    if as_json:
        say(json.dumps(plain, indent=2))
        return
    if not told:
        say("no dead letters")
        return
    say(f"{'letter':>7}  {'time':19}  {'run':8}  {'unit':14}  item, tries, error")
    for line in told:
        say(clean(line))


def _when(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S")


def requeue(settings: Settings, run_id: str, names: Sequence[str], sure: bool, say: Say = print) -> None:
    """Puts the chosen letters back, once it was said what that comes to and somebody agreed."""
    log = open_log(settings)
    found = [letter for letter in dead_letters.read(log) if run_id in ("", letter.run_id)]
    steps = dead_letters.plan(letters.chosen(found, names), cache(lambda own: run_log.fold(log, own).state))
    for step in steps:
        say(clean(f"{step.letter.name:>7}  {step.says}"))
    count = sum(bool(step.entries) for step in steps)
    if _goes_on(count, sure, say):
        say(f"{dead_letters.put_back(log, steps):,} put back")


def requeue_there(records: There, run_id: str, names: Sequence[str], sure: bool, say: Say = print) -> None:
    """The same through a front door, which puts back all that would change anything, or nothing."""
    if list(names) != [letters.ALL]:
        raise InvalidInput(
            f"--requeue {' '.join(names)}: a front door puts all of a run's dead letters back: --requeue {letters.ALL}; for single "
            "ones leave --server out, and give the services' own CONCORD_LOG_URL in the environment"
        )
    found = [letter for letter in records.letters(run_id).letters if not letter.put_back_at]
    for letter in reversed(found):
        say(clean(f"{letter.name:>7}  {letter.says}"))
    count = sum(letter.goes_back for letter in found)
    if _goes_on(count, sure, say):
        say(f"{records.put_back(run_id, ''):,} put back")


def _goes_on(count: int, sure: bool, say: Say) -> bool:
    """Whether there is something to put back and somebody agrees; says so where not."""
    if not count:
        say("nothing to put back")
        return False
    if not sure and not agreed(f"put {count:,} back?", f"{many(count, 'letter')} would be put back"):
        say("nothing was put back")
        return False
    return True
