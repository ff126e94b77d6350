"""Sentences that say which answer is better, and lines that are a letter alone. PURE.

Strict on what counts as a claim, lax on what counts against it: a sentence that is hedged is no claim, but where it speaks for
the other answer it makes the verdict doubtful.
"""

import re
from collections.abc import Iterator
from typing import Literal

Letter = Literal["A", "B"]

# Longer sentences are argument, not verdict.
_LONGEST = 600
_CALLED = (
    r"(?:the\s+)?(?:answer|assistant|response|option|candidate|model)?\s*[\"'“*`(\[]*(?-i:([AB]))[\"'”*`)\]]*"
    r"(?:['’]s\s+(?:answer|response))?"
)
_OTHER = _CALLED.replace("([AB])", "[AB]")
_BETTER = (
    r"(?:the\s+)?(?:clear(?:ly)?\s+|slightly\s+|much\s+|far\s+|definitely\s+|overall\s+|marginally\s+|simply\s+|a\s+(?:bit|little)\s+)*"
    r"(?:better|best|superior|stronger|preferable|preferred|winner|more\s+(?:helpful|accurate|correct|useful))"
    r"(?:\s+(?:one|answer|response|assistant|choice|option|of\s+the\s+two))?(?:\s+overall)?"
)
_FOR = rf"(?:is|was)\s+{_BETTER}|wins|won|(?:gives|provides|has)\s+the\s+better\s+(?:answer|response)"
_TAIL = (
    r"(?:\s+than\s+"
    + _OTHER
    + r")?(?:\s*[,:–—-]?\s*(?:because|since|as|due\s+to|for|thanks\s+to|by)\b.*)?[\s.!*_`\"']*"
)
_LEAD = (
    r"[\s>#*_`\"'-]*(?:(?:so|thus|therefore|overall|hence|(?:of|between)\s+the\s+two|in\s+(?:my\s+opinion|summary|conclusion|short|the\s+end)|"
    r"after\s+(?:careful(?:ly)?\s+)?(?:comparing|comparison|consideration)[^,.!?]{0,60}|i\s+(?:think|believe|conclude|judge|would\s+say|say|find)(?:\s+that)?|to\s+conclude|my\s+verdict\s+is\s+that)[\s,:]+)*"
)
_CLAIM = re.compile(rf"{_LEAD}{_CALLED}\s+(?:{_FOR}){_TAIL}", re.IGNORECASE | re.DOTALL)
_CHOSEN = re.compile(
    rf"{_LEAD}(?:i|we)(?:['’]d)?\s+(?:would\s+|will\s+)?(?:choose|prefer|pick|select|chose|go\s+with|vote\s+for)\s+{_CALLED}"
    r"(?:\s+over\s+" + _OTHER + rf")?{_TAIL}",
    re.IGNORECASE | re.DOTALL,
)
_TURNED = re.compile(
    rf"{_LEAD}(?:the\s+)?(?:better|best|superior|preferred|stronger)\s+(?:one|answer|response|assistant|choice|option)?\s*"
    rf"(?:is|:)\s*{_CALLED}{_TAIL}",
    re.IGNORECASE | re.DOTALL,
)
# In a claim itself any of these makes it none.
_HEDGED = re.compile(
    r"\b(?:not|n't|never|neither|nor|if|unless|but|however|although|though|while|whereas|might|may|could|would\s+be|or|both|"
    r"equal(?:ly)?|tie|hard\s+to\s+say|unclear|yet)\b|n't\b",
    re.IGNORECASE,
)
# Whatever speaks for an answer, however it is hedged.
_LOOSE = re.compile(
    rf"(?-i:\b([AB])\b)[\"'”*`)\]]*\s+(?:is|was|seems|looks|might\s+be|may\s+be|could\s+be)\s+(?:\w+\s+){{0,2}}?{_BETTER}"
    r"|(?-i:\b([AB])\b)[\"'”*`)\]]*\s+(?:wins|won)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[^.!?;\n]+(?:[.!?;]+|\n|$)")
_BARE = re.compile(
    r"^[ \t>*_`\"'(\[]*+(?:(?i:the[ \t]+)?(?i:answer|assistant|response|option)[ \t]+)?[*_`\"'(\[]*+([AB])[ \t*_`\"')\].!]*+\r?$",
    re.MULTILINE,
)


def claimed(text: str) -> Iterator[tuple[int, Letter]]:
    """(where the letter stands, letter) of each sentence that plainly says that an answer is better."""
    for sentence in _SENTENCE.finditer(text):
        if len(sentence[0]) > _LONGEST:
            continue
        match = _CLAIM.fullmatch(sentence[0]) or _CHOSEN.fullmatch(sentence[0]) or _TURNED.fullmatch(sentence[0])
        if match and not _hedged(sentence[0], match.end(1)):
            yield sentence.start() + match.start(1), "A" if match[1] == "A" else "B"


def disputed(text: str, letter: Letter) -> bool:
    """Whether anything in the text, however hedged, speaks for the other answer."""
    return any((match[1] or match[2]) != letter for match in _LOOSE.finditer(text))


def bare_lines(text: str) -> Iterator[tuple[int, Letter]]:
    """(where the letter stands, letter) of each line that is the letter alone, perhaps with "Answer" before it."""
    for match in _BARE.finditer(text):
        yield match.start(1), "A" if match[1] == "A" else "B"


def _hedged(sentence: str, named_at: int) -> bool:
    """What stands behind "because" may say what it likes of the reasons."""
    reason = re.search(r"\b(?:because|since|due\s+to)\b", sentence[named_at:], re.IGNORECASE)
    return bool(_HEDGED.search(sentence[: named_at + reason.start()] if reason else sentence))
