"""Words as they are compared: one spelling for what people write in many. Pure."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache


def _list(words: str) -> list[str]:
    return words.split()


UNITS = _list(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
TENS = _list("twenty thirty forty fifty sixty seventy eighty ninety")
SMALL = {word: value for value, word in enumerate(UNITS)} | {word: 20 + 10 * at for at, word in enumerate(TENS)}
LARGE = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_FIRST = _list("first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth")
ORDINALS = {
    **{word: at for at, word in enumerate(_FIRST, start=1)},
    **{word + "th": value for word, value in SMALL.items() if 14 <= value <= 19},
    **{word[:-1] + "ieth": value for word, value in SMALL.items() if value >= 20},
}
ROMAN = {"ii": "2", "iii": "3", "iv": "4", "vi": "6", "vii": "7", "viii": "8", "ix": "9"}
# One spelling for what is written in several.
ALIKE = ROMAN | {
    "metres": "meter",
    "metre": "meter",
    "meters": "meter",
    "feet": "foot",
    "centre": "center",
    "theatre": "theater",
}
ALIKE |= {"km": "kilometer", "kilometres": "kilometer", "kilometers": "kilometer", "percent": "%", "colour": "color"}
ARTICLES = {"a", "an", "the"}
# Words that carry no answer: a gold word among them may be missing.
LIGHT = ARTICLES | set(
    _list(
        "of in on at to for and or by with from as is was were are be been it its his her their this that he she they "
        "which who whom mr mrs ms dr sir lord lady st saint jr sr"
    )
)
# "Mathieu1.", "[2]", "in Ohio.3"
_FOOTNOTE = re.compile(r"(?<=[a-z]{2})\d{1,2}(?=\s?[.,;:!?)]|$)|\[\d{1,3}\]|(?<=[a-z][.!?])\d{1,2}(?=\s|$)")
# "1979–80" is 1979 and 1980; "onSeptember" lost its blank.
_SEASON = re.compile(r"\b(\d\d)(\d\d)\s?[-–/]\s?(\d\d)\b")
_JOINED = re.compile(r"(?<=[a-z]{2})(?=[A-Z][a-z]{3})")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_ORDINAL = re.compile(r"\b(\d{1,9})(?:st|nd|rd|th)\b")
_GLUED = re.compile(r"(?<=\d)(?=[a-z])|(?<=[a-z]{2})(?=\d)")
_MILLIONS = re.compile(r"([$€£]\s?\d[\d.]{0,12})\s?m\b")
_INITIALS = re.compile(r"(?<![a-z])(?:[a-z]\.\s?){2,6}(?![a-z]\.)")
_APART = re.compile(r"[^\w%$€£]+|_")
_DECIMAL = re.compile(r"(?<=\d)\.(?=\d)")


def plain(text: str) -> str:
    """Lower case without accents or marks, one kind of quote and of dash."""
    text = unicodedata.normalize("NFKD", text).lower()
    if not text.isascii():
        text = "".join(letter for letter in text if not unicodedata.combining(letter))
        text = text.translate(_QUOTES)
    return text


_QUOTES = str.maketrans(
    {"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "−": "-", "ı": "i", "ø": "o", "ß": "ss"}
)


def words_of(text: str) -> list[str]:
    """The words of a text as they are compared; numbers in digits, ordinals as numbers, no articles. Linear in the text."""
    text = _SEASON.sub(r"\1\2 \1\3", _JOINED.sub(" ", text))
    text = _MILLIONS.sub(r"\1 million", _FOOTNOTE.sub(" ", _THOUSANDS.sub("", plain(text))))
    text = _INITIALS.sub(lambda found: found[0].replace(".", "").replace(" ", "") + " ", text)
    text = _GLUED.sub(" ", _ORDINAL.sub(r"\1 ", text))
    text = _DECIMAL.sub("point", text.replace("'s ", " ").replace("&", " and ")).replace("'", "")
    said = [word for word in _APART.split(text) if word and word not in ARTICLES]
    return _shortened([ALIKE.get(word, word) for word in numbers_in_digits(said)])


def _shortened(words: list[str]) -> list[str]:
    """States that go by their letters."""
    out: list[str] = []
    for word in words:
        if word in ("kingdom", "states") and out[-1:] == ["united"]:
            out[-1] = "uk" if word == "kingdom" else "usa"
        elif word == "america" and out[-2:] == ["usa", "of"]:
            out.pop()
        else:
            out.append(word)
    return out


def _times(count: str, word: str) -> str | None:
    """The value of "50", "million"; None where they are no number together."""
    if word not in LARGE or not count.replace("point", "", 1).isdigit() or len(count) > 12:
        return None
    value = float(count.replace("point", ".")) * LARGE[word]
    return str(round(value)) if value >= 1 else None


def numbers_in_digits(words: Iterable[str]) -> list[str]:
    """Number words replaced by their value: "twenty", "five" become "25"; "third" becomes "3"."""
    out: list[str] = []
    total = current = 0
    open_ = False  # inside a number
    for word in [*words, ""]:
        if word in SMALL and not (open_ and current % 10 and SMALL[word] < 10):
            current, open_ = current + SMALL[word], True
        elif word in LARGE and not open_ and out and (value_ := _times(out[-1], word)):
            out[-1] = value_
        elif word in LARGE and open_:
            if word == "hundred":
                current = (current or 1) * 100
            else:
                total, current = total + (current or 1) * LARGE[word], 0
        elif word == "and" and open_ and current % 100 == 0 and (current or total):
            continue
        else:
            value = total + current
            if word in ORDINALS and (not open_ or (current % 10 == 0 and ORDINALS[word] < 10)):
                out.append(str(value + ORDINALS[word]))
            else:
                out += [str(value)] * open_
                if word in SMALL:
                    total, current = 0, SMALL[word]
                    continue
                out += [word] * bool(word)
            total, current, open_ = 0, 0, False
    return out


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """A word without the endings of plurals and verbs; rough, and the same on both sides."""
    if len(word) <= 3 or not word.isalpha():
        return word
    for ending, least in (("ies", 2), ("ing", 4), ("ed", 4), ("es", 4), ("s", 3)):
        if word.endswith(ending) and len(word) - len(ending) >= least and not word.endswith("ss"):
            return word[: -len(ending)] + ("y" if ending == "ies" else "")
    return word.removesuffix("e") if len(word) > 4 else word


def heavy(words: Iterable[str]) -> list[str]:
    """Those that carry an answer."""
    return [word for word in words if word not in LIGHT]
