"""The tests' endpoint, which follows its examples: it takes the answer whose words people chose elsewhere.

Without examples it is the endpoint that it always was. It notes the cases that it was shown with each question.
"""

import json
import re
from collections import Counter
from typing import Any

from tests.endpoint import _SHOWN
from tests.scoring_endpoint import ScoringEndpoint

_CASE = re.compile(
    r"<case (\d) (\w{8})>\nConversation: (.*?)\n\nAnswer A: (.*?)\n\nAnswer B: (.*?)\n\nPeople chose: ([AB])\n</case \1 \2>",
    re.DOTALL,
)


class TaughtEndpoint(ScoringEndpoint):
    """`lessons`: of each question with examples (A, B, [(answer that people chose, the other one)])."""

    def __init__(self, **behaviour: Any) -> None:
        super().__init__(**behaviour)
        self.lessons: list[tuple[str, str, list[tuple[str, str]]]] = []

    def _completion(self, body: dict[str, Any], prompt: str, bad: bool) -> dict[str, Any]:
        cases = [(a, b) if chosen == "A" else (b, a) for _, _, _, a, b, chosen in _CASE.findall(prompt)]
        if not cases or bad:
            return super()._completion(body, prompt, bad)
        shown = _SHOWN.search(prompt)
        assert shown, "the prompt does not show two answers"
        self.lessons.append((shown[1], shown[2], cases))
        liked: Counter[str] = Counter()
        for chosen, other in cases:
            liked.update(chosen.split())
            liked.subtract(other.split())
        worth = [sum(liked[word] for word in set(text.split())) for text in (shown[1], shown[2])]
        said = {"reason": "As people have it.", "winner": "A" if worth[0] > worth[1] else "B", "confidence": 0.9}
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": json.dumps(said)}}
        usage = {"prompt_tokens": len(prompt) // 4, "completion_tokens": 12}
        return {"id": "c", "object": "chat.completion", "model": body["model"], "choices": [choice], "usage": usage}
