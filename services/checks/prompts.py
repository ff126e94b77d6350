"""What a prompt asks for, told from its words: options to choose from, harm, a text that nobody can check. Pure.

Every answer here leans to "no": a prompt that is not understood goes to the judge.
"""

import re

# More text than this before the question is material, not the request.
_LOOKED_AT = 8_000
_LETTERS = "ABCDEFGHIJ"
_ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X")
# A label of an option: `A)`, `(a)`, `[A]`, `A.`, `A:`, `A -`, `1.`; at a line's beginning, or inside the text with a bracket.
_LINE = re.compile(
    r"(?m)^[ \t]*(?:[-*•][ \t]*)?([(\[]?)([A-Ja-j]|\d{1,2}|[ivx]{1,4})([)\].:]|[ \t]-|[ \t]{2,})[ \t]*(\S.*?)[ \t]*$"
)
_INLINE = re.compile(r"(?:(?<=\s)|^)([(\[]?)([A-Ja-j]|\d{1,2}|[ivx]{1,4})([)\]])[ \t]*")
_YES_NO = re.compile(
    r"\b(?:answer|reply|respond|say)\b[^.?!\n]{0,30}\byes\b[\"'”]?\s*(?:or|/)\s*[\"'“]?no\b|\byes or no\?|\byes/no\b",
    re.I,
)
_TRUE_FALSE = re.compile(r"\btrue or false\b|\bT\s*/\s*F\b|\btrue/false\b", re.I)
_LABELS = re.compile(
    r"(?:\bone of(?: the(?: following)?)?(?: \w+)?:?|\bas(?: either)?|\boptions:?|\blabels:?|\bcategor(?:y|ies)|"
    r"\bclasses|\bfrom)"
    r"[ \t]*[\[(:]?[ \t]*((?:[\"'“]?[\w-]+(?: [\w-]+){0,2}[\"'”]?(?:, | or |, or |"
    r"/)){1,9}[\"'“]?[\w-]+(?: [\w-]+)?[\"'”]?)[\])]?",
    re.I,
)
_CLASSIFIES = re.compile(
    r"\b(?:classif|categori[sz]|label|sentiment|assign|answer with|options|choose|pick|select)", re.I
)
# Words of a request whose answer is a text of the writer's own.
_OPEN = re.compile(
    r"(?:^|[.!?:;,\n][ \t]*|\b(?:please|kindly|pls|can you|could you|would you|i want you to|i'd like you to|"
    r"help me(?: to)?)[ \t]+)"
    r"(?:(?:please|kindly|and|then|now|briefly)[ \t]+)*"
    r"(?:write(?! down)|compose|draft|suggest|recommend|summari[sz]e|rewrite|rephrase|paraphrase|reword|translate|improve|edit|"
    r"brainstorm|imagine|continue|discuss|argue|convince|persuade|describe|explain|elaborate|compare|contrast|evaluate|"
    r"critique|"
    r"review|invent|design|develop|create|make up|come up|plan|propose|pretend|act as|tell me (?:a|about|why|how)|give (?:me )?"
    r"(?:advice|tips|feedback|your opinion|honest)|teach|outline|reflect|analy[sz]e|justify|prove|show that)\b"
    r"|^\W*(?:why|how (?:do|does|did|can|could|should|would|might|to))\b"
    r"|\b(?:your (?:opinion|thoughts|view|advice|take)|what do you (?:think|make)|in your (?:opinion|view)|do you think|"
    r"should (?:i|we|one)|what would (?:you (?:do|say|recommend|advise|suggest)|happen)|explain (?:why|how|your)|"
    r"in detail|step by step guide)\b",
    re.I,
)


def options_of(prompt: str) -> tuple[str, ...]:
    """The options' words in their order, the first being A; empty where none are offered."""
    text = prompt[-_LOOKED_AT:]
    if _YES_NO.search(text):
        return ("yes", "no")
    if _TRUE_FALSE.search(text):
        return ("true", "false")
    for found in (_lines(text), _inline(text)):
        if len(found) >= 2:
            return found
    return _labels(text)


def is_open(prompt: str) -> bool:
    """Whether the words ask for a text of the writer's own: to write, suggest, explain, advise."""
    return bool(_OPEN.search(ends(prompt)))


def ends(prompt: str) -> str:
    """The beginning and the end of a long prompt, where the request stands: between them lies material."""
    return prompt if len(prompt) <= 4_000 else f"{prompt[:2_000]}\n{prompt[-2_000:]}"


def _lines(text: str) -> tuple[str, ...]:
    run: list[str] = []
    for found in _LINE.finditer(text):
        at = _place(found[2], len(run))
        if at == len(run):
            run.append(found[4])
        elif _place(found[2], 0) == 0:
            run = [found[4]]
    return tuple(run)


def _inline(text: str) -> tuple[str, ...]:
    run: list[tuple[int, int]] = []
    for found in _INLINE.finditer(text):
        at = _place(found[2], len(run))
        if at == len(run):
            run.append(found.span())
        elif _place(found[2], 0) == 0:
            run = [found.span()]
    if len(run) < 2:
        return ()
    ends = [start for start, _ in run[1:]] + [len(text)]
    texts = [text[end:stop].split("\n")[0].strip(" ,;.") for (_, end), stop in zip(run, ends, strict=True)]
    return tuple(texts) if all(0 < len(one) <= 200 for one in texts) else ()


def _place(label: str, expected: int) -> int:
    """Which place a label names, of letters, numbers and Roman numbers the one that is expected; -1: none."""
    if expected < len(_ROMAN) and label.upper() == _ROMAN[expected] and label.islower() and label != "i"[:expected]:
        return expected
    if label.isdecimal():
        return int(label) - 1
    return _LETTERS.find(label.upper()) if len(label) == 1 else -1


def _labels(text: str) -> tuple[str, ...]:
    if not _CLASSIFIES.search(text):
        return ()
    for found in _LABELS.finditer(text):
        parts = [part.strip(" \"'“”") for part in re.split(r", or |, | or |/", found[1])]
        if 2 <= len(parts) <= 10 and all(parts):
            return tuple(parts)
    return ()
