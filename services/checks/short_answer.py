"""Does a response give a short answer: a name, a place, a date, a few words. Pure.

The response's words are compared with those of each alternative of the reference. An alternative that stands in the
response, up to spelling, makes it right; hardly any of its words makes it wrong; in between it can't tell. Where the
alternative stands counts as well: denied, put as a question, or one of several candidates does not pass.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from concord.checks import hedges
from concord.checks.final import without_thoughts
from concord.checks.finding import Asked, Finding, Kind, Outcome
from concord.checks.likeness import MAX_WORDS, like
from concord.checks.words import heavy, plain, stem, words_of

# From this share of an alternative's words on, the response may mean it in other words. Tuned on half of the EVOUNA questions.
PERHAPS = 0.3
# From this share on, slips of the pen counted, it says it.
NEARLY = 0.8
# What a word with a slip counts.
LIKE = 0.9
# Alternatives that are looked at.
MAX_ANSWERS = 300
# Of them, those that are compared word by word.
MAX_LIKE = 150
# Sentences that are looked at one by one.
MAX_SENTENCES = 2_000
# Between sentences: after "word.", not after an initial or "St."
_SENTENCE = re.compile(
    r"(?:(?<=[\w)\"'%]{2}[.!?])|(?<=[.!?][\"')\]]))(?<!\bSt\.)(?<!\bMr\.)(?<!\bMs\.)(?<!\bDr\.)(?<!\bMrs\.)(?<!\bNo\.)\s+(?=[A-Z\"'(\[])|\n+"
)
_DATE_OR_FRACTION = re.compile(r"\s*(?:(?:0?\d|1[0-2])/[0-3]?\d/\d{2,4}|\d{1,2}/\d{1,2})\s*")
_ASIDE = re.compile(r"\s?\([^()]{0,80}\)")
# In front of what an alternative names.
_VAGUE = re.compile(
    r"^(?:(?:in|by|on|at|from|during|since|to|of|for|as|the|a|an|its|his|her|their|about|around|approximately|roughly|over|nearly|"
    r"almost|early|late|mid|at least|up to|more than|less than|c\.|ca\.|circa)[\s-]+|~\s?){1,4}",
    re.I,
)
_ROLE = re.compile(
    r"^(?:[\w.,'’-]{1,20} ){0,4}(?:president|minister|king|queen|prince|princess|emperor|pope|captain|master|general|colonel|"
    r"major|admiral|professor|philosopher|physicist|chemist|botanist|biologist|actor|actress|singer|band|duo|group|rapper|author|writer|"
    r"composer|painter|director|senator|governor|justice|judge|sir|lord|lady|baron|baroness|duke|duchess|dr\.?|mr\.?|mrs\.?|"
    r"republic of|city of|state of|kingdom of) (?=(?:the )?[A-Z])",
    re.I,
)
_ERRATA = re.compile(r"\b(?:errata|note|accept|nb)\s?[:.].*", re.I | re.S)
# "Surrey, England" is found by its first part; "March 31, 2017" is not.
_PLACE = re.compile(r"([A-Z][^,\d]{3,60}),\s[^\d,]{2,60}(?:,\s[^\d,]{2,60})?")
_NEGATED_QUESTION = re.compile(r"n't\b|\b(?:not|dont|never|without|except|unlike|wrong|false)\b", re.I)


@dataclass(frozen=True)
class Sentence:
    """A sentence of a response, with its words as they are compared."""

    text: str
    stems: frozenset[str]
    spaced: str  # its words with a blank around each


@dataclass(frozen=True)
class Reading:
    """What a response says, made ready to be compared with many alternatives."""

    text: str
    spaced: str  # all its words with a blank around each
    stemmed: str
    glued: str
    stems: frozenset[str]
    question: frozenset[str]  # stems of the prompt's words
    some: tuple[str, ...]  # of the stems, as many as are compared letter by letter

    @cached_property
    def sentences(self) -> tuple[Sentence, ...]:
        """Its first MAX_SENTENCES."""
        return tuple(_sentence(one) for one in _SENTENCE.split(self.text)[:MAX_SENTENCES] if one.strip())


def alternatives(answer: str) -> tuple[str, ...]:
    """The alternatives of an answer that separates them by "/", as some data sets do; not that of a date or fraction."""
    if _DATE_OR_FRACTION.fullmatch(answer):
        return (answer,)
    found = [one.strip(" \"'") for one in answer.split("/")]
    found = [one for one in found if one and "(disambiguation" not in one]
    # What a slash within one alternative leaves over.
    long = any(len(one) > 3 for one in found)
    return tuple(dict.fromkeys(one for one in found if not long or len(one) > 2 or one.isdigit()))


def check(asked: Asked) -> Finding:
    """Against every alternative of the reference; the best one counts."""
    golds = list(dict.fromkeys(gold for answer in asked.reference.answers[:MAX_ANSWERS] for gold in _golds(answer)))
    if not golds:
        return _told(Outcome.UNKNOWN, "the reference holds no words")
    said = reading(asked.prompt, asked.response)
    unsaid = ""
    for gold in golds:
        if _stands_in(gold, said):
            why = _kept_open(gold, said, bool(_NEGATED_QUESTION.search(asked.prompt[-2000:])))
            if not why:
                return _told(Outcome.RIGHT, f"it says {_quoted(gold)}", 1.0)
            unsaid = why
    if unsaid:
        return _told(Outcome.UNKNOWN, unsaid)
    share, best = max((recall(gold, said), gold) for gold in golds[:MAX_LIKE])
    if share >= NEARLY and len("".join(best)) > 4:
        return _told(Outcome.RIGHT, f"it says {_quoted(best)}, nearly", 1.0)
    if share >= PERHAPS:
        return _told(Outcome.UNKNOWN, f"it says something like {_quoted(best)}", min(share, NEARLY))
    return _told(Outcome.WRONG, f"it does not say {_quoted(golds[0])}", share)


def reading(prompt: str, response: str) -> Reading:
    """A response made ready."""
    text = without_thoughts(response)
    words = words_of(text)
    stems = [stem(word) for word in words]
    asked = frozenset(stem(word) for word in words_of(prompt[-5000:]))
    some = tuple(dict.fromkeys(stems))[:MAX_WORDS]
    return Reading(text, _spaced(words), _spaced(stems), "".join(words), frozenset(stems), asked, some)


def _sentence(text: str) -> Sentence:
    words = words_of(text)
    return Sentence(text, frozenset(map(stem, words)), _spaced(words))


def _spaced(words: Sequence[str]) -> str:
    return f" {' '.join(words)} "


def _golds(answer: str) -> list[tuple[str, ...]]:
    """The words of an alternative, and of a place without what it lies in."""
    place = _PLACE.fullmatch(answer.strip())
    return [gold for one in [answer, *([place[1]] if place else [])] if (gold := _gold(one))]


@lru_cache(maxsize=10_000)
def _gold(answer: str) -> tuple[str, ...]:
    whole = _ERRATA.sub("", answer[:300]).strip()
    bare = _VAGUE.sub("", _ASIDE.sub("", whole))
    if role := _ROLE.match(bare):
        bare = bare[role.end() :]
    return tuple(words_of(bare) or words_of(whole))


def _stands_in(gold: tuple[str, ...], said: Reading) -> bool:
    stems = [stem(word) for word in gold]
    if all(one in said.question for one in stems):
        return False
    if _spaced(gold) in said.spaced or _spaced(stems) in said.stemmed:
        return True
    glued = "".join(gold)
    if (len(glued) >= 6 and not glued.isdigit() and glued in said.glued) or (
        len(gold) > 1 and f" {glued} " in said.spaced
    ):
        return True
    return _as_name(gold, said) or _by_initials(gold, said) or _in_one_sentence(stems, said) or _in_brief(gold, said)


def _in_one_sentence(stems: Sequence[str], said: Reading) -> bool:
    """All words that carry the answer, in any order: "31 March 2017"."""
    wanted = set(heavy(stems))
    return len(wanted) > 1 and wanted <= said.stems and any(wanted <= sentence.stems for sentence in said.sentences)


def _as_name(gold: tuple[str, ...], said: Reading) -> bool:
    """A name of three words and more, without those in the middle."""
    main = heavy(gold)
    if len(main) < 3 or not all(word.isalpha() for word in main):
        return False
    return f" {main[0]} {main[-1]} " in said.spaced


def _by_initials(gold: tuple[str, ...], said: Reading) -> bool:
    """ "B. R. Ambedkar" for Bhimrao Ramji Ambedkar."""
    if len(gold) != 2 or not 1 <= len(gold[0]) <= 3 or len(gold[1]) < 4 or f" {gold[1]} " not in said.spaced:
        return False
    words = said.spaced.split()
    count = len(gold[0])
    return any(
        word == gold[1] and "".join(one[0] for one in words[max(0, at - count) : at]) == gold[0]
        for at, word in enumerate(words[:5000])
    )


def _in_brief(gold: tuple[str, ...], said: Reading) -> bool:
    """A response of a few words, all of them the alternative's, and half of its at least: a surname, a short title."""
    words = [stem(word) for word in heavy(said.spaced[:200].split())[:8]]
    main = [stem(word) for word in heavy(gold)]
    if not main or not 0 < len(words) <= 4 or len(words) * 2 < len(main) or any(word.isdigit() for word in main):
        return False
    fresh = [word for word in words if word not in said.question]
    return bool(fresh) and main[-1] in fresh and all(word in main for word in words)


def recall(gold: tuple[str, ...], said: Reading) -> float:
    """The share of an alternative's words that the response has, 0 to 1; the question's words left out, long ones weigh more."""
    wanted = [word for word in heavy(gold) if stem(word) not in said.question]
    numbers = [word for word in wanted if word[0].isdigit()]
    if not wanted or (numbers and not any(f" {word} " in said.spaced for word in numbers)):
        return 0.0
    return sum(_weight(word) * _said(stem(word), said) for word in wanted) / sum(map(_weight, wanted))


def _said(stemmed: str, said: Reading) -> float:
    if stemmed in said.stems:
        return 1.0
    return LIKE if like(stemmed, said.some) else 0.0


def _weight(word: str) -> float:
    return 6.0 if word[0].isdigit() else float(min(len(word), 9) ** 0.5)


def _kept_open(gold: tuple[str, ...], said: Reading, negated: bool) -> str:
    """Why what stands there does not count; empty where it does, in one sentence at least."""
    wanted, why = {stem(word) for word in gold}, ""
    holding = [sentence for sentence in said.sentences if wanted <= sentence.stems] or list(said.sentences[:1])
    for sentence in holding:
        text, start, end = _place(gold, sentence.text)
        denied = hedges.denied_closely if negated else hedges.denied
        if denied(text, start, end) or sentence.text.rstrip(" \"')").endswith("?"):
            why = f"it denies or asks {_quoted(gold)}"
        elif hedges.either(text, start, end, sentence.text):
            why = f"{_quoted(gold)} is one of several that it names"
        elif len(said.sentences) == 1 and _in_bare_list(sentence.text):
            why = f"{_quoted(gold)} is one of a list"
        else:
            return ""
    return why


def _in_bare_list(sentence: str) -> bool:
    """Four items and more with nothing but commas between them, as candidates are listed."""
    items = re.split(r",|\bor\b|\band\b", sentence)
    return len(items) >= 4 and all(len(item.split()) <= 5 for item in items)


def _place(gold: tuple[str, ...], sentence: str) -> tuple[str, int, int]:
    """(sentence in plain letters, from where to where the alternative stands in it, as far as its words show).

    Where none of its words is written as it is compared (numbers in words), all of a short sentence but its end.
    """
    text = plain(sentence)
    found = [
        (at, at + len(word)) for word in gold if len(word) > 2 or word == gold[0] if (at := _find(text, word)) >= 0
    ]
    if not found:
        return text, len(text.rstrip(" .")), len(text)
    return text, min(start for start, _ in found), max(end for _, end in found)


def _find(text: str, word: str) -> int:
    """Where a word begins as written, or what is left of it without its ending; -1: nowhere, as for a number in words."""
    found = re.search(rf"(?<!\w){re.escape(word)}", text)
    return found.start() if found else text.find(stem(word)[:6]) if word.isalpha() else -1


def _quoted(gold: tuple[str, ...]) -> str:
    words = " ".join(gold[:6]).replace("point", ".")
    return f'"{words[:60]}"'


def _told(outcome: Outcome, why: str, likeness: float | None = None) -> Finding:
    return Finding(outcome, why, Kind.SHORT_ANSWER, likeness=likeness)
