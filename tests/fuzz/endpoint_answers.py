"""Made-up answers of an endpoint, from its bytes to what the shard's fact keeps: `one(rng)` raises on a fault.

An answer is a sound one with something of another type, a broken body, a refusal in any form, or noise.
"""

import json
import random
from copy import deepcopy
from typing import Any

from concord.labeling import evidence
from concord.labeling.dialect import STANDARD, after, plainer, spoken
from concord.labeling.judge import Miss, combine
from concord.labeling.refusal import Trouble, of_status, words_of
from concord.labeling.reply import MOST_TOKENS, reply_of
from concord.labeling.spending import Spent, usage
from concord.labeling.token_odds import letter_odds
from concord.labeling.verdict import Verdict, read
from concord.v1 import config_pb2 as cfg

KEY = "sk-fuzz-0123456789"
REQUEST = {
    "model": "m",
    "messages": [{"role": "user", "content": "?"}],
    "max_tokens": 300,
    "temperature": 0.0,
    "seed": 1,
}
WORDS = [
    "A",
    "B",
    "winner",
    "confidence",
    "reason",
    "verdict",
    "is better",
    "tie",
    "not",
    KEY,
    "<think>",
    "</think>",
    "max_tokens",
]
WORDS += [
    "seed",
    "temperature",
    "response_format",
    "logprobs",
    "insufficient_quota",
    "at most 256",
    "\ud800",
    "\x00",
    "é",
    "²",
]
SIGNS = ["{", "}", "[", "]", '"', "'", ":", ",", "\\", "\n", " ", "<", ">", "*", "(", "&#", "%"]
ODD = [
    None,
    True,
    0,
    -1,
    5,
    2**57,
    2**70,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "12",
    "A",
    [],
    {},
    [[]],
    [None],
    {"a": {}},
]


def one(rng: random.Random) -> None:
    """Makes one answer and checks what becomes of it."""
    said = made(rng)
    if isinstance(said, Trouble):
        assert KEY not in said.detail and KEY not in said.said, "a key stands in a message"
        assert 0 <= said.retry_after_s < float("inf")
        _negotiate(said)
        said = evidence.rejected(said, swapped=False)
    if isinstance(said, Miss):
        assert len(said.text) <= evidence.MOST_KEPT and KEY not in said.text
    label = combine(said, None)
    assert 0 <= label.p_first <= 1 and (label.confidence is None or 0 <= label.confidence <= 1)
    for kept in evidence.kept([7], [("judge", [label])]):
        kept.SerializeToString()


def made(rng: random.Random) -> Verdict | Miss | Trouble:
    """What becomes of one made-up answer."""
    body = _body(rng)
    try:
        if rng.random() < 0.3:
            raise of_status(
                rng.choice([400, 401, 403, 404, 413, 422, 429, 500, 529]), _headers(rng), words_of(body, (KEY,))
            )
        reply = reply_of(body, (KEY,))
    except Trouble as trouble:
        return trouble
    spent = Spent()
    spent.add(REQUEST, reply)
    used = usage(spent, cfg.JudgeConfig(prompt_dollars=1, completion_dollars=1))
    assert used.calls == 1 and 0 < used.prompt_tokens <= MOST_TOKENS and used.dollars < MOST_TOKENS
    odds = letter_odds(reply.tokens, reply.text)
    json.dumps([[o.offset, o.end, o.p_a, o.p_b] for o in odds], allow_nan=False)
    reading = read(reply.text, odds)
    return reading.verdict or evidence.missed(reply, reading, swapped=False)


def _negotiate(trouble: Trouble) -> None:
    """However often the same is refused, the ways to put it come to an end."""
    dialect, steps = STANDARD, 0
    while step := after(dialect, spoken(REQUEST, dialect), trouble.words) or plainer(dialect, spoken(REQUEST, dialect)):
        dialect, steps = step, steps + 1
        assert steps < 30, "the same is tried for ever"
    assert set(spoken(REQUEST, dialect)) == {"model", "messages"}


def _body(rng: random.Random) -> bytes:
    match rng.randrange(4):
        case 0:
            return rng.randbytes(rng.randrange(40))
        case 1:
            error = {
                "message": _text(rng),
                "code": _odd(rng),
                "param": _odd(rng),
                "type": _text(rng),
                "metadata": _odd(rng),
            }
            whole: Any = {
                rng.choice(["error", "detail", "errors", "message"]): rng.choice(
                    [error, [error], _text(rng), _odd(rng)]
                )
            }
        case _:
            whole = _completion(rng)
    for _ in range(rng.choice([0, 1, 1, 2])):
        _disturb(whole, rng)
    body = json.dumps(whole).encode()
    return body[: rng.randrange(len(body))] if rng.random() < 0.1 else body


def _completion(rng: random.Random) -> dict[str, Any]:
    text = _text(rng)
    tokens = [
        {"token": word, "logprob": -0.1, "bytes": rng.choice([None, list(word.encode(errors="replace")), 10**9])}
        for word in text
    ]
    message = {"role": "assistant", "content": rng.choice([text, [{"type": "text", "text": text}], None])}
    message |= {"reasoning": _text(rng)} if rng.random() < 0.3 else {}
    choice = {"message": message, "finish_reason": rng.choice(["stop", "length", "content_filter", None])}
    choice |= {"logprobs": {"content": tokens}} if rng.random() < 0.5 else {}
    counts = {"prompt_tokens": rng.choice([1, 12.0, _odd(rng)]), "completion_tokens": rng.choice([1, 12.0, _odd(rng)])}
    return {"choices": [choice], "usage": counts}


def _text(rng: random.Random) -> str:
    if rng.random() < 0.3:
        return json.dumps({"reason": "x", "winner": rng.choice("AB"), "confidence": rng.choice([0.9, 5, "high"])})
    return "".join(rng.choice(WORDS if rng.random() < 0.5 else SIGNS) for _ in range(rng.randrange(30)))


def _odd(rng: random.Random) -> Any:
    return deepcopy(rng.choice(ODD))


def _disturb(whole: Any, rng: random.Random) -> None:
    """Puts something of another type somewhere into it."""
    while isinstance(whole, dict | list) and whole:
        at = rng.choice(list(whole)) if isinstance(whole, dict) else rng.randrange(len(whole))
        if rng.random() < 0.3 or not isinstance(whole[at], dict | list):
            whole[at] = _odd(rng)
            return
        whole = whole[at]


def _headers(rng: random.Random) -> dict[str, str]:
    return {
        "retry-after": rng.choice(["", "3", "1e9", "99999999999", "Fri, 31 Dec 9999 23:59:59 GMT", "²", "-1", "nan"]),
        "date": "x",
    }
