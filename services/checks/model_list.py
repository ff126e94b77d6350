"""The texts of a list that a model was asked for: JSON, or else lines with numbers or dashes. Pure."""

import json
import re
from collections.abc import Sequence

_ITEM = re.compile(r"^\s*(?:\d{1,2}[.)]|[-*•])\s+(.+?)\s*$", re.M)
_FENCE = re.compile(r"^```\w*\s*|\s*```$")


def listed(answer: str) -> Sequence[str]:
    """The texts as they stand there; none where the answer holds no list."""
    text = _FENCE.sub("", answer.strip())
    try:
        held = json.loads(text[text.index("[") : text.rindex("]") + 1])
    except (ValueError, RecursionError):
        held = None
    if isinstance(held, list):
        return [one for one in held if isinstance(one, str)]
    return [one.strip("\"'“” ") for one in _ITEM.findall(answer)]


def same(text: str) -> str:
    """What is equal for texts that differ in case, spaces and signs alone."""
    return re.sub(r"\W+", " ", text.lower()).strip()
