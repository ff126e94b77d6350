"""Chats as files hold them: parts, roles by many names, tool calls and reasoning, and what is no text."""

import json

import pytest

from concord.client.intake import intake
from concord.client.intake.formats.table import format_of
from concord.client.intake.rows import rows
from concord.labeling import judge
from concord.preference.pairs import BadRecord, Row, pair_hash
from concord.v1 import pairs_pb2 as pb
from tests.row_files import good, jsonl

CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]


def user(content: object, **more: object) -> dict:
    return {"role": "user", "content": content, **more}


def said(content: object, **more: object) -> dict:
    return {"role": "assistant", "content": content, **more}


def read(**row: object) -> Row:
    (made,) = rows(format_of(row).read(row), 1)
    return made


def pair(chosen: dict | list, rejected: object = None, **more: object) -> Row:
    sides = {"chosen": chosen if isinstance(chosen, list) else [chosen], "rejected": rejected or [said("Warm.")]}
    return read(**{"id": "p", "prompt": [user("Weather?")], **sides, **more})


def better(row: Row) -> pb.Response:
    return row.pair.first if row.truth == pb.CHOICE_FIRST else row.pair.second


@pytest.mark.parametrize("kind", ["text", "input_text", "output_text"])
def test_parts_of_text_are_the_text(kind):
    row = pair(
        said([{"type": kind, "text": "Rain"}, {"type": kind, "text": "."}]),
        prompt=[user([{"type": kind, "text": "Q"}])],
    )
    assert better(row).text == "Rain." and not better(row).original and row.pair.prompt[0].content == "Q"


@pytest.mark.parametrize("asking", ["user", "User", "Human", "human", "prompter"])
@pytest.mark.parametrize("answering", ["assistant", "Assistant", "gpt", "bot", "model", "AI"])
def test_roles_by_other_names_are_the_same_roles(asking, answering):
    sides = {
        side: [{"role": asking, "content": "Weather?"}, {"role": answering, "content": side}]
        for side in ("chosen", "rejected")
    }
    row = read(**sides)
    assert [(turn.role, turn.content) for turn in row.pair.prompt] == [("user", "Weather?")]
    assert better(row).text == "chosen"


@pytest.mark.parametrize("part", ["image_url", "image", "input_audio", "video", "file"])
def test_a_part_that_is_no_text_is_refused_by_its_name(part):
    with pytest.raises(BadRecord, match=part):
        pair(said("Rain."), prompt=[user([{"type": part, part: {}}, {"type": "text", "text": "What is it?"}])])


@pytest.mark.parametrize("column", ["images", "image", "videos", "audio"])
def test_a_column_of_images_is_refused_where_it_holds_one(tmp_path, column):
    path = jsonl(tmp_path / "rows.jsonl", [good(1, **{column: []}), good(2, **{column: [{"path": "a.png"}]})])
    given = intake.read(path, tmp_path / "aside.jsonl")
    assert len(given.rows) == 1 and given.set_aside == {"not a text": 1}


def test_calls_without_content_are_an_answer_that_the_judge_sees():
    row = pair(said(None, tool_calls=[CALL]), tools=TOOLS)
    assert better(row).text == '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
    assert json.loads(better(row).original) == [{"role": "assistant", "content": "", "tool_calls": [CALL]}]
    (asked,) = judge.messages(row.pair, "", swapped=False)
    assert '"city": "Oslo"' in asked["content"] and "Tools that may be called" in asked["content"]


def test_reasoning_is_part_of_the_answer():
    row = pair(said("Rain.", reasoning_content="It is Bergen."))
    assert better(row).text == "<think>\nIt is Bergen.\n</think>\n\nRain."
    assert json.loads(better(row).original)[0]["reasoning_content"] == "It is Bergen."


def test_two_answers_that_differ_in_their_calls_alone_are_a_pair():
    other = {**CALL, "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    row = pair(said("I look.", tool_calls=[CALL]), [said("I look.", tool_calls=[other])])
    assert row.pair.first.text != row.pair.second.text
    with pytest.raises(BadRecord, match="same text"):
        pair(said("I look.", tool_calls=[CALL]), [said("I look.", tool_calls=[CALL | {"id": "c2"}])])


def test_a_trajectory_with_what_the_tool_gave_is_one_answer():
    given = [
        said(None, tool_calls=[CALL]),
        {"role": "tool", "tool_call_id": "c1", "content": "7 C"},
        said("7 degrees."),
    ]
    row = pair(given)
    assert better(row).text.endswith("<tool_response>\n7 C\n</tool_response>\n\n7 degrees.")
    assert [turn["role"] for turn in json.loads(better(row).original)] == ["assistant", "tool", "assistant"]


def test_a_call_in_the_prompt_is_seen_and_kept():
    prompt = [user("Weather?"), said(None, tool_calls=[CALL]), {"role": "tool", "tool_call_id": "c1", "content": "7 C"}]
    row = pair(said("7 degrees."), prompt=prompt)
    assert "weather" in row.pair.prompt[1].content and json.loads(row.pair.prompt[1].original)["tool_calls"] == [CALL]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (said(None), "is empty"),
        (said(None, tool_calls=[{"id": "c"}]), "without the `name`"),
        (said(None, tool_calls="weather"), "without the `name`"),
        (said("x", reasoning_content=7), "a number, not a text"),
        (said(7), "a number, not a text"),
        (said([7]), "no object with a `type`"),
        (said("x", tool_calls=[{"function": {"name": "\ud800"}}]), "surrogate"),
    ],
)
def test_a_message_that_cannot_be_carried_is_refused_with_its_reason(message, words):
    with pytest.raises(BadRecord, match=words):
        pair(message)


def test_a_pair_of_plain_texts_is_the_pair_that_it_was():
    row = pair(said("Rain."))
    plain = pb.Pair(prompt=[pb.Message(role="user", content="Weather?")], first=row.pair.first, second=row.pair.second)
    assert pair_hash(row.pair) == pair_hash(plain) and not row.pair.first.original and not row.pair.prompt[0].original


def test_a_prompt_unlike_the_chats_first_turn_is_said_and_the_chat_counts(tmp_path):
    def row(prompt: object) -> dict:
        return {"prompt": prompt, **{side: [user("What is 1+1?"), said(side)] for side in ("chosen", "rejected")}}

    given = intake.read(jsonl(tmp_path / "rows.jsonl", [row("A title"), row("What is 1+1?"), row("What is 1+1? ")]))
    assert [[turn.content for turn in made.pair.prompt] for made in given.rows] == [["What is 1+1?"]] * 3
    assert "in 1 row the prompt's column is unlike the chat's own first turn: the chat is what counts" in given.notes


def test_columns_that_nobody_reads_are_named_in_one_line(tmp_path):
    rows = [good(1, margin=2.5, empty=""), good(2, **{"language": "en", "x" * 100: 1})]
    (note,) = intake.read(jsonl(tmp_path / "rows.jsonl", rows)).notes
    assert note.startswith("not used: margin, language, xxx") and note.endswith("…")


def test_pairs_that_stand_twice_are_said_and_contradictions_are_ties_or_left_out(tmp_path):
    def row(chosen: str, rejected: str, **more: object) -> dict:
        return {"prompt": "q", "chosen": chosen, "rejected": rejected, **more}

    path = jsonl(tmp_path / "rows.jsonl", [row("a", "b"), row("b", "a"), row("c", "d"), row("c", "d"), row("e", "f")])
    given = intake.read(path)
    assert [row.truth == pb.CHOICE_TIE for row in given.rows] == [True, True, False, False, False]
    assert given.notes[0].startswith("2 rows have the pair of an earlier row")
    assert given.notes[1].startswith("2 rows contradict another row of the same pair: they count as ties")
    aside = intake.read(path, contradictions="aside")
    assert len(aside.rows) == 3 and aside.set_aside == {"contradicts another row": 2} and aside.sha256 != given.sha256


def test_what_a_message_has_beside_is_named_and_an_image_in_it_is_refused(tmp_path):
    def row(number: int, **more: object) -> dict:
        return {
            "prompt": [user(f"Weather {number}?")],
            "chosen": [said("Rain.", **more)],
            "rejected": [said("Sun.", weight=0)],
        }

    given = intake.read(jsonl(tmp_path / "rows.jsonl", [row(1, weight=1, citations=["x"]), row(2)]))
    assert given.notes == ("not used: chosen[].weight, chosen[].citations, rejected[].weight",)
    with pytest.raises(BadRecord, match="holds images"):
        read(**row(1, images=["aGk="]))


def test_a_chat_that_a_table_holds_as_an_object_of_lists_is_a_chat():
    sides = {side: {"role": ["user", "assistant"], "content": ["Weather?", side]} for side in ("chosen", "rejected")}
    row = read(**sides)
    assert [turn.content for turn in row.pair.prompt] == ["Weather?"] and better(row).text == "chosen"
    asked = read(prompt={"role": ["user"], "content": ["Weather?"]}, chosen="Rain.", rejected="Sun.")
    assert [turn.content for turn in asked.pair.prompt] == ["Weather?"]
