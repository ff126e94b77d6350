"""One is one thing, two are two things: a number that may be 1 never stands before a word that means several."""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from concord.kit.plural import many

ROOT = Path(__file__).parent.parent / "services"
# The bundled simulation writes texts for people to compare, with numbers of its own.
SOURCES = [path for path in sorted(ROOT.rglob("*.py")) if path.relative_to(ROOT).parts[0] not in ("v1", "sample")]
COUNTING = ("many", "count")


@pytest.mark.parametrize(
    ("said", "right"),
    [
        (many(0, "pair"), "0 pairs"),
        (many(1, "pair"), "1 pair"),
        (many(1_234, "pair"), "1,234 pairs"),
        (many(0.6, "minute"), "1 minute"),
        (many(1, "row has", "rows have"), "1 row has"),
        (many(2, "row has", "rows have"), "2 rows have"),
    ],
)
def test_a_number_goes_with_the_word_for_it(said, right):
    assert said == right


def called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def several(tree: ast.AST) -> Iterator[str]:
    """The nouns that are counted somewhere, as they stand for several."""
    for node in ast.walk(tree):
        given = node.args[1:3] if called(node) in COUNTING else []
        words = [arg.value for arg in given if isinstance(arg, ast.Constant) and arg.value]
        if len(words) == 1 and len(given) == 1:
            yield words[0].split()[-1] + "s"
        elif len(words) == 2 and words[1].split()[0].endswith("s"):
            yield words[1].split()[0]


def uncounted(tree: ast.AST, nouns: set[str]) -> Iterator[str]:
    """A value in a text before one of these nouns; a setting in capitals is known not to be 1."""
    wanted = re.compile(rf" (?:(?!and |in |or |the )[a-z]*[a-rt-z] )?({'|'.join(sorted(nouns))})\b")
    for node in ast.walk(tree):
        parts = node.values if isinstance(node, ast.JoinedStr) else []
        for value, text in pairwise(parts):
            is_number = isinstance(value, ast.FormattedValue) and isinstance(text, ast.Constant)
            if is_number and wanted.match(text.value) and called(value.value) not in COUNTING:
                said = ast.unparse(value.value)
                if said.rpartition(".")[2].upper() != said.rpartition(".")[2]:
                    yield f"line {node.lineno}: {{{said}}}{text.value[:30]}"


def test_no_number_stands_before_a_word_for_several_that_was_not_chosen_by_it():
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}
    nouns = {noun for tree in trees.values() for noun in several(tree)}
    assert {"pairs", "votes", "rows", "minutes"} <= nouns
    found = [f"{path.relative_to(ROOT)} {line}" for path, tree in trees.items() for line in uncounted(tree, nouns)]
    assert not found, "\n".join(found)
