"""Strangers' text as HTML that can do nothing: Markdown without raw HTML or pictures, then a sanitiser over the result.

Hostile HTML is shown as the text that it is. Code is coloured by classes, for no page here takes inline style.
"""

from collections.abc import MutableMapping, Sequence
from functools import lru_cache
from html import escape
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.texmath import texmath_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from concord.console import formulas, texts
from concord.console.pieces import CALL, RESULT, THOUGHT, TOOLS, WORDS, Piece, pieces, visible

# Beyond this a text is shown as it is written: to colour and lay it out would take longer than anybody waits.
MOST_LAID_OUT = 120_000
MOST_COLOURED = 40_000
TAGS = {
    *(
        "p",
        "br",
        "hr",
        "em",
        "strong",
        "s",
        "code",
        "pre",
        "blockquote",
        "ul",
        "ol",
        "li",
        "a",
        "span",
        "div",
        "details",
    ),
    *("summary", "table", "thead", "tbody", "tr", "th", "td", "h3", "h4", "h5", "h6"),
}
ATTRIBUTES = {
    "a": {"href", "title"},
    "span": {"class"},
    "code": {"class"},
    "pre": {"class"},
    "ol": {"start"},
    "div": {"class"},
}
SCHEMES = {"http", "https", "mailto"}
_COLOURS = HtmlFormatter(nowrap=True, classprefix="k-")


def _coloured(code: str, language: str, attributes: str) -> str:
    if not language or len(code) > MOST_COLOURED:
        return ""
    try:
        return highlight(code, get_lexer_by_name(language), _COLOURS)
    except ClassNotFound:
        return ""


def _picture(
    self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: MutableMapping[str, Any]
) -> str:
    """A picture's words and address: to load it would tell a stranger who looks at it, and when."""
    token = tokens[at]
    written = f"![{token.content}]({token.attrGet('src') or ''})"
    return f"<code>{escape(written)}</code>"


def _heading(
    self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: MutableMapping[str, Any]
) -> str:
    """Two levels down: the page's own headings stand above an answer's."""
    close = "/" if tokens[at].nesting < 0 else ""
    return f"<{close}h{min(6, int(tokens[at].tag[1]) + 2)}>"


def _formula(
    self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: MutableMapping[str, Any]
) -> str:
    """`$…$`, `\\(…\\)` within a line; `$$…$$`, `\\[…\\]` on lines of their own."""
    block = tokens[at].type != "math_inline"
    if not block and "`" in tokens[at].content:
        # Two prices with code between them.
        return escape(f"${tokens[at].content}$")
    made = formulas.shown(tokens[at].content.strip(), block)
    return f"<p>{made}</p>" if tokens[at].type == "math_block" else made


def _reader() -> MarkdownIt:
    made = MarkdownIt("js-default", {"highlight": _coloured, "breaks": True})
    made.add_render_rule("image", _picture)
    made.add_render_rule("heading_open", _heading)
    made.add_render_rule("heading_close", _heading)
    dollarmath_plugin(made, allow_labels=False, allow_space=False, allow_digits=False, double_inline=True)
    texmath_plugin(made, delimiters="brackets")
    for kind in ("math_inline", "math_inline_double", "math_block"):
        made.add_render_rule(kind, _formula)
    return made


_MARKDOWN = _reader()


@lru_cache(maxsize=512)
def shown(text: str) -> str:
    """A message as HTML that is safe to put into a page."""
    made = "".join(map(_piece, pieces(visible(text))))
    return nh3.clean(
        made or f'<p class="nothing">{escape(texts.NOTHING)}</p>',
        tags=TAGS | formulas.TAGS | {"p"},
        attributes={**ATTRIBUTES, **formulas.ATTRIBUTES, "p": {"class"}},
        url_schemes=SCHEMES,
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


def plain(text: str) -> str:
    """A text as it is written, on as many lines as it has."""
    return f'<pre class="plain">{escape(visible(text))}</pre>'


def _piece(piece: Piece) -> str:
    match piece.kind:
        case k if k == WORDS:
            return _MARKDOWN.render(piece.text) if len(piece.text) <= MOST_LAID_OUT else plain(piece.text)
        case k if k == CALL:
            body = _coloured(piece.text, "json", "") or escape(piece.text)
            return (
                f'<div class="tool"><strong>{escape(texts.CALLS)} {escape(piece.name)}</strong><pre>{body}</pre></div>'
            )
        case k if k == RESULT:
            return f'<div class="tool"><strong>{escape(texts.GAVE)}</strong>{plain(piece.text)}</div>'
        case k if k == THOUGHT:
            return f"<details><summary>{escape(texts.THOUGHT)}</summary>{plain(piece.text)}</details>"
        case k if k == TOOLS:
            return f"<details><summary>{escape(texts.TOOLS)}</summary>{plain(piece.text)}</details>"
    return plain(piece.text)
