"""Each file of the inputs beside the checkout: read as what it is, or refused with a reason, and never anything else.

The kinds behind them have tests with inputs of their own, which always run: test_forms, test_chats, test_hostile_files.
"""

from collections.abc import Sequence

import pytest

from concord.client.intake import intake
from concord.client.run import answers
from concord.kit.errors import InvalidInput
from concord.preference.pairs import Row
from concord.v1.pairs_pb2 import Choice
from tests.cases import FOLDER, present
from tests.data import case_path

TIE = "tie"
FRUIT = ("cherry", "Lima", "4")
LABELS, PLAIN, CHATS = "people's labels", "prompt/chosen/rejected", "prompt/chosen/rejected as chat messages"


# The form, what the preferred response of each row says and the other does not, and whose preference that is; or words of the
# refusal, and what the rows that are left prefer once the others are set aside.
ROWS: dict[str, str | tuple] = {
    "argilla-ratings-per-response.json": ("Argilla records", ("cherry", "cherry")),
    "chatbot-arena.jsonl": ("arena conversations", ("cherry", TIE, TIE)),
    "chats-part-early.jsonl": "must end with one assistant message where the two part ways",
    "content-text-parts.jsonl": (CHATS, FRUIT),
    "duplicate-rows-unsaid.jsonl": (PLAIN, FRUIT * 2),
    "hh-rlhf-no-prompt-column.jsonl": ("HH transcripts", FRUIT),
    "image-parts.jsonl": "image_url",
    "kto-unpaired.jsonl": "KTO",
    "labelstudio-rating-not-counted.json": ("Label Studio tasks", ("yes", "yes")),
    "llamafactory-alpaca-ranking.json": ("alpaca ranking", FRUIT),
    "nemo-own-export-not-readable.jsonl": ("NeMo completions", FRUIT),
    "prompt-column-differs-from-chat.jsonl": (CHATS, ("1", "2", "3", "4")),
    "reasoning-content-silently-dropped.jsonl": (CHATS, ("I add.",) * 4),
    "roles-Human-Assistant.jsonl": (CHATS, FRUIT),
    "same-pair-twice-contradicting.jsonl": (PLAIN, (TIE, TIE)),
    "shp.jsonl": ("SHP", FRUIT),
    "table.csv": (PLAIN, FRUIT),
    "tool-calls-content-null.jsonl": (CHATS, ('"Lima"', "18", "18")),
    "tool-calls-silently-dropped.jsonl": (CHATS, ('"Lima"',) * 4),
    "ultrafeedback-raw.jsonl": ("UltraFeedback completions", FRUIT, "overall_score"),
    "wrapped-in-data.json": (PLAIN, FRUIT),
    # No pairs but answers to a run's questions.
    "answers-A.jsonl": "--annotators file:PATH",
    "answers-empty.jsonl": "has no rows",
    "answers-three-voters-quorum3.jsonl": "--annotators file:PATH",
}
HOSTILE: dict[str, str | tuple] = {
    "agent_list.jsonl": "the agent that suggested 'preference'",
    "bomb_lines.jsonl.gz": "the rest of it was not looked at",
    "col_bad_utf8.arrow": ("`chosen` is UnreadableValue", ("ab",)),
    "col_choice_5000_digits.parquet": "human_majority is",
    "col_date_far.parquet": (PLAIN, ("a", "c")),
    "col_ts_ns.arrow": (PLAIN, ("a", "c")),
    "dupkeys.jsonl": "the key 'chosen' stands twice",
    "source_surrogate.jsonl": ("`source` holds half a surrogate pair", ("a1",)),
    "status_int.jsonl": "the states of 'preference'",
}
NOTES = {
    "duplicate-rows-unsaid.jsonl": "3 rows have the pair of an earlier row",
    "same-pair-twice-contradicting.jsonl": "2 rows contradict another row of the same pair",
    "prompt-column-differs-from-chat.jsonl": "in 4 rows the prompt's column is unlike the chat's own first turn",
    "shp.jsonl": "not used: post_id, score_A, score_B",
    "chatbot-arena.jsonl": "not used: question_id, language",
}
# Answers to a run's questions: whose, about which pair, and what.
ANSWERS = {
    "answers-A.jsonl": {("p0", "", "first"), ("p1", "", "first"), ("p2", "", "first")},
    "answers-empty.jsonl": set(),
    "answers-three-voters-quorum3.jsonl": {
        *(("p0", who, what) for who, what in (("x", "second"), ("y", "second"), ("z", "first"))),
        *(("p1", who, "first") for who in "xyz"),
    },
}


def preferred(row: Row, whose: str) -> tuple[str, str]:
    """The text that is preferred, and the other one; a tie twice."""
    said = {verdict.judge: verdict.choice for verdict in row.verdicts}
    choice = row.truth if whose == LABELS else said[whose]
    texts = {Choice.CHOICE_FIRST: row.pair.first.text, Choice.CHOICE_SECOND: row.pair.second.text}
    if choice == Choice.CHOICE_TIE:
        return TIE, ""
    return texts[choice], next(text for side, text in texts.items() if side != choice)


def says(rows: Sequence[Row], words: Sequence[str], whose: str = LABELS) -> None:
    """Each row prefers the response that has its word, and the other has not."""
    assert len(rows) == len(words)
    for row, word in zip(rows, words, strict=True):
        better, worse = preferred(row, whose)
        assert word in better and word not in worse, row.pair
        assert (row.truth is not None) == (whose == LABELS)


# Without the folder one test stands here, skipped: the kinds have tests of their own.
FILES = [(folder, name) for folder in ("rows", "hostile") for name in present(folder)] or [("", "")]


@pytest.mark.parametrize(("folder", "name"), FILES)
def test_each_file_is_read_as_what_it_is_or_refused_with_its_reason(tmp_path, folder, name):
    if not folder:
        case_path("rows")  # which says what is missing
    path, right = FOLDER / folder / name, (ROWS | HOSTILE)[name]
    if folder == "rows" and not isinstance(right, str):
        form, *wanted = right
        given = intake.read(path)
        assert given.form == form and NOTES.get(name, "") in "\n".join(given.notes)
        return says(given.rows, *wanted)
    refusal, left = (right, ()) if isinstance(right, str) else right
    if refusal == PLAIN:
        return says(intake.read(path).rows, left)
    with pytest.raises(InvalidInput) as refused:
        intake.read(path)
    assert refusal in str(refused.value) and str(path) in str(refused.value)
    if left:
        given = intake.read(path, tmp_path / "aside.jsonl")
        assert sum(given.set_aside.values()) == 1
        return says(given.rows, left)
    with pytest.raises(InvalidInput):
        intake.read(path, tmp_path / "aside.jsonl")


def test_every_file_of_the_folder_has_its_right_value_and_none_is_left_over():
    for folder, right in (("rows", ROWS), ("hostile", HOSTILE)):
        assert set(present(folder)) in (set(right), set())


@pytest.mark.parametrize("name", ANSWERS)
def test_each_file_of_answers_says_what_its_people_said(name):
    found, right = answers.read(case_path("rows") / name), ANSWERS[name]
    assert {
        (pair, who, answers.WORDS[choice]) for pair, said in found.said.items() for who, choice in said.items()
    } == right
