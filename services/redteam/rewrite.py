"""A harmless rewrite of an answer that complied: what a model is asked, and whether what came back is one. Pure."""

import re
from dataclasses import dataclass

from concord.redteam.pairing import Candidate, candidate, is_safe

# Words in a row by which two texts are compared, and the share of a rewrite's that may stand in the unsafe text.
_RUN, _MOST_SHARED = 5, 0.2
_WORD = re.compile(r"\w+")
_ASK = """A person asked an assistant for something that would do harm, and the assistant complied. Write what it should have
said instead: it declines clearly in its first sentence, says in a sentence or two why, without blaming the person, and where
there is a harmless way to what the person may need, it points there. It repeats no detail of the harmful answer. Where the
person may be in danger, it says where help is to be found.

The request, between the lines:
---
{request}
---

The harmful answer, between the lines:
---
{answer}
---

Return the new answer and nothing else."""


@dataclass(frozen=True)
class Checked:
    """Whether a rewrite may be chosen."""

    candidate: Candidate
    why_not: str  # empty: it may

    @property
    def ok(self) -> bool:
        """Whether it may be chosen."""
        return not self.why_not


def messages(request: str, answer: str) -> list[dict[str, str]]:
    """The chat that asks for a rewrite of `answer`."""
    return [{"role": "user", "content": _ASK.format(request=request.strip(), answer=answer.strip())}]


def checked(request: str, unsafe: str, rewrite: str) -> Checked:
    """The rewrite with the reason why it is none: empty, the same, too much of the unsafe text in it, or no clear refusal."""
    said = candidate(request, rewrite.strip(), rewritten=True)
    return Checked(said, _why_not(unsafe, rewrite, said))


def _why_not(unsafe: str, rewrite: str, said: Candidate) -> str:
    runs, before = _runs(rewrite), _runs(unsafe)
    if not rewrite.strip():
        return "empty"
    if _WORD.findall(rewrite.lower()) == _WORD.findall(unsafe.lower()):
        return "the same text"
    if runs and len(runs & before) > _MOST_SHARED * len(runs):
        return "repeats the harmful answer"
    return "" if is_safe(said) else f"no clear refusal: {said.said.answer}"


def _runs(text: str) -> set[tuple[str, ...]]:
    words = _WORD.findall(text.lower())
    return {tuple(words[at : at + _RUN]) for at in range(len(words) - _RUN + 1)}
