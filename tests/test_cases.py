"""Each file of the inputs beside the checkout: read as what it is, or refused with a reason, and never anything else.

The kinds behind them have tests with inputs of their own, which always run: test_forms, test_chats, test_hostile_files.
"""

import pytest

from concord.client.intake import intake
from concord.kit.errors import InvalidInput
from tests.cases import FOLDER, present
from tests.data import case_path

# rows, rows with people's label, form; or words of the refusal.
ROWS = {
    "argilla-ratings-per-response.json": (2, 2, "Argilla records"),
    "chatbot-arena.jsonl": (3, 3, "arena conversations"),
    "chats-part-early.jsonl": "must end with one assistant message where the two part ways",
    "content-text-parts.jsonl": (3, 3, "prompt/chosen/rejected as chat messages"),
    "duplicate-rows-unsaid.jsonl": (6, 6, "prompt/chosen/rejected"),
    "hh-rlhf-no-prompt-column.jsonl": (3, 3, "HH transcripts"),
    "image-parts.jsonl": "image_url",
    "kto-unpaired.jsonl": "KTO",
    "labelstudio-rating-not-counted.json": (2, 2, "Label Studio tasks"),
    "llamafactory-alpaca-ranking.json": (3, 3, "alpaca ranking"),
    "nemo-own-export-not-readable.jsonl": (3, 3, "NeMo completions"),
    "prompt-column-differs-from-chat.jsonl": (4, 4, "prompt/chosen/rejected as chat messages"),
    "reasoning-content-silently-dropped.jsonl": (4, 4, "prompt/chosen/rejected as chat messages"),
    "roles-Human-Assistant.jsonl": (3, 3, "prompt/chosen/rejected as chat messages"),
    "same-pair-twice-contradicting.jsonl": (2, 2, "prompt/chosen/rejected"),
    "shp.jsonl": (3, 3, "SHP"),
    "table.csv": (3, 3, "prompt/chosen/rejected"),
    "tool-calls-content-null.jsonl": (3, 3, "prompt/chosen/rejected as chat messages"),
    "tool-calls-silently-dropped.jsonl": (4, 4, "prompt/chosen/rejected as chat messages"),
    "ultrafeedback-raw.jsonl": (3, 0, "UltraFeedback completions"),
    "wrapped-in-data.json": (3, 3, "prompt/chosen/rejected"),
    # No pairs but answers to a run's questions.
    "answers-A.jsonl": "--annotators file:PATH",
    "answers-empty.jsonl": "has no rows",
    "answers-three-voters-quorum3.jsonl": "--annotators file:PATH",
}
HOSTILE = {
    "agent_list.jsonl": "the agent that suggested 'preference'",
    "bomb_lines.jsonl.gz": "the rest of it was not looked at",
    "col_bad_utf8.arrow": "`chosen` is UnreadableValue",
    "col_choice_5000_digits.parquet": "human_majority is",
    "col_date_far.parquet": (2, 2, "prompt/chosen/rejected"),
    "col_ts_ns.arrow": (2, 2, "prompt/chosen/rejected"),
    "dupkeys.jsonl": "the key 'chosen' stands twice",
    "source_surrogate.jsonl": "`source` holds half a surrogate pair",
    "status_int.jsonl": "the states of 'preference'",
}
NOTES = {
    "duplicate-rows-unsaid.jsonl": "3 rows have the pair of an earlier row",
    "same-pair-twice-contradicting.jsonl": "2 rows contradict another row of the same pair",
    "prompt-column-differs-from-chat.jsonl": "in 4 rows the prompt's column is unlike the chat's own first turn",
    "shp.jsonl": "not used: post_id, score_A, score_B",
}


# Without the folder one test stands here, skipped: the kinds have tests of their own.
FILES = [(folder, name) for folder in ("rows", "hostile") for name in present(folder)] or [("", "")]


@pytest.mark.parametrize(("folder", "name"), FILES)
def test_each_file_is_read_as_what_it_is_or_refused_with_its_reason(tmp_path, folder, name):
    if not folder:
        case_path("rows")  # which says what is missing
    path, right = FOLDER / folder / name, (ROWS | HOSTILE)[name]
    if isinstance(right, str):
        with pytest.raises(InvalidInput) as refused:
            intake.read(path)
        assert right in str(refused.value) and str(path) in str(refused.value)
        return
    given = intake.read(path, tmp_path / "aside.jsonl")
    assert (len(given.rows), given.rows_with_truth, given.form) == right and not given.set_aside
    assert NOTES.get(name, "") in "\n".join(given.notes)
