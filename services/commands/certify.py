"""`concord certify`: how wrong the labels of a file are, as a few people's answers to pairs drawn at random say."""

import json
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from concord.certificate import words
from concord.certificate.certificate import Certificate, RowsHash
from concord.client.intake import intake
from concord.client.results import results_dir
from concord.client.results.records import Records
from concord.client.run import continue_run, options, progress, request
from concord.client.run.certify_job import certify_job
from concord.client.run.job import Job
from concord.client.run.voters import Skipping
from concord.commands import flags, home
from concord.kit.errors import InvalidInput
from concord.kit.plural import many
from concord.one_run import Questions
from concord.preference.pairs import pair_hash
from concord.report import certified
from concord.report.history import read_history

File = Annotated[str, typer.Argument(metavar="FILE", help="A file or folder of labelled pairs, ours or not.")]
Audit = Annotated[int, Option(help="How many pairs, drawn at random, people are asked about.")]
Annotators = Annotated[str, Option(help="recorded, simulated:ERROR_RATE, file:PATH (may be missing yet) or people.")]
Label = Annotated[str, Option(metavar="NAME", help="Which label, where the file has several: a name of `ai_labels`.")]
ReAsk = Annotated[float, Option(help="Share of the pairs that a second person answers too, at least 30; 0: none.")]
Seed = Annotated[int, Option(help="Of the draw: the same file and seed are the same pairs.")]
AsJson = Annotated[bool, Option("--json", help="Print the certificate as JSON on standard output, nothing else there.")]


def certify(
    path: File,
    audit: Audit = 200,
    annotators: Annotators = "people",
    label: Label = "",
    re_ask: ReAsk = 0.0,
    seed: Seed = 0,
    columns: flags.Columns = "",
    contradictions: flags.Contradictions = "tie",
    skip_bad: flags.SkipBad = False,
    skip_unanswered: flags.SkipUnanswered = False,
    wait: flags.Wait = False,
    out: flags.Results = None,
    as_json: AsJson = False,
    server: flags.Server = "",
) -> None:
    """Say how wrong any preference file's labels are: people answer pairs drawn at random. Exit 3 while answers are missing."""
    from concord.commands.run import carry_out
    from concord.embedded import allowing

    settings = home.opened()
    aside = Path(settings.home) / "set-aside.jsonl" if skip_bad else None
    read = partial(intake.read, columns=columns or None, contradictions=contradictions)
    said = {"annotators": annotators, "seed": seed, "re_ask": re_ask}
    wanted = request.Request(path, partial(options.resolve, said), settings.home, read, server, aside=aside)
    with home.reading(settings, server) as records:
        job = continue_run.as_begun(records, certify_job(path, audit, label, said, aside, read))
        if skip_unanswered and job.voters:
            job = replace(job, voters=Skipping(job.voters))
        out = out or results_dir.folder(settings.home, job.run_id, server)
        request.begin(wanted, job, records, out, progress.say)
        questions = Questions(job, out, wait, progress.say, progress.command(), records.flag)
        carry_out(job, allowing(settings, job.config), records, False, wanted, questions)
        made = _certificate(job, records)
    told = {"run_id": job.run_id, "file": job.given.name, **asdict(made)}
    with results_dir.writable(out):
        (out / "certificate.json").write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if as_json:
        print(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        print("\n".join(map(progress.clean, lines(made))))
        progress.say(str(out / "certificate.json"))


def lines(made: Certificate) -> list[str]:
    """The certificate for a terminal."""
    if not made.kinds:
        return list(words.sentences(made))
    cells = [words.PART_HEAD, *map(words.part_row, made.kinds)]
    wide = [max(len(row[at]) for row in cells) for at in range(len(words.PART_HEAD))]
    table = [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, wide, strict=True)).rstrip() for row in cells
    ]
    return [*words.sentences(made), *table]


def _certificate(job: Job, records: Records) -> Certificate:
    """Of the file's labels as they stand there: what people answered does not replace them."""
    hashed = RowsHash()
    for row in job.given.rows:
        verdict = row.verdict_of(job.config.judge.name)
        hashed.take(pair_hash(row.pair), progress.CHOICES.get(verdict.choice if verdict else 0, "none"), "file")
    history = read_history(records.events(job.run_id), records.blob)
    made = certified.of_file(history, records.blob, hashed.hexdigest())
    if made is None:
        raise InvalidInput(
            f"too few answers to say anything: {sum(answer.given for answer in history.answers)} of "
            f"{many(len(history.answers), 'question was', 'questions were')} answered, and at least 8 are needed"
        )
    return made
