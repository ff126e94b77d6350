"""The tests' endpoint, which also scores an answer alone: the better its hash, the higher, so that scores and verdicts agree.

A pair whose verdict follows the place has scores that do not: they see which answer is better.
"""

import json
import math
import re
from typing import Any

from tests.endpoint import Endpoint, _tokens, share

_ALONE = re.compile(r"<answer (\w{8})>\n(.*)\n</answer \1>", re.DOTALL)


class ScoringEndpoint(Endpoint):
    """`says`: what it answers instead, by a text in the answer that it scores."""

    def __init__(self, says: dict[str, str] | None = None, **behaviour: Any) -> None:
        super().__init__(**behaviour)
        self.says = says or {}

    @property
    def scored(self) -> list[str]:
        """The answers that were shown alone, in the order in which they were asked about."""
        found = (_ALONE.search(body["messages"][0]["content"]) for body in self.requests)
        return [alone[2] for alone in found if alone]

    @staticmethod
    def score(text: str) -> int:
        return 1 + int(10 * share("good", text))

    def _completion(self, body: dict[str, Any], prompt: str, bad: bool) -> dict[str, Any]:
        alone = _ALONE.search(prompt)
        if not alone:
            return super()._completion(body, prompt, bad)
        said = next((said for text, said in self.says.items() if text in alone[2]), None)
        text = said or json.dumps({"reason": "Seen by itself.", "score": self.score(alone[2])})
        if bad:
            text = "I would rather not say."
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "logprobs": None}
        choice["message"] = {"role": "assistant", "content": text}
        if body.get("logprobs"):
            choice["logprobs"] = {"content": _tokens(text, 0.9, body.get("top_logprobs", 0))}
        counted = {"prompt_tokens": len(prompt) // 4, "completion_tokens": len(text) // 4 + 1}
        return {"id": "c", "object": "chat.completion", "model": body["model"], "choices": [choice], "usage": counted}


def digits(text: str, place: str, **probabilities: float) -> list[dict[str, Any]]:
    """Tokens that spell the text, one a word or sign; at the token `place` these scores are listed, as `_8=0.6`."""
    found = _tokens(text, 0.9, 0)
    for token in found:
        if token["token"] == place:
            listed = [{"token": name.strip("_"), "logprob": math.log(p)} for name, p in probabilities.items()]
            token["top_logprobs"] = listed
            token["logprob"] = next(one["logprob"] for one in listed if one["token"] == place)
    return found
