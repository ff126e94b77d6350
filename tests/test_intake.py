"""A user's file: checked as a whole, refused with file, line and reason, or its bad rows set aside."""

import gzip
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from concord.client.intake import intake, text_lines
from concord.client.intake.formats.canonical import PREFERENCE, RECORD, RESPONSES
from concord.kit.errors import InvalidInput
from concord.v1 import pairs_pb2 as pb
from tests.data import data_path
from tests.row_files import good


def labelled(number: int, **changes) -> dict:
    return {
        "id": f"p{number}",
        "prompt": f"Question {number}?",
        "responses": ["yes", "no"],
        "human_majority": 0,
        "ai_labels": {"L/Vanilla": {"choice": 0, "choice_swapped": 1}, "L/CoT": {"choice": 1}, "M": {"choice": 1}},
    } | changes


def write(path: Path, *rows: dict | bytes | str) -> Path:
    lines = [
        row if isinstance(row, bytes) else (row if isinstance(row, str) else json.dumps(row)).encode() for row in rows
    ]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InvalidInput) as caught:
        intake.read(path)
    return str(caught.value)


def test_a_plain_file_is_read_and_its_form_said(tmp_path):
    path = write(tmp_path / "pairs.jsonl", good(1), "", good(2))
    given = intake.read(path)
    assert (given.name, given.form, len(given.rows), given.rows_with_truth) == ("pairs.jsonl", PREFERENCE, 2, 2)
    assert given.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_gzip_is_told_by_its_first_bytes_and_not_by_the_name(tmp_path):
    plain = write(tmp_path / "pairs.jsonl", good(1), good(2))
    packed = tmp_path / "packed.jsonl"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert [row.pair for row in intake.read(packed).rows] == [row.pair for row in intake.read(plain).rows]
    assert intake.read(packed).sha256 == hashlib.sha256(packed.read_bytes()).hexdigest()


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(good(1)).encode() + b"\r\n" + json.dumps(good(2)).encode() + b"\r\n")
    assert [row.pair.pair_id for row in intake.read(path).rows] == ["p1", "p2"]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (b'{"id": "x", "prompt": ', "broken JSON"),
        ({"id": "x", "prompt": "q", "chosen": "a"}, "no `rejected`"),
        (good(9, chosen=""), "`chosen` is empty"),
        (good(9, chosen="x" * 40_000_000), "`chosen` has 40.0 MB"),
        (b'{"id": "x", "prompt": "\xff", "chosen": "a", "rejected": "b"}', "invalid UTF-8 at byte 24"),
        (good(1), "the id 'p1' stands in line 1 already"),
        (labelled(9), "the file began as prompt/chosen/rejected"),
        (b"[1]", "not an object {"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"id": ' + b"9" * 5000 + b"}", "broken JSON"),
    ],
    ids=["broken", "missing", "empty", "40 MB", "UTF-8", "duplicate", "form", "list", "deep", "long number"],
)
def test_a_bad_row_refuses_the_file_with_file_line_and_reason(tmp_path, bad, words):
    path = write(tmp_path / "pairs.jsonl", good(1), good(2), bad)
    assert f"{path}:3: " in refusal(path) and words in refusal(path), refusal(path)


def test_a_label_for_a_response_that_is_not_there_refuses_the_file(tmp_path):
    path = write(tmp_path / "pairs.jsonl", labelled(1), labelled(2, human_majority=2))
    assert f"{path}:2: human_majority is for response 2" in refusal(path)


def test_a_line_over_the_limit_is_never_held_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(text_lines, "MAX_LINE_BYTES", 1000)
    path = write(tmp_path / "pairs.jsonl", good(1), good(2, chosen="x" * 5000), good(3))
    assert [(number, len(raw) <= 1001) for number, raw in text_lines.lines_of(path)] == [
        (1, True),
        (2, True),
        (3, True),
    ]
    assert f"{path}:2: the line has over" in refusal(path)


def test_many_bad_rows_are_counted_and_the_first_of_them_shown(tmp_path):
    path = write(tmp_path / "pairs.jsonl", good(0), *[good(i, chosen="") for i in range(1, 31)])
    said = refusal(path)
    assert "30 of 31 rows cannot be used" in said and "--skip-bad" in said
    assert said.count(": `chosen` is empty") == 10 and "and 20 more (empty text: 30)" in said


def test_bad_rows_can_be_set_aside_in_a_file_and_are_counted(tmp_path):
    broken = b'{"id": "\xff'
    path = write(tmp_path / "pairs.jsonl", good(1), broken, good(2), good(3, chosen=""), good(1))
    given = intake.read(path, tmp_path / "out" / "bad.jsonl")
    assert [row.pair.pair_id for row in given.rows] == ["p1", "p2"]
    assert given.set_aside == {"invalid UTF-8": 1, "empty text": 1, "duplicate id": 1}
    aside = [json.loads(line) for line in (tmp_path / "out" / "bad.jsonl").read_text().splitlines()]
    assert [row["line"] for row in aside] == [2, 4, 5]
    assert aside[0]["row"] == '{"id": "\\xff' and json.loads(aside[1]["row"]) == good(3, chosen="")
    assert "`chosen` is empty" in aside[1]["reason"]


def test_a_good_file_leaves_no_file_of_bad_rows(tmp_path):
    intake.read(write(tmp_path / "pairs.jsonl", good(1)), tmp_path / "bad.jsonl")
    assert not (tmp_path / "bad.jsonl").exists()


def test_bad_rows_never_overwrite_their_own_file(tmp_path):
    path = write(tmp_path / "pairs.jsonl", good(1), good(2, chosen=""))
    before = path.read_bytes()
    with pytest.raises(InvalidInput, match="very file"):
        intake.read(path, path)
    assert path.read_bytes() == before


def test_a_broken_archive_is_refused_whether_or_not_bad_rows_are_skipped(tmp_path):
    whole = gzip.compress("".join(json.dumps(good(i)) + "\n" for i in range(3000)).encode())
    path = tmp_path / "pairs.jsonl.gz"
    for broken in (whole[: len(whole) // 2], whole[:-4] + b"\0\0\0\0", whole[:200] + b"\xff" * 50 + whole[250:]):
        path.write_bytes(broken)
        with pytest.raises(InvalidInput, match="gzip data are broken"):
            intake.read(path, tmp_path / "bad.jsonl")


def test_files_that_are_absent_empty_or_folders_are_refused_in_words(tmp_path):
    assert "there is no such file" in refusal(tmp_path / "absent.jsonl")
    assert "cannot be read" in refusal(tmp_path)
    assert "has no rows" in refusal(write(tmp_path / "empty.jsonl"))
    with pytest.raises(InvalidInput, match="nothing left"):
        intake.read(write(tmp_path / "bad.jsonl", good(1, chosen="")), tmp_path / "aside.jsonl")


def test_a_row_over_many_lines_is_a_row_and_several_of_them_are_told_what_to_do(tmp_path):
    path = tmp_path / "pairs.json"
    path.write_text(json.dumps(good(1), indent=2))
    assert [row.pair.pair_id for row in intake.read(path).rows] == ["p1"]
    path.write_text(json.dumps(good(1), indent=2) + "\n" + json.dumps(good(2), indent=2))
    assert "an object must stand on one line" in refusal(path)


def test_labels_may_be_missing_from_the_first_rows(tmp_path):
    bare = {"id": "x", "prompt": "q", "responses": ["a", "b"]}
    given = intake.read(write(tmp_path / "pairs.jsonl", bare, labelled(1)))
    assert given.form == RECORD and given.rows_with_truth == 1 and given.judges["L/Vanilla"] == 1
    assert intake.read(write(tmp_path / "plain.jsonl", bare)).form == RESPONSES


def test_a_recorded_judge_takes_the_rows_that_it_judged_and_counts_the_others(tmp_path):
    tie = {"L/Vanilla": {"choice": "tie", "choice_swapped": 1}}
    rows = (labelled(1), labelled(2, ai_labels=tie), labelled(3, human_majority="tie"), labelled(4, ai_labels={}))
    given = intake.read(write(tmp_path / "pairs.jsonl", *rows))
    judged, judges = intake.judged_by(given, "L", ["M"])
    assert (judges.main, judges.own_prompts, judges.helpers) == ("L/Vanilla", ("L/CoT",), ("M",))
    assert [row.pair.pair_id for row in judged.rows] == ["p1", "p2", "p3"]
    assert [verdict.judge for verdict in judged.rows[0].pair.verdicts] == ["L/Vanilla", "L/CoT", "M"]
    assert judged.rows[1].pair.verdicts[0].choice == pb.CHOICE_TIE
    assert judged.rows[2].truth == pb.CHOICE_TIE and judged.set_aside == {"no verdict of L/Vanilla": 1}


def test_an_unknown_judge_is_refused_with_the_files_name(tmp_path):
    given = intake.read(write(tmp_path / "pairs.jsonl", labelled(1)))
    with pytest.raises(InvalidInput, match=r"pairs\.jsonl: no judge 'L/Vanila' .* L/Vanilla \(1 row\)"):
        intake.judged_by(given, "L/Vanila")


def test_a_files_choice_that_serves_as_judge_is_no_truth(tmp_path):
    given = intake.read(write(tmp_path / "pairs.jsonl", good(1), good(2)))
    judged, judges = intake.judged_by(given, "chosen")
    assert judges.main == "chosen" and len(judged.rows) == 2
    assert given.rows_with_truth == 2 and judged.rows_with_truth == 0


def test_the_bundled_sample_reads_like_a_file():
    given = intake.read_sample()
    assert given.name == "concord-sample" and given.form == RECORD
    assert len(given.rows) == given.rows_with_truth >= 1500
    assert given.sha256 == intake.read_sample().sha256


LINES = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.builds(
        lambda at, cut, byte: _damaged(at, cut, byte), st.integers(0, 3), st.integers(0, 120), st.binary(max_size=2)
    ),
)


def _damaged(number: int, cut: int, byte: bytes) -> bytes:
    line = json.dumps(labelled(number)).encode()
    return line[:cut] + byte + line[cut + 1 :]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LINES, max_size=6))
def test_no_file_whatever_ends_in_anything_but_rows_or_a_refusal(tmp_path, lines):
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(b"\n".join(lines))
    try:
        given = intake.read(path)
    except InvalidInput as error:
        assert str(path) in str(error)
        return
    assert given.rows and not given.set_aside
    assert len({row.pair.pair_id for row in given.rows}) == len(given.rows)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LINES, max_size=6))
def test_with_bad_rows_set_aside_every_line_is_a_row_or_counted(tmp_path, lines):
    path, aside = tmp_path / "pairs.jsonl", tmp_path / "bad.jsonl"
    aside.unlink(missing_ok=True)
    path.write_bytes(b"\n".join([json.dumps(labelled(99)).encode(), *lines]))
    given = intake.read(path, aside)
    filled = sum(bool(line.strip()) for line in path.read_bytes().split(b"\n"))
    assert len(given.rows) + sum(given.set_aside.values()) == filled
    counted = len(aside.read_text().splitlines()) if aside.exists() else 0
    assert counted == sum(given.set_aside.values())


REAL = {"hh_train": 4954, "hh_test": 1209, "judged_pairs": 2290}


@pytest.mark.parametrize("name", sorted(REAL))
def test_the_real_pairs_are_read_without_a_single_refusal(name):
    given = intake.read(data_path(f"{name}.jsonl.gz"))
    assert len(given.rows) == given.rows_with_truth == REAL[name] and given.form == RECORD
    assert all(row.pair.domain for row in given.rows)


@pytest.mark.parametrize(
    ("name", "pairs", "prompts", "labelled", "reasons"),
    [
        ("multi_response", 2902, 485, 2764, {}),
        ("redteam", 1964, 328, 0, {"missing response": 868}),
        ("verifiable", 15213, 2537, 0, {"missing response": 912}),
    ],
)
def test_real_rows_of_many_responses_give_pairs(tmp_path, name, pairs, prompts, labelled, reasons):
    given = intake.read(data_path(f"{name}.jsonl.gz"), tmp_path / "bad.jsonl")
    assert (len(given.rows), given.rows_with_truth, given.set_aside) == (pairs, labelled, reasons)
    assert len({row.pair.group for row in given.rows}) == prompts


def decided_by_both(rows):
    """The rows of which neither people nor the judge say that they are a tie."""
    return [row for row in rows if pb.CHOICE_TIE not in (row.truth, row.pair.verdicts[0].choice)]


@pytest.mark.parametrize(("judge", "decided", "agreement"), [("gpt-3.5-turbo", 622, 81.7), ("pandalm-7b", 595, 77.1)])
def test_the_published_agreement_of_real_judges_comes_out_again(judge, decided, agreement):
    judged, judges = intake.judged_by(intake.read(data_path("judged_pairs.jsonl.gz")), judge)
    told = decided_by_both(judged.rows)
    right = sum(row.pair.verdicts[0].choice == row.truth for row in told)
    assert len(told) == decided and 100 * right / len(told) == pytest.approx(agreement, abs=0.05)
    assert judges.main == judge


def test_a_real_llms_name_means_its_plain_prompt_and_finds_its_other_prompts():
    judged, judges = intake.judged_by(intake.read(data_path("judged_pairs.jsonl.gz")), "GPT-4", ["ChatGPT"])
    assert judges.main == "GPT-4/Vanilla_NoRules" and judges.helpers == ("ChatGPT/Vanilla_NoRules",)
    assert "GPT-4/CoT" in judges.own_prompts and not any(key.endswith("/vote") for key in judges.keys)
    human = [row for row in judged.rows if row.pair.pair_id.split("-")[1] in ("faireval", "llmeval2", "mtbench")]
    told = decided_by_both(human)
    right = sum(row.pair.verdicts[0].choice == row.truth for row in told)
    assert len(told) == 319 and 100 * right / len(told) == pytest.approx(78.7, abs=0.05)
