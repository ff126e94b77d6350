"""A completion, read from the body of an answer. PURE.

Nothing of it is believed to have the type that it should have.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from concord.kit.redaction import redacted
from concord.labeling.refusal import Trouble, of_error_in_200, words_of

# No single call has more tokens; a count above is a slip or a lie, and is estimated instead.
MOST_TOKENS = 10_000_000
# Characters of an answer, thoughts and all, that are looked at and kept: its end, where the verdict stands.
MOST_TEXT = 500_000


@dataclass(frozen=True)
class Reply:
    """A completion. No text of it holds the endpoint's key."""

    text: str
    tokens: tuple[Mapping[str, Any], ...] = ()  # logprobs.content; empty where the endpoint gives none
    prompt_tokens: int | None = None  # None where the endpoint does not count
    completion_tokens: int | None = None
    finish: str = ""  # finish_reason, in small letters
    refusal: str = ""  # what it says where it declines in a field of its own
    reasoning: str = ""  # what it thought, where that stands in a field of its own
    room: int = 1  # how many times the tokens asked for it was given; see `Dialect.room`

    @property
    def cut(self) -> bool:
        """Whether the limit on tokens ended it."""
        return self.finish in ("length", "max_tokens", "max_output_tokens", "model_length")

    @property
    def filtered(self) -> bool:
        """Whether a content filter ended it."""
        return self.finish in ("content_filter", "content-filter", "safety", "prohibited_content", "blocklist")


def reply_of(body: bytes, secrets: Collection[str] = ()) -> Reply:
    """The completion in the body. Raises Trouble, paid where the endpoint worked and what came is of no use."""
    whole = _object(body, secrets)
    choice = _first(whole.get("choices"))
    if error := whole.get("error") or choice.get("error"):
        raise of_error_in_200(words_of(json.dumps({"error": error}, default=str).encode(), secrets))
    message = choice.get("message") if isinstance(choice.get("message"), dict) else None
    if message is None and not isinstance(choice.get("text"), str):
        if not choice and "detail" in whole:
            raise of_error_in_200(words_of(body, secrets))
        raise Trouble("passing", "the answer's body holds no choices[0].message", paid=True)
    text, thought = _content(message["content"] if message and "content" in message else choice.get("text"))
    message, usage = message or {}, whole.get("usage")
    counts: dict[str, Any] = usage if isinstance(usage, dict) else {}
    logprobs = choice.get("logprobs")
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    reasoning = message.get("reasoning_content") or message.get("reasoning") or thought
    finish = choice.get("finish_reason")
    return Reply(
        redacted_if(text, secrets),
        tuple(tokens) if isinstance(tokens, list) else (),
        counted(counts.get("prompt_tokens")),
        counted(counts.get("completion_tokens")),
        finish.lower()[:40] if isinstance(finish, str) else "",
        redacted_if(_text(message.get("refusal")), secrets),
        redacted_if(_text(reasoning), secrets),
    )


def counted(value: Any) -> int | None:
    """A count of tokens, of an integral and finite number from 1 to `MOST_TOKENS`; None for all else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= MOST_TOKENS:
        return None
    return int(value) if isinstance(value, int) or (isfinite(value) and value.is_integer()) else None


def redacted_if(text: str, secrets: Collection[str]) -> str:
    """The text without the secrets; as it is where there are none to strike out."""
    return redacted(text, secrets) if secrets and text else text


def _object(body: bytes, secrets: Collection[str]) -> dict[str, Any]:
    try:
        whole = json.loads(body)
    except (ValueError, RecursionError):
        if body.lstrip()[:1] == b"<":
            words = words_of(body, secrets)
            raise Trouble(
                "endpoint", "a 200 with a page of HTML, such as a sign-in page, and no completion", words=words
            ) from None
        raise Trouble("passing", "the answer's body is not whole JSON", paid=True) from None
    if not isinstance(whole, dict):
        raise Trouble("passing", "the answer's body is no JSON object", paid=True)
    return whole


def _first(choices: Any) -> dict[str, Any]:
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


def _content(content: Any) -> tuple[str, str]:
    """(what is said, what is thought) of a message's content: a text, parts of texts, or the object itself."""
    if isinstance(content, dict):
        return json.dumps(content), ""
    if not isinstance(content, list):
        return _text(content), ""
    said, thought = [], []
    for part in content:
        if isinstance(part, dict) and part.get("type") in ("thinking", "reasoning"):
            thought.append(_content(part.get("thinking") or part.get("text"))[0])
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            said.append(_text(part["text"]))
        elif isinstance(part, str):
            said.append(_text(part))
    return "".join(said), "".join(thought)


def _text(value: Any) -> str:
    """The end of the text, lone surrogates replaced; empty for all that is none."""
    return value[-MOST_TEXT:].encode(errors="replace").decode() if isinstance(value, str) else ""
