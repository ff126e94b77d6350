"""What a judge's answer means: plain verdicts in any dress, no guess anywhere, and no text that takes long."""

import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.labeling import judge
from concord.labeling.verdict import MOST_READ, Verdict, parse, read
from concord.v1 import pairs_pb2 as pb

PLAIN = [
    "Assistant A is better.",
    "Answer A is better.",
    "Response A is the better response.",
    "A wins.",
    "So, Answer A is clearly better than Answer B.",
    "I choose A.",
    "I prefer Assistant A because B is wrong.",
    "After comparing, I would go with A.",
    "The better answer is A because it is exact.",
    "Between the two, A is better.",
    "Assistant A's answer is better.",
    "Assistant A provides the better answer.",
    "I'd pick A.",
    "Preferred: A",
    '{"verdict": "A", "answer": "both are short"}',
    "My conclusion is as follows.\nAssistant A is better.",
    "Verdict: A\n\nIt is exact.",
    "**Winner:** Assistant A",
    "Winner - A",
    "winner: A\nconfidence: 0.9",
    "Therefore, the final answer is A.",
    "Final verdict: A (confidence 0.9)",
    "B is better in style.\nVerdict: A",
    "A\n\nBecause it is right.",
    "**A**",
    "<winner>A</winner>",
    "\\boxed{A}",
    "[THINK]B[/THINK]A",
    'Let me compare the two.\n</think>\n\n{"winner": "A"}',
    "<|channel|>analysis<|message|>B?<|channel|>final<|message|>A",
    "{'reason': 'It\\'s exact', 'winner': 'A', 'confidence': 0.9}",
    "{'reason': 'it's exact', 'winner': 'A'}",
    "“winner”: “A”",
    '{"winner": A}',
    '{"winner": "[[A]]"}',
    '{"winner": "Assistant A"}',
    '{"winner": "A is better"}',
    '{"winner": "A", "reason": "B is better in style, but wrong"}',
    json.dumps(json.dumps({"reason": "x", "winner": "A"})),
]
NOT_PLAIN = [
    "Answer A is not better.",
    "Neither A nor B is better.",
    "A is better if you like style.",
    "A might be better.",
    "Is A better?",
    "It is hard to say that A is better.",
    "Both.",
    "A and B",
    "A, B",
    "Verdict: tie",
    '{"answer": "A good one"}',
    "[[C]]",
    '{"winner": "A/B"}',
    '{"reason": "at most two short sentences", "winner": "A" or "B", "confidence": 0.5}',
    "<think>Verdict: A",
    "I will not compare these.",
]
CONTRADICTING = [
    "A\n\nA\n\nB",
    "Verdict: A\n\nB",
    "A is better, but B is correct.\nB is better.",
    "Assistant A is better. However, B is better overall.",
    '{"winner": "A", "winner": "B"}',
    '{"winner": "A"}\nVerdict: B',
    "{'winner': 'A', 'x': 1} {'winner': 'B'}",
    "Verdict: A\nOn second thought, B is better.",
    "[[A]] or rather [[B]]",
    '{"verdict": "A", "choice": "B"}',
]


@pytest.mark.parametrize("text", PLAIN)
def test_a_plain_verdict_is_read_in_any_dress(text):
    assert parse(text).winner == "A"
    other = re.sub(r"\b[AB]\b", lambda letter: "AB"[letter[0] == "A"], text)
    assert parse(other).winner == "B"


@pytest.mark.parametrize("text", NOT_PLAIN)
def test_what_does_not_plainly_name_one_is_no_verdict_and_no_guess(text):
    assert read(text).verdict is None


@pytest.mark.parametrize("text", CONTRADICTING)
def test_what_names_both_contradicts_itself(text):
    assert read(text).verdict is None and read(text).contradicting


@pytest.mark.parametrize("swapped", [False, True])
def test_the_questions_own_form_copied_is_no_verdict(swapped):
    pair = pb.Pair(first=pb.Response(text="four"), second=pb.Response(text="five"))
    (message,) = judge.messages(pair, "", swapped)
    form = next(line for line in message["content"].splitlines() if line.startswith('{"reason"'))
    assert read(form).verdict is None and read(message["content"]).verdict is None


def test_the_stated_confidence_and_the_reason_are_those_of_the_same_object():
    assert parse('{"reason": "why", "winner": "A", "confidence": 0.8} {"confidence": 0.1}') == Verdict("A", 0.8, "why")
    assert parse("{'reason': 'why', 'winner': 'A', 'confidence': 0.8}") == Verdict("A", 0.8)
    assert parse('{"winner": "A", "confidence": 0.8, "x": ') == Verdict("A", 0.8)
    assert parse('{"winner": "A", "confidence": 0.') == Verdict("A", None)


PIECES = [
    "{",
    '{"winner":',
    '{"winner":"A",',
    "*",
    "\n",
    "A\n",
    "[[",
    "<winner>",
    "Verdict:\n",
    '{"a":',
    '{"a":[',
    "(",
    "\\",
    "'",
    '"',
    "w",
    ".",
]
PIECES += [
    " ",
    "A is ",
    "A is clearly ",
    "</think>",
    "I think ",
    "verdict ",
    "[RESULT] ",
    ". ",
    "A is a little ",
    "<think>",
]


@pytest.mark.parametrize("piece", PIECES)
def test_no_text_takes_long_to_read(piece):
    for text in (piece, '{"winner": "A", "x": "' + piece, "A is " + piece):
        began = time.process_time()
        read(text + piece * (MOST_READ // len(piece)))
        read(text + piece * (10 * MOST_READ // len(piece)))
        assert time.process_time() - began < 2, "a quadratic one takes minutes"


@given(
    st.lists(
        st.sampled_from(["A", "B", " ", "\n", '{"winner": "', '"', "}", ".", "is better", "Verdict: ", "'", "not"])
    )
)
def test_of_two_letters_never_one_is_guessed_and_a_verdict_stands_in_the_text(parts):
    text = "".join(parts)
    if verdict := parse(text):
        assert verdict.winner in text
