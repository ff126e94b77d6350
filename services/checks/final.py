"""Where a response says its final answer. Pure.

Patterns here repeat at most a bounded number of times, so that no text takes more than linear time.
"""

import re
from dataclasses import dataclass

# What a checker reads of a response at most; a longer one is a file that slipped in.
MAX_CHARACTERS = 200_000
# A final answer is no longer than this.
MAX_ANSWER = 400

_THOUGHT_ENDS = re.compile(r"</(?:think|thinking|thought|reasoning|scratchpad)>", re.I)
_THOUGHT_BEGINS = re.compile(r"<(?:think|thinking|thought|reasoning|scratchpad)>", re.I)
_TAGGED = re.compile(r"<(?:final_)?answer>\s{0,9}([^<]{1,400})", re.I)
_IN_JSON = re.compile(
    r'"(?:final_?)?(?:answer|choice|option|result)"\s{0,9}:\s{0,9}("[^"\n]{1,400}"|-?[\d.]{1,40})', re.I
)
_HASHES = re.compile(r"####?[ \t]{0,9}(?![#\s])([^\n]{1,400})")
_BOXED = re.compile(r"\\(?:boxed|fbox)\s{0,3}\{")
# "Answer:", "So my final answer -", "A:" at the beginning of a line.
_LABELLED = re.compile(
    r"(?:^|\n)[ \t>#*_-]{0,9}(?:(?:so|thus|hence|therefore|conclusion)[,:]?[ \t]{1,3})?"
    r"(?:(?:the|my|your|our|final|correct|right|short)[ \t]{1,3}){0,3}"
    r"(?:a|ans|answer|solution|result|conclusion|response|choice)[*_]{0,3}[ \t]{0,3}"
    r"(?:[:=→]|-(?![\d.]))[*_ \t]{0,9}\n?[ \t]{0,9}([^\n]{1,400})",
    re.I,
)
# "The answer to … is", "the result would be".
_STATED = re.compile(
    r"\b(?:answer|solution|result|total|conclusion)(?:[ \t]{1,3}(?:to|of|for)[ \t]{1,3}[^\n.?!]{1,80}?)?[ \t*_]{0,3}"
    r"(?:\bis|\bwas|\bwould be|\bshould be|\bmust be|\bcomes to|\bequals|\bamounts to)\b[ \t:*_]{0,9}\n{0,2}([^\n]{1,400})",
    re.I,
)


@dataclass(frozen=True)
class Final:
    """The words in which a response gives its answer."""

    text: str
    explicit: bool  # in a form that is kept for final answers: boxed, ####, a tag, a line "Answer:"
    where: str  # that form, in a few words; empty where the response has none


def without_thoughts(response: str) -> str:
    """What follows the thinking that some models print before they answer."""
    ends = [found.end() for found in _THOUGHT_ENDS.finditer(response)]
    if ends:
        return response[ends[-1] :]
    begins = _THOUGHT_BEGINS.search(response)
    return response[: begins.start()] if begins else response


def boxed(text: str) -> list[str]:
    """What stands in each `\\boxed{…}`, in order; of one that is never closed the rest of its line. Linear in the text."""
    out, open_from = [], -1
    for found in _BOXED.finditer(text):
        if found.start() < open_from:
            continue  # inside of the one before
        end = _closing_brace(text, found.end())
        out.append(text[found.end() : end].strip())
        open_from = end
    return out


def _closing_brace(text: str, start: int) -> int:
    depth = 1
    for at in range(start, min(len(text), start + MAX_ANSWER)):
        depth += (text[at] == "{") - (text[at] == "}")
        if not depth or text[at] == "\n":
            return at
    return min(len(text), start + MAX_ANSWER)


# In the order in which they count; of each the last in the response.
_FORMS = (
    ("in a box", lambda text: boxed(text)),
    ("after ####", lambda text: [found[1] for found in _HASHES.finditer(text)]),
    ("in an answer tag", lambda text: [found[1] for found in _TAGGED.finditer(text)]),
    ('in the field "answer"', lambda text: [found[1].strip('"') for found in _IN_JSON.finditer(text)]),
    ('after "answer:"', lambda text: [found[1] for found in _LABELLED.finditer(text)]),
)


def explicit_answers(response: str) -> tuple[list[str], str]:
    """All final answers in the first form that the response has, in order, and the form's name; none: ([], "")."""
    text = without_thoughts(response)
    for where, found_in in _FORMS:
        if found := [answer for answer in found_in(text) if answer]:
            return found, where
    return [], ""


def final_answer(response: str) -> Final:
    """The last words in which the response gives its answer: an explicit form, "the answer is", else its last sentence."""
    found, where = explicit_answers(response)
    if found:
        return Final(found[-1], True, where)
    text = without_thoughts(response)
    if stated := [found[1] for found in _STATED.finditer(text)]:
        return Final(stated[-1], False, 'after "the answer is"')
    return Final(last_sentence(text), False, "")


def last_sentence(text: str) -> str:
    """The last line that says something, from its last sentence on."""
    text = text.rstrip()
    line = text[text.rfind("\n") + 1 :][-2000:]
    cut = max(line.rfind(end, 0, -1) for end in (". ", "! ", "? "))
    return line[cut + 2 :] if cut >= 0 else line
