"""A completion, of which nothing need have the type that it should have."""

import json
import random

import pytest

from concord.labeling.judge import Miss
from concord.labeling.refusal import Trouble
from concord.labeling.reply import MOST_TOKENS, counted, reply_of
from tests.fuzz import endpoint_answers


def body(message: object = None, **choice: object) -> bytes:
    return json.dumps({"choices": [{"message": message, **choice}]}).encode()


@pytest.mark.parametrize(("value", "count"), [(12, 12), (12.0, 12), (MOST_TOKENS, MOST_TOKENS)])
def test_an_integral_count_is_taken(value, count):
    assert counted(value) == count


@pytest.mark.parametrize("value", ["12", 12.5, float("nan"), float("inf"), -1, 0, 2**57, 10**400, True, None, [], {}])
def test_any_other_count_is_not_believed(value):
    assert counted(value) is None


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": "A"}, "A"),
        ({"content": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}, "C", 5]}, "ABC"),
        ({"content": {"winner": "A"}}, '{"winner": "A"}'),
        ({"content": None}, ""),
        ({"content": 5}, ""),
        ({"content": "\ud800A"}, "?A"),
        ({}, ""),
    ],
)
def test_content_comes_in_many_forms(message, text):
    assert reply_of(body(message)).text == text


def test_what_was_thought_and_declined_stands_apart():
    reply = reply_of(body({"content": None, "reasoning_content": "hm", "refusal": "no"}, finish_reason="LENGTH"))
    assert (reply.text, reply.reasoning, reply.refusal, reply.cut) == ("", "hm", "no", True)
    assert reply_of(body({"content": "", "reasoning": "hm"}, finish_reason="content_filter")).filtered


@pytest.mark.parametrize(
    "bytes_",
    [
        b"",
        b"{",
        b"[]",
        b"5",
        b"null",
        b'{"choices": 5}',
        b'{"choices": [5]}',
        b'{"choices": []}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_what_is_no_completion_is_paid_and_may_pass(bytes_):
    with pytest.raises(Trouble) as raised:
        reply_of(bytes_)
    assert (raised.value.fault, raised.value.paid) == ("passing", True)


def test_a_page_of_html_is_the_endpoints_fault_and_not_paid():
    with pytest.raises(Trouble, match="HTML") as raised:
        reply_of(b"\n<!doctype html><html>Sign in</html>")
    assert (raised.value.fault, raised.value.paid) == ("endpoint", False)


def test_an_error_in_a_200_is_none_of_our_money():
    with pytest.raises(Trouble, match="an error in a 200") as raised:
        reply_of(b'{"error": {"code": 402, "message": "no credit"}}')
    assert (raised.value.fault, raised.value.paid) == ("endpoint", False)


def test_a_key_that_the_judge_repeats_is_in_no_text_of_the_reply():
    reply = reply_of(
        body({"content": "sk-very-secret A", "refusal": "sk-very-secret", "reasoning": "sk-very-secret"}),
        ["sk-very-secret"],
    )
    assert "secret" not in reply.text + reply.refusal + reply.reasoning and reply.text.endswith(" A")


def test_made_up_answers_are_verdicts_misses_or_troubles_and_never_anything_else():
    rng = random.Random(5)
    kinds = {type(endpoint_answers.made(rng)) for _ in range(3_000)}
    assert Trouble in kinds and Miss in kinds
