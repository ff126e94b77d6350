"""A finished run's dataset in trainers' formats: the documented contracts, a real run, and a card that says no more than it may."""

import json
from pathlib import Path

import pyarrow
import pyarrow.json
import pyarrow.parquet
import pytest
import yaml

from concord.certificate.certificate import Certificate, Part, assumed
from concord.client.intake import intake, parquet
from concord.client.intake.formats.canonical import CONVERSATION
from concord.client.results.card import card, size_category
from concord.client.results.export import FORMATS, Exported, exported, prompt_text
from concord.report.figures import figures_of
from tests.small_run import config_of, small_run
from tests.test_cli import concord, finished_rows, small_file

MESSAGES = pyarrow.list_(pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())]))
CARRIED = {
    "pair_id": pyarrow.string(),
    "p_chosen": pyarrow.float64(),
    "weight": pyarrow.float64(),
    "source": pyarrow.string(),
}


def row(**changes) -> dict:
    """A row of dataset.jsonl."""
    return {
        "index": 0,
        "pair_id": "p",
        "pair_sha256": "aa",
        "prompt": [{"role": "user", "content": "q"}],
        "chosen": "yes",
        "rejected": "no",
        "label": "first",
        "source": "judge",
        "p_chosen": 0.8,
        "weight": 1.0,
        "judge_label": "first",
        "judge_confidence": 0.7,
    } | changes


def export_of(rows: list[dict], format_: str) -> tuple[list[dict], Exported]:
    """The rows in this format, and what was counted on the way."""
    account = Exported()
    return list(exported(rows, format_, account)), account


def said(content: str) -> list[dict]:
    return [{"role": "assistant", "content": content}]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a finished run; its dataset's rows."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, finished_rows(folder)


def export(finished, format_: str, *words: str) -> Path:
    folder, _ = finished
    done = concord(folder, "export", "last", "--format", format_, *words)
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.strip()


def decided(finished) -> list[dict]:
    return [held for held in finished[1] if held["label"] != "tie"]


# The conversions


@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_carries_who_said_it_and_how_sure_it_is_and_leaves_ties_out(format_):
    given = [row(), row(label="tie", source="none", p_chosen=0.5), row(pair_id="q", source="people", weight=2.0)]
    rows, made = export_of(given, format_)
    kept = [(held["pair_id"], held["p_chosen"], held["weight"], held["source"]) for held in rows]
    assert kept == [("p", 0.8, 1.0, "judge"), ("q", 0.8, 2.0, "people")]
    assert made.ties == 1 and made.sources == {"judge": 1, "people": 1} and "left out: 1" in made.notes[0]


def test_one_user_message_is_the_prompt_itself_and_more_become_a_transcript_that_is_said():
    turns = [
        {"role": role, "content": text}
        for role, text in (("system", "s"), ("user", "u"), ("assistant", "a"), ("user", "v"))
    ]
    assert prompt_text([{"role": "user", "content": "q"}]) == "q" and prompt_text([]) == ""
    assert prompt_text(turns) == "System: s\n\nUser: u\n\nAssistant: a\n\nUser: v\n\nAssistant:"
    assert export_of([row(prompt=turns), row()], "trl")[1].notes == (
        "prompts of several messages are written as one text (trl-conversational keeps the messages): 1",
    )
    (kept,), _ = export_of([row(prompt=turns)], "trl-conversational")
    assert kept["prompt"] == turns


@pytest.mark.parametrize(
    ("prompt", "chosen", "rejected", "written"),
    [
        ("Is it so?", "yes", "no", "Is it so?\n"),
        ("The sky is", " blue", " green", "The sky is"),
        ("The sky is", " blue", "green", "The sky is\n"),
        ("Is it so?\n", "yes", "no", "Is it so?\n"),
    ],
)
def test_a_line_break_keeps_a_text_prompt_and_its_answers_apart_where_nothing_else_does(
    prompt, chosen, rejected, written
):
    asked = [{"role": "user", "content": prompt}]
    (kept,), _ = export_of([row(prompt=asked, chosen=chosen, rejected=rejected)], "trl")
    assert (kept["prompt"], kept["chosen"], kept["rejected"]) == (written, chosen, rejected)
    assert export_of([row(prompt=[])], "trl")[0][0]["prompt"] == ""


@pytest.mark.parametrize("format_", ["trl-conversational", "nemo", "parquet", "hf"])
def test_a_list_of_messages_needs_a_message_so_rows_without_a_prompt_are_left_out_and_counted(format_):
    rows, made = export_of([row(prompt=[]), row()], format_)
    assert (len(rows), made.rows, made.without_prompt) == (1, 1, 1) and "without a prompt" in made.notes[0]
    assert len(export_of([row(prompt=[])], "trl")[0]) == 1


def test_nemo_ranks_the_chosen_response_before_the_rejected_one():
    (kept,), _ = export_of([row()], "nemo")
    assert kept["context"] == [{"role": "user", "content": "q"}]
    assert kept["completions"] == [{"rank": 0, "completion": said("yes")}, {"rank": 1, "completion": said("no")}]


@pytest.mark.parametrize(("judged", "agrees"), [("first", True), ("second", False), (None, None)])
def test_a_table_says_whether_the_judge_agrees_with_the_label(judged, agrees):
    (kept,), _ = export_of([row(judge_label=judged)], "parquet")
    assert kept["judge_agrees"] is agrees


def test_a_parquet_file_has_its_columns_types_whatever_its_first_rows_hold(tmp_path):
    silent, sure = row(judge_label=None, judge_confidence=None), row(pair_id="q")
    rows, _ = export_of([silent] * (parquet._ROW_GROUP + 1) + [sure], "parquet")
    parquet.write_parquet(tmp_path / "rows.parquet", iter(rows))
    table = pyarrow.parquet.read_table(tmp_path / "rows.parquet")
    assert table.to_pylist() == rows and pyarrow.parquet.ParquetFile(tmp_path / "rows.parquet").num_row_groups == 2
    assert table.schema.field("judge_confidence").type == pyarrow.float64()


# TRL's contract: "Dataset formats and types", explicit prompt preference, for DPOTrainer and RewardTrainer


def test_trl_standard_preference_has_three_text_columns(finished):
    table = pyarrow.json.read_json(export(finished, "trl"))
    assert dict(zip(table.schema.names, table.schema.types, strict=True)) == {
        "prompt": pyarrow.string(),
        "chosen": pyarrow.string(),
        "rejected": pyarrow.string(),
        **CARRIED,
    }
    rows = table.to_pylist()
    assert [(held["chosen"], held["rejected"]) for held in rows] == [
        (d["chosen"], d["rejected"]) for d in decided(finished)
    ]
    # A prompt in front of both answers would be in the text twice.
    assert not any(held[key].startswith(held["prompt"]) for held in rows for key in ("chosen", "rejected"))


def test_trl_conversational_preference_has_three_columns_of_messages(finished):
    table = pyarrow.json.read_json(export(finished, "trl-conversational"))
    assert dict(zip(table.schema.names, table.schema.types, strict=True)) == {
        "prompt": MESSAGES,
        "chosen": MESSAGES,
        "rejected": MESSAGES,
        **CARRIED,
    }
    for held, made in zip(table.to_pylist(), decided(finished), strict=True):
        assert held["prompt"] == made["prompt"] and held["prompt"][-1]["role"] == "user"
        assert (held["chosen"], held["rejected"]) == (said(made["chosen"]), said(made["rejected"]))


# NeMo RL's contract: guides/dpo, PreferenceDataset


def test_nemo_rows_have_a_context_and_two_ranked_completions_of_one_answer_each(finished):
    table = pyarrow.json.read_json(export(finished, "nemo"))
    completion = pyarrow.struct([("rank", pyarrow.int64()), ("completion", MESSAGES)])
    assert dict(zip(table.schema.names, table.schema.types, strict=True)) == {
        "context": MESSAGES,
        "completions": pyarrow.list_(completion),
        **CARRIED,
    }
    for held, made in zip(table.to_pylist(), decided(finished), strict=True):
        assert [answer["rank"] for answer in held["completions"]] == [0, 1]
        assert [answer["completion"] for answer in held["completions"]] == [
            said(made["chosen"]),
            said(made["rejected"]),
        ]


# A real run


def test_parquet_is_one_file_with_every_decided_row(finished):
    rows = pyarrow.parquet.read_table(export(finished, "parquet", "--out", "made/pairs.parquet")).to_pylist()
    assert [held["pair_id"] for held in rows] == [made["pair_id"] for made in decided(finished)]
    agrees = [made["judge_label"] == made["label"] for made in decided(finished)]
    assert [held["judge_agrees"] for held in rows] == agrees and not all(agrees)


def test_the_hubs_folder_is_read_again_and_only_peoples_labels_in_it_are_truth(finished):
    given = intake.read(export(finished, "hf", "--out", "for-the-hub"))
    assert given.form == CONVERSATION and len(given.rows) == len(decided(finished))
    assert given.rows_with_truth == sum(made["source"] == "people" for made in decided(finished)) > 0
    assert given.judges == {"chosen": len(given.rows)} and not any(held.pair.domain for held in given.rows)


def test_the_card_of_a_real_run_names_it_and_its_files(finished):
    folder = export(finished, "hf")
    head, text = split_card((folder / "README.md").read_text())
    assert [held["path"] for held in head["configs"][0]["data_files"]] == ["data/train-*"]
    assert [path.name for path in folder.glob("data/train-*")] == ["train-00000-of-00001.parquet"]
    report = json.loads((folder.parent / "report.json").read_text())
    for known in ("run_id", "dataset_sha256", "history_sha256", "input_sha256"):
        assert report[known] in text
    assert "15 of 150 pairs answered" in text and "This is a simulation" in text
    assert (
        f"{100 * report['certificate']['error']:.1f} % of the labels" in text
        and f"{report['label_accuracy']['final']:.1%}" in text
    )


def test_rows_of_another_export_are_not_mixed_with_these(finished):
    folder = export(finished, "hf", "--out", "mixed")
    (folder / "data" / "train-00001-of-00002.parquet").write_bytes(b"")
    refused = concord(finished[0], "export", "last", "--format", "hf", "--out", "mixed")
    assert refused.returncode == 2 and "of another export" in refused.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("last", "--format", "csv"),
            "one of trl, trl-conversational, nemo, axolotl, llama-factory, parquet, hf is expected",
        ),
        (("ffff", "--format", "trl"), "no run 'ffff'"),
        (("last", "--format", "trl", "--out", "pairs.jsonl/x.jsonl"), "cannot be written there"),
    ],
)
def test_what_cannot_be_exported_is_said_in_words(finished, words, message):
    refused = concord(finished[0], "export", *words)
    assert refused.returncode == 2 and message in refused.stderr and "Traceback" not in refused.stderr, refused.stderr


def test_a_run_that_stands_still_has_nothing_to_export(tmp_path):
    small_file(tmp_path, 60)
    rows = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    rows = [
        {**held, "human_majority": 1 - held["human_majority"]} if held["human_majority"] in (0, 1) else held
        for held in rows
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(held) + "\n" for held in rows))
    stopped = concord(tmp_path, "run", "pairs.jsonl", "--judge", "sample", "--budget", "100%", "--pilot", "30")
    assert stopped.returncode == 3, stopped.stderr
    refused = concord(tmp_path, "export", "last", "--format", "trl")
    assert refused.returncode == 2 and "is paused: only a finished run has a dataset" in refused.stderr, refused.stderr


# The card


def split_card(text: str) -> tuple[dict, str]:
    _, head, body = text.split("---\n", 2)
    return yaml.safe_load(head), body


def report_of(**changes) -> dict:
    run = small_run(config_of(**changes), pairs=120)
    return figures_of(run.events, run.blobs.get).as_json()


def test_the_card_gives_the_certificate_of_its_own_rows_or_says_that_nothing_is_known():
    _, made = export_of([row()], "hf")
    report = report_of(human_budget=24)
    known = Certificate(100, "abc", 6, 0.1, 0.05, 0.15, answers=40, sources=(Part("judge", 90, 30, 0.1, 0.04, 0.2),))
    text = card(report, made, "1.0", known)
    assert "10.0 % of the labels differ from one person's answer (95 % interval 5.0 to 15.0 %), by 40 answers" in text
    assert "| judge | 90 | 30 | 10.0 % | 4 to 20 % |" in text and "sha256 abc" in text
    assert "People's own error is not known" in text
    assert "no audit has checked" in card(report, made, "1.0", assumed(0.1, 100, 6, "abc"))
    assert "Not known: nobody was asked" in card(report, made, "1.0", None)
    assert "Measured" not in text


def test_a_card_gives_away_no_folder_and_no_address_and_no_name_breaks_it():
    report = report_of(human_budget=24, annotators="file:/home/me/secret/answers.jsonl@abc")
    report["config"]["judge"]["url"] = "https://internal.example/v1"
    report["input_name"] = 'a "b": | c`\n---\n<script>'
    head, text = split_card(card(report, export_of([row()], "hf")[1], "1.0", None))
    assert "secret" not in text and "internal.example" not in text and "<script>" not in text
    assert (
        head["pretty_name"].startswith('a "b": | c') and head["license"] == "unknown" and "answers from a file" in text
    )


@pytest.mark.parametrize(
    ("rows", "category"), [(999, "n<1K"), (1_000, "1K<n<10K"), (250_000, "100K<n<1M"), (10**8, "n>10M")]
)
def test_the_size_is_said_in_the_hubs_words(rows, category):
    assert size_category(rows) == category
