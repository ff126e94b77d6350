"""A reward model's accuracy and calibration on a file of answers that people told apart."""

import gzip
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.kit.errors import InvalidInput
from concord.scoring.accuracy import by_subset, calibration, share_of
from concord.scoring.bench import EVERYTHING, Item, figures, length_of, lines, main, read

ROWS = (
    {"prompt": "1 + 1?", "chosen": "2", "rejected": "3", "subset": "sums"},
    {"prompt": [{"role": "user", "content": "Hi"}], "chosen": [{"role": "assistant", "content": "Hello"}], "rejected": "No"},
    {"prompt": "Name a city", "chosen": ["Rome"], "rejected": ["a", "b", "c"], "subset": "best of four"},
)  # fmt: skip


def written(path, rows=ROWS):
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_texts_messages_and_several_answers_are_read(tmp_path, name):
    found = read(written(tmp_path / name))
    assert [one.subset for one in found] == ["sums", EVERYTHING, "best of four"]
    assert found[0].prompt == [{"role": "user", "content": "1 + 1?"}]
    assert found[1].chosen == ([{"role": "assistant", "content": "Hello"}],)
    assert [len(one.rejected) for one in found] == [1, 1, 3]


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"prompt": "a", "chosen": "b"}', '{"prompt": "a", "chosen": 1, "rejected": "c"}']
)
def test_a_row_that_is_none_is_named_with_its_line(tmp_path, line):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROWS[0]) + "\n" + line + "\n")
    with pytest.raises(InvalidInput, match="line 2"):
        read(path)


def test_files_that_cannot_be_are_told_in_words(tmp_path, capsys):
    (tmp_path / "empty.jsonl").write_text("\n")
    for name in ("empty.jsonl", "missing.jsonl"):
        assert main(["nowhere", str(tmp_path / name)]) == 2
        assert name in capsys.readouterr().err


def test_every_subset_counts_alike_in_the_mean_and_every_pair_in_the_whole():
    margin, subset = np.array([1.0, 1.0, 1.0, -1.0]), ["a", "a", "a", "b"]
    assert {name: one.right for name, one in by_subset(margin, subset).items()} == {"a": 1, "b": 0}
    items = [Item(name, "p", ("c",), ("r",)) for name in subset]
    found = figures(margin, items)
    assert (found["all"]["right"], found["mean_of_subsets"]) == (0.75, 0.5)
    said = "\n".join(lines(found))
    assert "mean of the subsets" in said and "75.0%" in said and "calibration error" in said


def test_equal_rewards_count_half():
    assert share_of(np.array([0.0, 0.0, 2.0, -2.0])).right == 0.5


def test_rows_with_several_answers_leave_the_calibration_out():
    items = [Item("a", "p", ("c",), ("r", "s")), Item("a", "p", ("c",), ("r",))]
    assert sum(one["of"] for one in figures(np.array([1.0, 1.0]), items)["calibration"]["bins"]) == 1
    assert figures(np.array([1.0]), items[:1])["calibration"] is None


def test_what_is_right_as_often_as_it_says_is_calibrated_and_ten_times_the_reward_is_too_sure():
    draw = np.random.default_rng(0)
    margin = draw.normal(0, 1.5, 20_000)
    margin = np.where(draw.random(len(margin)) < 1 / (1 + np.exp(-margin)), margin, -margin)
    fair, loud = calibration(margin), calibration(10 * margin)
    assert fair.error < 0.02 and fair.temperature == pytest.approx(1, rel=0.1)
    assert loud.error > 0.1 and loud.temperature == pytest.approx(10, rel=0.1)
    assert loud.log_loss_at_temperature == pytest.approx(fair.log_loss, abs=0.01)


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=60))
def test_every_pair_is_in_one_bin_and_every_figure_is_a_share(values):
    found = calibration(np.array(values))
    assert sum(one.of for one in found.bins) == len(values)
    assert 0 <= found.error <= 1 and all(0 <= one.right <= 1 and 0.5 <= one.said <= 1 for one in found.bins)


def test_the_length_is_the_one_that_the_model_was_taught_with(tmp_path):
    (tmp_path / "manifest.json").write_text('{"settings": {"max_length": 77}}')
    assert length_of(str(tmp_path)) == 77 and length_of("Qwen/Qwen3-0.6B") == 1_024
