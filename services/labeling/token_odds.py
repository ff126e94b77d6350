"""How probable the letters A and B were at each place of an answer, from the endpoint's token log-probabilities. PURE."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any

from concord.labeling.claims import Letter

_SCORES = frozenset(map(str, range(1, 11)))
_FAR = 3


@dataclass(frozen=True)
class Odds:
    """How probable the letters were at one place of an answer."""

    offset: int  # of the token's first byte in the answer's UTF-8 text
    end: int  # of the byte behind the token
    p_a: float  # in [0, 1]
    p_b: float  # in [0, 1]


def letter_odds(tokens: Sequence[Mapping[str, Any]], text: str) -> tuple[Odds, ...]:
    """The odds of A and B at each token that is one of these letters.

    `tokens` is `choices[0].logprobs.content` of a chat completion: token, logprob, top_logprobs and perhaps bytes.
    Empty where they do not spell `text` or have another form. A letter that is not listed gets what the listed ones leave over.
    """
    if not text:
        return ()
    try:
        raw = [_spelled(token) for token in tokens]
        start = b"".join(raw).find(text.encode())
        return tuple(_odds_of(tokens, raw, -start)) if start >= 0 else ()
    except (AttributeError, KeyError, TypeError, ValueError):  # not in the usual form
        return ()


def score_means(tokens: Sequence[Mapping[str, Any]], text: str) -> tuple[tuple[int, int, float], ...]:
    """(first byte, byte behind it, mean score) of each token of `text` that is a whole number from 1 to 10.

    The mean is over the alternatives that are such numbers too, by their probabilities; those far off are left out, for the 1 of a
    tokenizer of digits may begin a 10. Empty where the tokens do not spell `text`, as for `letter_odds`.
    """
    if not text:
        return ()
    try:
        raw = [_spelled(token) for token in tokens]
        start = b"".join(raw).find(text.encode())
        return tuple(_means_of(tokens, raw, -start)) if start >= 0 else ()
    except (AttributeError, KeyError, TypeError, ValueError):  # not in the usual form
        return ()


def share(odds: Sequence[Odds], winner: Letter, offset: int) -> float | None:
    """P(winner) against the other letter at the token that covers this byte; None where there is none."""
    here = next((o for o in odds if o.offset <= offset < o.end), None)
    if here is None or here.p_a + here.p_b <= 0:
        return None
    return (here.p_a if winner == "A" else here.p_b) / (here.p_a + here.p_b)


def _spelled(token: Mapping[str, Any]) -> bytes:
    # A number here would ask for so many zero bytes.
    given = token.get("bytes")
    return bytes(given) if given and isinstance(given, list) else token["token"].encode(errors="replace")


def _odds_of(tokens: Sequence[Mapping[str, Any]], raw: Sequence[bytes], at: int) -> Iterator[Odds]:
    for token, spelled in zip(tokens, raw, strict=True):
        if _letter(token["token"]):
            listed = {t["token"]: _probability(t["logprob"]) for t in (token, *(token.get("top_logprobs") or ()))}
            rest = max(0.0, 1.0 - sum(listed.values()))
            mass = {name: [p for t, p in listed.items() if _letter(t) == name] for name in ("A", "B")}
            p_a, p_b = (sum(mass[name]) if mass[name] else rest for name in ("A", "B"))
            yield Odds(at, at + len(spelled), min(1.0, p_a), min(1.0, p_b))
        at += len(spelled)


def _means_of(tokens: Sequence[Mapping[str, Any]], raw: Sequence[bytes], at: int) -> Iterator[tuple[int, int, float]]:
    for token, spelled in zip(tokens, raw, strict=True):
        if own := _score(token["token"]):
            listed = {t["token"]: _probability(t["logprob"]) for t in (token, *(token.get("top_logprobs") or ()))}
            near = {t: score for t in listed if (score := _score(t)) and abs(score - own) <= _FAR}
            mass = sum(listed[t] for t in near)
            if mass > 0:
                yield at, at + len(spelled), sum(listed[t] * score for t, score in near.items()) / mass
        at += len(spelled)


def _score(token: str) -> int:
    """The whole number from 1 to 10 that a token stands for; 0 for none."""
    bare = token.strip(" \t\r\n\"'*[](){}:.,Ġ▁")
    return int(bare) if bare in _SCORES else 0


def _letter(token: str) -> Letter | None:
    """The letter that a token such as `A`, ` A`, `"A` or `A"` stands for."""
    bare = token.strip(" \t\r\n\"'*[](){}:.,Ġ▁")
    return bare if bare in ("A", "B") else None  # type: ignore[return-value]


def _probability(logprob: float | None) -> float:
    if logprob is None:
        return 0.0
    if logprob != logprob:
        raise ValueError("a log-probability is no number")
    return min(1.0, exp(min(0.0, logprob)))
