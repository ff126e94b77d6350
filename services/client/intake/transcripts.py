"""Conversations written as one text, `Human: …` and `Assistant: …` a paragraph each, as HH-RLHF and Nectar hold them. PURE."""

import re

_BEGINS = re.compile(r"\s{0,20}(?:Human|User):")
_TURN = re.compile(r"(?:\A\s{0,20}|\n\n)(Human|User|Assistant|System):")
_ROLES = {"Human": "user", "User": "user", "Assistant": "assistant", "System": "system"}


def is_transcript(text: object) -> bool:
    """Whether the text is a conversation that the human begins and in which the assistant speaks."""
    return isinstance(text, str) and bool(_BEGINS.match(text)) and "\n\nAssistant:" in text


def turns_of(text: str) -> list[dict[str, str]]:
    """The messages of a transcript, each without the blanks around it."""
    marks = list(_TURN.finditer(text))
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return [
        {"role": _ROLES[mark[1]], "content": text[mark.end() : end].strip()}
        for mark, end in zip(marks, ends, strict=True)
    ]


def opening_of(text: str) -> list[dict[str, str]]:
    """The messages of a transcript that is to be gone on with: a last turn of the assistant that is empty is left out."""
    turns = turns_of(text)
    return turns[:-1] if turns and turns[-1] == {"role": "assistant", "content": ""} else turns
