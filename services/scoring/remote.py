"""Rewards by a server: vLLM's `/pooling` or `/classify`, or Text Embeddings Inference's `/predict`.

The model is called by the endpoint's whole address, with the model's name behind `#` where the server holds several:
`http://host:8000/pooling#NAME`. The first two are sent messages, one answer a call and many calls at once, so that the server's
own chat template and batches count; the last one pairs of texts, many a call. Each must give one number an answer, the higher
the better; they are taken as logits.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import numpy as np

from concord.kit.errors import InvalidInput, Unavailable
from concord.kit.plural import many
from concord.kit.urls import without_secrets
from concord.reward import texts
from concord.reward.encoding import Words
from concord.reward.models import manifest_of
from concord.scoring.models import Array, Margins, Shown

AT_ONCE = 16
A_CALL = 32
TIMEOUT_S = 120.0
# Of what the server says where it refuses.
_MOST_SAID = 300


@dataclass(frozen=True)
class Endpoint:
    """How one server is asked, and how its reply is read. Both are pure."""

    texts_a_call: int
    # (model, prompts, answers) of one call → the request's body.
    asks: Callable[[str, Sequence[Words], Sequence[Words]], dict[str, Any]]
    # The reply → one number, or several, of each text. Raises LookupError or TypeError for what is no such reply.
    reads: Callable[[Any], list[Any]]


def _messages(model: str, prompts: Sequence[Words], answers: Sequence[Words]) -> dict[str, Any]:
    (turns,) = (
        _turns(prompt, "user") + _turns(answer, "assistant") for prompt, answer in zip(prompts, answers, strict=True)
    )
    named = {"model": model} if model else {}
    # An activation would squeeze rewards into probabilities; a template's beginning of a further answer would be scored with it.
    return {**named, "messages": turns, "add_generation_prompt": False, "use_activation": False}


def _turns(words: Words, role: str) -> list[dict[str, Any]]:
    """Messages of it; none of an empty text."""
    if isinstance(words, str):
        return [{"role": role, "content": words}] if words else []
    return [dict(turn) for turn in words]


def _texts(model: str, prompts: Sequence[Words], answers: Sequence[Words]) -> dict[str, Any]:
    pairs = [[_text(prompt), _text(answer)] for prompt, answer in zip(prompts, answers, strict=True)]
    return {"inputs": pairs, "raw_scores": True, "truncate": True}


def _text(words: Words) -> str:
    return words if isinstance(words, str) else "\n".join(str(turn["content"]) for turn in words)


def _of_pooling(reply: Any) -> list[Any]:
    return [one["data"] for one in sorted(reply["data"], key=lambda one: one["index"])]


def _of_classify(reply: Any) -> list[Any]:
    return [one["probs"] for one in sorted(reply["data"], key=lambda one: one["index"])]


def _of_predict(reply: Any) -> list[Any]:
    return [[label["score"] for label in one] for one in reply]


ENDPOINTS: Mapping[str, Endpoint] = {
    "pooling": Endpoint(1, _messages, _of_pooling),
    "classify": Endpoint(1, _messages, _of_classify),
    "predict": Endpoint(A_CALL, _texts, _of_predict),
}


def is_remote(model: str) -> bool:
    """Whether a model is called by an address."""
    return model.startswith(("http://", "https://"))


class Remote:
    """A reward model behind an address. Thread-safe."""

    def __init__(self, model: str, transport: httpx2.BaseTransport | None = None) -> None:
        """Raises InvalidInput where the address leads to no endpoint that is known here."""
        self._url, _, self._model = model.partition("#")
        self._shown = without_secrets(self._url)
        name = urlsplit(self._url).path.rstrip("/").rpartition("/")[2]
        if name not in ENDPOINTS:
            ends = ", ".join(f"/{one}" for one in ENDPOINTS)
            raise InvalidInput(f"{self._shown} is no endpoint that gives rewards: its path must end with one of {ends}")
        self._endpoint = ENDPOINTS[name]
        self._client = httpx2.Client(timeout=TIMEOUT_S, transport=transport)

    def rewards(self, prompts: Sequence[Words], answers: Sequence[Words]) -> Array:
        """The reward of each answer to the prompt beside it, float32 [texts]. The same text is asked about once.

        Raises Unavailable where the server does not answer, InvalidInput where it refuses or says something else.
        """
        keys = [json.dumps((prompt, answer)) for prompt, answer in zip(prompts, answers, strict=True)]
        first = {key: at for at, key in reversed(list(enumerate(keys)))}
        asked = sorted(first.values())
        step = self._endpoint.texts_a_call
        calls = [asked[begin : begin + step] for begin in range(0, len(asked), step)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            said = list(
                pool.map(lambda call: self._called([prompts[at] for at in call], [answers[at] for at in call]), calls)
            )
        reward = dict(zip(asked, (one for some in said for one in some), strict=True))
        return np.array([reward[first[key]] for key in keys], np.float32)

    def _called(self, prompts: Sequence[Words], answers: Sequence[Words]) -> list[float]:
        """What the server says of one call's texts."""
        try:
            response = self._client.post(self._url, json=self._endpoint.asks(self._model, prompts, answers))
        except httpx2.RequestError as error:
            raise Unavailable(f"{self._shown} does not answer: {error}") from None
        if response.status_code >= 500 or response.status_code == 429:
            raise Unavailable(f"{self._shown} fails with {response.status_code}: {response.text[:_MOST_SAID]}")
        if response.status_code >= 400:
            raise InvalidInput(f"{self._shown} refuses with {response.status_code}: {response.text[:_MOST_SAID]}")
        try:
            found = [_number(one) for one in self._endpoint.reads(response.json())]
        except (ValueError, LookupError, TypeError) as error:
            raise InvalidInput(f"{self._shown} does not say rewards: {error}") from None
        if len(found) != len(answers):
            raise InvalidInput(
                f"{self._shown}: {many(len(answers), 'answer')} sent, and {many(len(found), 'reward')} came back"
            )
        return found


def _number(said: Any) -> float:
    """The one number of an answer, however deep it lies. Raises ValueError for several: that is no reward model."""
    while isinstance(said, list):
        if len(said) != 1:
            raise ValueError(f"{len(said)} numbers of one answer, where a reward model gives one")
        (said,) = said
    if isinstance(said, bool) or not isinstance(said, int | float) or not np.isfinite(said):
        raise ValueError(f"{said!r} is no reward")
    return float(said)


def opened(content: bytes, folder: Path | None) -> Margins:
    """The model of a manifest that names an address, ready to score."""
    model = Remote(json.loads(manifest_of(content).settings)["url"])

    def score(shown: Shown) -> Array:
        prompts, first, second = zip(*map(texts.read, shown.pairs()), strict=True)
        reward = model.rewards(prompts * 2, first + second)
        return reward[: len(prompts)] - reward[len(prompts) :]

    return score
