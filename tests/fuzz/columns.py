"""`--columns`, mutated, on rows of all forms: nothing but InvalidInput comes out, and the named columns are what is read."""

import json
import random
from typing import Any

from concord.client.intake import intake
from concord.client.intake.formats.mapped import ROLES
from concord.kit.errors import InvalidInput
from tests.fuzz import place
from tests.fuzz.rows import anything, forms, spoiled

_FORMS = forms()
_ODD = (
    "",
    ".",
    "..",
    "a.b",
    "prompt.0",
    "fields.response_1",
    "data.response_1",
    "responses.0.text",
    "=",
    ",",
    "\ud800",
    "x" * 400,
)


def one(rng: random.Random) -> None:
    """One mapping and one file; raises where reading them raises anything else, or reads other columns."""
    rows = [spoiled(rng, rng.choice(_FORMS)) for _ in range(rng.randrange(1, 4))]
    said = _said(rng, rows)
    with place.folder() as folder:
        path = folder / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        for aside in (None, folder / "aside.jsonl"):
            try:
                given = intake.read(path, aside, columns=said)
            except InvalidInput as error:
                str(error).encode()
                continue
            assert len(given.rows) + sum(given.set_aside.values()) == len(rows), "a row was lost"
            _check_texts(given, said, rows)


def _said(rng: random.Random, rows: list[dict[str, Any]]) -> Any:
    names = [*rows[0], *_ODD]
    if rng.random() < 0.05:
        return anything(rng) or "first=a,second=b"
    mapping = {role: rng.choice(names) for role in rng.sample(sorted(ROLES), rng.randrange(6))}
    if rng.random() < 0.8:
        mapping |= {"first": rng.choice(names), "second": rng.choice(names), "prompt": rng.choice(names)}
        mapping = {role: name for role, name in mapping.items() if role not in ("chosen", "rejected")}
    if rng.random() < 0.5:
        return mapping or "x"
    return ",".join(f"{role}={name}" for role, name in mapping.items()) or "x"


def _check_texts(given: intake.Input, said: Any, rows: list[dict[str, Any]]) -> None:
    """Where the named columns hold texts, these are the responses, in this order."""
    if not isinstance(said, dict) or "first" not in said or len(given.rows) != len(rows):
        return
    for made, row in zip(given.rows, rows, strict=True):
        texts = [row.get(said[role]) for role in ("first", "second")]
        if all(isinstance(text, str) and not text.lstrip().startswith("[{") for text in texts):
            assert [made.pair.first.text, made.pair.second.text] == texts
