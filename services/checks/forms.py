"""Which form a right answer has: a number, a list, a formula, a few words, or a text that nobody can check. Pure."""

import re

# "New York City Ballet's Nutcracker" is an answer; what is longer is a text to compare with.
MOST_WORDS = 10
MOST_CHARACTERS = 100
_ITEM_WORDS = 5
_MONTHS = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-zé]*"
_DIGITS = r"[-+−–]?(?:\d{1,3}(?:[,.' \u202f]\d{3})+(?:[.,]\d{1,9})?|\d{1,30}(?:[.,]\d{1,30})?|\.\d{1,30})"
# One number: with a currency before it or a unit of at most two words behind it, as a fraction, a power, or worked out.
_NUMBER = re.compile(
    rf"(?:[~≈]|about |approximately )?[$€£¥]?\s?{_DIGITS}(?:\s?[/^]\s?{_DIGITS})?(?:\s?(?:e|[x×*]\s?10\^?)\s?[-+−]?\d+)?"
    r"\s?(?:%|[$€£¥]|°\s?[CFK]?|[a-zµΩ²³/]+(?:\s(?:per\s)?[a-zµ²³/]+)?)?\.?",
    re.I,
)
_SUM = re.compile(rf"[-+−*/×÷^().\s\d]+=\s*{_DIGITS}\s?\S{{0,6}}")
_DURATION = re.compile(rf"{_DIGITS}\s?(?!by|x|to)[a-z]+(?:,?\s(?:and\s)?{_DIGITS}\s?[a-z]+)+", re.I)
_DATE = re.compile(
    rf"\d{{1,2}}(?:st|nd|rd|th)?\.?\s{_MONTHS}\b|\b{_MONTHS}\.?\s\d{{1,2}}|\d{{4}}s|\d{{1,2}}(?:st|nd|rd|th)\b", re.I
)
_SYMBOLS = re.compile(
    r"\\[a-z]{2,}|\w\s?[=^≤≥≠]\s?[\w\\(-]|[√∞∫∑]|\$[^$]*[\\^=_][^$]*\$|\b(?:sqrt|sin|cos|tan|log|ln)\s?\(|\b\d{0,9}[a-z]\s?[-+*/]\s?\d",
    re.I,
)
_SENTENCE = re.compile(r"[a-z]{4,}[.!?]\s+[A-Z]|\n|\s[/|]\s.*\s[/|]\s")
_APART = re.compile(r"\s*[,;|]\s*(?:and\s+)?")


def is_number(text: str) -> bool:
    """One number, perhaps with its unit; no date."""
    text = text.strip()
    if len(text) > MOST_CHARACTERS or _DATE.search(text):
        return False
    return any(form.fullmatch(text) for form in (_NUMBER, _SUM, _DURATION))


def is_year(text: str) -> bool:
    """A number that could be a year."""
    return bool(re.fullmatch(r"1\d{3}|20\d{2}", text.strip()))


def is_symbolic(text: str) -> bool:
    """A formula."""
    return len(text) <= 4 * MOST_CHARACTERS and bool(_SYMBOLS.search(text))


def is_short(text: str) -> bool:
    """A name, a date, a few words: no sentence and no verse."""
    words = text.split()
    return 0 < len(words) <= MOST_WORDS and len(text) <= MOST_CHARACTERS and not _SENTENCE.search(text.strip())


def items_of(text: str) -> tuple[str, ...]:
    """The items of a list that is written as one text; empty where it is none."""
    if _DATE.search(text) or is_number(text):
        return ()
    items = [item.strip() for item in _APART.split(text.strip().rstrip("."))]
    return tuple(items) if len(items) > 1 and all(0 < len(item.split()) <= _ITEM_WORDS for item in items) else ()


def letter_of(text: str) -> int:
    """Which option a bare letter or number names, from 0; -1: it names none."""
    found = re.fullmatch(r"[(\[]?\s*([A-Za-z]|\d{1,2})\s*[)\].:]?", text.strip())
    if not found:
        return -1
    return int(found[1]) - 1 if found[1].isdecimal() else ord(found[1].upper()) - ord("A")
