"""A secret is struck out of whatever comes from outside, in any dress, and before anything is cut."""

import base64
import html
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.kit.redaction import redacted

KEY = 'sk"very/secret&key<1>'


@pytest.mark.parametrize(
    "dress",
    [
        str,
        lambda key: json.dumps(key)[1:-1],
        lambda key: json.dumps(key)[1:-1].replace("/", "\\/"),
        lambda key: json.dumps(json.dumps(key))[3:-3],
        html.escape,
        lambda key: quote(key, safe=""),
        lambda key: "".join(f"\\u{ord(c):04x}" for c in key),
        lambda key: "".join(f"&#{ord(c)};" for c in key),
        lambda key: base64.b64encode(key.encode()).decode(),
        lambda key: f"Bearer {key}",
    ],
)
def test_a_key_is_struck_out_in_any_dress(dress):
    said = redacted(f"Incorrect key: {dress(KEY)} was given", [KEY])
    assert said.startswith("Incorrect key: ") and said.endswith(" was given") and "***" in said
    assert "secret" not in said and dress(KEY) not in said


def test_a_key_that_was_cut_before_is_struck_out_too():
    assert redacted("wrong: sk-very-secre", ["sk-very-secret-key"]) == "wrong: ***"


def test_what_looks_like_a_key_is_struck_out_whoever_it_belongs_to():
    assert redacted("Authorization: Bearer abcdefgh12345678") == "Authorization: ***"
    assert redacted("used sk-proj-abcdefghijklmnop1234 here") == "used *** here"
    assert redacted("a task-oriented-answer and pk_short") == "a task-oriented-answer and pk_short"


def test_a_short_secret_is_a_word_of_its_own():
    assert redacted("abc in abcde, (abc)", ["abc"]) == "*** in abcde, (***)"


@given(st.text(), st.text(min_size=9, alphabet=st.characters(min_codepoint=33, max_codepoint=126)), st.text())
def test_no_text_keeps_a_secret(before, key, after):
    assert key not in redacted(before + key + after, [key]) or key in "***"
