"""Files of pairs, mutated: nothing but InvalidInput comes out, no row is lost, and a good row beside bad ones is not changed."""

import csv
import io
import json
import random
from pathlib import Path
from typing import Any

from concord.client.intake import intake
from concord.kit.errors import InvalidInput
from tests.fuzz import place
from tests.fuzz.rows import forms, spoiled

_GOOD = {"id": "good", "prompt": "Who is there?", "chosen": "I am.", "rejected": "Nobody."}


def one(rng: random.Random) -> None:
    """One file; raises where reading it raises anything else, loses a row or changes one."""
    with place.folder() as folder:
        path = folder / f"rows.{rng.choice(('jsonl', 'json', 'csv', 'txt'))}"
        rows = [spoiled(rng, rng.choice(_FORMS)) for _ in range(rng.randrange(1, 4))]
        if rng.random() < 0.5:
            _lines(rng, path, rows)
        else:
            path.write_bytes(_damaged(rng, _whole(rng, path.suffix, rows)))
            _read(path, None)
            _read(path, folder / "aside.jsonl")


_FORMS = forms()


def _lines(rng: random.Random, path: Path, rows: list[dict[str, Any]]) -> None:
    """JSON Lines whose first is good: whatever the others are, each is a row or counted."""
    lines = [_damaged(rng, json.dumps(row).encode()).replace(b"\n", b" ") for row in rows]
    path = path.with_suffix(".jsonl")
    path.write_bytes(b"\n".join([json.dumps(_GOOD).encode(), *lines, b""]))
    given = _read(path, path.with_name("aside.jsonl"))
    filled = sum(bool(line.strip()) for line in lines)
    assert given is not None, "a file with a good row was refused"
    made = [row for row in given.rows if not row.pair.pair_id.startswith("good")]
    units = {row.pair.pair_id.partition("/")[0] for row in made}
    assert len(units) + sum(given.set_aside.values()) == filled, "a row was lost"
    (kept,) = (row for row in given.rows if row.pair.pair_id == "good")
    assert {kept.pair.first.text, kept.pair.second.text} == {"I am.", "Nobody."}
    assert kept.pair.prompt[0].content == "Who is there?"


def _read(path: Path, aside: Path | None) -> intake.Input | None:
    try:
        given = intake.read(path, aside)
    except InvalidInput as error:
        str(error).encode()
        return None
    "\n".join(given.notes).encode()
    for row in given.rows:
        type(row.pair).FromString(row.pair.SerializeToString())
    return given


def _whole(rng: random.Random, ending: str, rows: list[dict[str, Any]]) -> bytes:
    if ending == ".csv":
        names = sorted({name for row in rows for name in row})
        text = io.StringIO()
        writer = csv.writer(text, delimiter=rng.choice(",;\t"))
        writer.writerow(names)
        writer.writerows([[_cell(row.get(name, "")) for name in names] for row in rows])
        return text.getvalue().encode(errors="surrogatepass")
    shape: Any = rng.choice(
        (rows, {"data": rows}, {"a": rows, "b": 1}, {"rows": [{"row_idx": 0, "row": row} for row in rows]}, rows[0])
    )
    return json.dumps(shape, indent=rng.choice((None, 1))).encode()


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _damaged(rng: random.Random, raw: bytes) -> bytes:
    """The bytes with something cut out, doubled or put in; as they are in half of the cases."""
    if rng.random() < 0.6 or not raw:
        return raw
    at, length = rng.randrange(len(raw)), rng.randrange(1, 20)
    middle = rng.choice(
        (b"", raw[at : at + length] * 2, rng.randbytes(3), b'"', b"\\ud800", b'"id":1,', b"}{", b"\x00")
    )
    return raw[:at] + middle + raw[at + length :]
