"""Strangers' texts on a page: Markdown is laid out, code is coloured, tools are shown, and nothing of it can do anything."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concord.console import formulas, markdown
from concord.console.markdown import shown
from concord.console.pieces import CALL, RESULT, THOUGHT, WORDS, pieces

TAGS = markdown.TAGS | formulas.TAGS
ATTRIBUTES = {name for of in (markdown.ATTRIBUTES, formulas.ATTRIBUTES) for names in of.values() for name in names} | {
    "rel",
    "target",
}
PARTS = (
    *(r"\frac", r"\sqrt", r"\left(", r"\right)", r"\begin{matrix}", r"\end{matrix}", r"\text{", r"\href{", r"\sum"),
    *(r"\color{", *"{}^_&<>\"'xa1 |"),
)
HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "[click](javascript:alert(1))",
    "[click](data:text/html;base64,PHNjcmlwdD4=)",
    "[click](vbscript:x)",
    "![x](https://tracker.example/pixel.png)",
    "<iframe src=https://example.org></iframe>",
    "<style>body{display:none}</style>",
    "<a href=x onclick=alert(1)>x</a>",
    '<form action="https://example.org"><input name=password></form>',
    '```"><script>alert(1)</script>\nx\n```',
    "| a |\n|---|\n| <b onmouseover=alert(1)>x</b> |",
    "<tool_call>\n<script>alert(1)</script>\n</tool_call>",
    "<think>\n<script>alert(1)</script>\n</think>",
    "</pre></div><script>alert(1)</script>",
    "<!--<script>-->alert(1)",
    "&lt;script&gt;",
    r"$\text{<script>alert(1)</script>}$",
    r"$\text{<img src=x onerror=alert(1)>}$",
    r"\(\href{javascript:alert(1)}{x}\)",
    r"$$\text{</math><script>alert(1)</script>}$$",
    r"$\text{<style><img src=x onerror=alert(1)></style>}$",
    r"\[\style{background:url(https://example.org)}{x}\]",
    r"$\class{x}{y}\color{red;background:url(//x)}{z}$",
    "<base href=//example.org>",
    "<meta http-equiv=refresh content=0>",
)


class Looked(HTMLParser):
    """What a browser would find in it."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs


def found(text: str) -> Looked:
    looked = Looked()
    looked.feed(shown(text))
    return looked


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_html_is_shown_and_never_run(text):
    looked = found(text)
    assert set(looked.tags) <= TAGS
    assert {name for name, _ in looked.attributes} <= ATTRIBUTES
    for name, value in looked.attributes:
        if name == "href":
            assert re.match(r"(https?|mailto):", value)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("<>&\"'`[]()!#*_~-=/\\ \n:|abcscriptonjavadataимг1.")))
def test_no_text_at_all_brings_an_element_or_an_attribute_that_is_not_ours(text):
    looked = found(text)
    assert set(looked.tags) <= TAGS
    assert {name for name, _ in looked.attributes} <= ATTRIBUTES


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PARTS)))
def test_no_formula_brings_anything_but_mathml(parts):
    made = formulas.shown("".join(parts), False)
    looked = Looked()
    looked.feed(made)
    assert set(looked.tags) <= formulas.TAGS | {"code"}
    assert {name for name, _ in looked.attributes} <= ATTRIBUTES


def test_formulas_are_laid_out_in_a_line_and_on_lines_of_their_own():
    assert shown("Let $x^2$ be.") == shown(r"Let \(x^2\) be.")
    assert "<msup><mi>x</mi><mn>2</mn></msup>" in shown("Let $x^2$ be.")
    for block in ("$$\n\\frac{a}{b}\n$$", "\\[\n\\frac{a}{b}\n\\]"):
        assert '<math display="block">' in shown(block) and "<mfrac>" in shown(block)


def test_money_and_code_are_no_formulas_and_what_cannot_be_read_is_shown_as_written():
    assert "<math" not in shown("It costs $5, not $10. `$x$` stays.")
    assert r"<code>\frac{</code>" in shown(r"$\frac{$")
    assert "<math" not in shown("$" + "{" * 40 + "}" * 40 + "$")


def test_hostile_words_stay_readable():
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown("<script>alert(1)</script>")


def test_a_picture_is_not_loaded_but_named():
    assert "<img" not in shown("![a cat](https://example.org/cat.png)")
    assert "https://example.org/cat.png" in shown("![a cat](https://example.org/cat.png)")


def test_markdown_is_laid_out_and_code_coloured_by_classes_alone():
    html = shown(
        "# Head\n\nSome **bold** words and `code`.\n\n| a | b |\n|--:|---|\n| 1 | 2 |\n\n```python\ndef f(x): return 1\n```"
    )
    assert "<h3>Head</h3>" in html and "<strong>bold</strong>" in html and "<td" in html
    assert 'class="k-k"' in html and "style" not in html


def test_links_leave_the_page_and_say_nothing_of_it():
    assert 'rel="noopener noreferrer nofollow"' in shown("[x](https://example.org)")


def test_what_turns_a_text_round_is_marked():
    assert "\u202e" not in shown("abc\u202edef") and "\ufffd" in shown("abc\u202edef")


def test_an_empty_answer_says_that_it_is_one():
    assert "(an empty answer)" in shown("  \n")


def test_calls_of_tools_and_reasoning_are_told_from_words():
    text = (
        "<think>\nLet me look.\n</think>\n\nI look it up.\n\n"
        '<tool_call>\n{"name": "search", "arguments": {"q": "<b>weather</b>"}}\n</tool_call>\n\n'
        "<tool_response>\nsunny\n</tool_response>\n\nIt is sunny."
    )
    assert [one.kind for one in pieces(text)] == [THOUGHT, WORDS, CALL, RESULT, WORDS]
    html = shown(text)
    assert "Calls search" in html and "&lt;b&gt;weather" in html and "What came back" in html and "<details>" in html


def test_a_call_that_is_no_json_is_shown_as_it_is():
    (one,) = pieces("<tool_call>\nnot json\n</tool_call>")
    assert (one.kind, one.text, one.name) == (CALL, "not json", "")


def test_a_very_long_text_is_shown_as_it_is_written():
    text = "* [x](y) " * (markdown.MOST_LAID_OUT // 4)
    assert shown(text).startswith('<pre class="plain">')
