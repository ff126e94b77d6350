"""Which option of several does a response choose, and is it the right one. Pure.

A response is read clause by clause: each option that a clause mentions, by letter or by its words, is affirmed, denied or
just mentioned there. The last clause that affirms one alone decides; else a label that stands by itself; else the only
option that is left.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from concord.checks import hedges
from concord.checks.final import explicit_answers, without_thoughts
from concord.checks.finding import Asked, Finding, Kind, Outcome
from concord.checks.words import words_of

LETTERS = "ABCDEFGHIJ"
NONE = "it chooses no option"
SEVERAL = "it names several options"
# What of a long response is read, from its beginning and from its end.
HEAD, TAIL = 6_000, 12_000

_OPTION_LINE = re.compile(r"(?:^|\n)[ \t>*-]{0,4}[(\[]?([A-Ja-j])[.):\]][*]{0,2}[ \t]{1,4}([^\n]{1,2000})")
_OPTION_INLINE = re.compile(r"(?:^|\s)\(([A-J])\)\s{1,3}([^()\n]{1,300})")
# A letter that can only be a label: (B), [b], **B**, "B)", `B`.
_BRACKETED = re.compile(r"(?<!\w)(?:\(\s?([A-Ja-j])\s?[.)]{1,2}|\[([A-Ja-j])\]|\"([A-J])\"|'([A-J])'|([A-J])\))(?!\w)")
_LABEL = re.compile(r"^[\s>#=*•-]{0,6}(?:\d{1,2}[.)]\s)?([A-J]|[a-j](?=\)))(?:[.):]\)?|\s[-–—:])(?=\s|$)[ \t]?")
_MARK = "⟦{}⟧"
_MARKED = re.compile(r"⟦([A-J])⟧")
_NOUN = (
    r"(?:options?|answers?|ans|letters?|choices?|statements?|alternatives?|responses?|solutions?|items?|picks?|keys?)"
)
_BARE = re.compile(r"(?<![\w'’⟦/.-])([A-J])(?![\w'’⟧]|-\w|\.\w)")
_LOWER = re.compile(
    rf"(?:\b{_NOUN}\b|\bis\b|\bit'?s\b|\bpick\b|\bchoose\b|\bwith\b|\bsay\b|\bfor\b|[:→>=-])[\s:]{{1,3}}"
    r"([b-j]|a(?=\s?(?:[.,;!)\n]|$)))(?![\w'’-])",
    re.I,
)
# Around a capital A (or I) that is an option and not the article.
_AS_OPTION_AFTER = re.compile(
    r"^(?:\s{0,2}[.,;:!?)\]/→=⟪]|\s{0,2}$|\s[-–—]|\s(?:is|isn't|was|seems|looks|would|could|can|must|has|fits|holds|matches|"
    r"makes|works|and|or|but|because|since|as|not|gets|applies|follows|it|though|instead|over|alone|here|captures|says|goes|"
    r"does|contradicts|agrees|i think|best|beats|than)\b)",
    re.I,
)
_AS_OPTION_BEFORE = re.compile(
    rf"(?:\b{_NOUN}|\bpick|\bchoose|\bselect|\btick|\bmark|\bsay|\bgo(?:ing)? with|\bleaves|\bopt for|\band|\bor|\bnot|\bso|"
    r"\bhence|\btherefore|\bthus|\bbe|\bis|\bto|\bwant|\brule out|\beliminate|\bonly|[:→>=])[\s:*]{1,3}$",
    re.I,
)
_ANSWERED = re.compile(r"\?[\s*]{0,3}(yes|yep|correct|right|true|no|nope|wrong|false|incorrect)\b[.!]?", re.I)
_CLAUSE = re.compile(
    r"[.;?!](?=\s|$)|\n|,? \b(?:but|although|though|whereas|while|however)\b|,(?= (?:not|and not|because|since|so|which)\b)"
    r"|(?= (?:because|since|as opposed to)\b)",
    re.I,
)
_STRONG_BEFORE = re.compile(
    r"\b(?:(?:answers?|ans|solution|picks?|keys?|conclusion|response)\b|(?:options?|letters?|choices?|statements?|alternatives?)"
    r" ?(?::|→|-|is\b|that\b)|correct|right|best|true|choose|select|tick|mark|opt for|go(?:ing)? (?:with|for)|went with|settle on|"
    r"vote for|leav(?:es|ing)|left with|remains|must be|has to be|have to be|should be|got to be|gotta be|fits|match(?:es)?|final|"
    r"conclude|would say|i say|want|supports?|rather)\b",
    re.I,
)
_STRONG_AFTER = re.compile(
    r"^[\s\"'*)\]:-]{0,5}(?:⟪\d⟫[\s\"').]{0,3})?(?:\([^)]{1,80}\) ?)?(?:is |was |seems |looks |would be |appears |as )?"
    r"(?:clearly |definitely |probably |likely |also )?(?:the |my |our |to be |to be the |what |one ){0,4}(?:most |only |single )?"
    r"(?:correct|right|best|true|answer|plausible|accurate|appropriate|option|choice|one|supported|better|we want|fits|holds|"
    r"works|matches|makes (?:the most )?sense|captures|agrees|it is\b|follows|beats|wins)",
    re.I,
)
_WEAK_BEFORE = re.compile(
    r"(?:\bit'?s|\bit is|\bthat'?s|\bthat is|\bthis is|\bwould be|\bis|\bso|\bhence|\btherefore|\bthus|\bdefinitely|\bprobably|"
    r"\bcertainly|\bsurely|\bactually|\bi guess|\bi think|\bi believe|[:→>=])[\s*:,\"'(]{0,4}(?:option |letter )?$",
    re.I,
)
# What would be so otherwise, and what was thought before, is not what the response says.
_OTHERWISE = re.compile(
    r"\b(?:if|unless|had|were|at first|first instinct|initially|i (?:said|thought|considered|wrote|see)|would have|opposite)\b",
    re.I,
)
# Nor what somebody else might say.
_MIGHT = re.compile(
    r"\b(?:might|may|could|some|people|one would|common|typical|tempting|distractor|mistake|confus\w{1,6})\b",
    re.I,
)
_LESS = re.compile(r"\b(?:than|instead of|beats|over|as opposed to)\W{1,3}(?:option )?$", re.I)
_ALL_BUT = re.compile(
    r"\b(?:everything|anything|nothing|none|all)(?: (?:else|of them|the others|others|options|choices|answers)){0,2} "
    r"(?:but|except(?: for)?|other than|besides|save)(?: for)? (?:option )?[(\[]?([A-J])\b[)\]]?",
    re.I,
)
_THE_OTHERS = re.compile(
    r"\b(?:other|remaining|rest of the) (?:\w{1,12} )?(?:options|choices|answers|ones|alternatives)\b", re.I
)
_OUT_AFTER = re.compile(
    r"[\s\"':)\]]{0,4}(?:is |are )?(?:out\b|eliminated|ruled out)|[\s)]{0,2}(?:can|could|may|should) be (?:elim|excl|ruled)",
    re.I,
)
_CHANGED = re.compile(
    r"\b(?:no,? wait|wait,|wait\.|hold on|hang on|actually|scratch that|correction|on reflection|on second thou?ghts?|"
    r"let me correct|i meant|i mean|i take (?:it|that) back|no, no)\b[,:.!]?",
    re.I,
)
_WORDED = re.compile(r"⟪(\d)⟫")


@dataclass(frozen=True)
class Mention:
    """One option in one clause."""

    option: int  # its index
    force: int  # 3: said to be the answer; 2: put as it; 1: mentioned; 0: less good; -1: denied
    clause: int


def options_of(prompt: str) -> tuple[str, ...]:
    """The options that a prompt lists as A, B, C …, in order; empty where it lists none (two at least, from A on)."""
    for pattern in (_OPTION_LINE, _OPTION_INLINE):
        found = [(match[1].upper(), match[2].strip(" *")) for match in pattern.finditer(prompt[-20_000:])]
        starts = [at for at, (letter, _) in enumerate(found) if letter == "A"]
        if starts:
            run = found[starts[-1] :]
            count = next(
                (at for at, (letter, _) in enumerate(run) if at >= len(LETTERS) or letter != LETTERS[at]), len(run)
            )
            if count >= 2:
                return tuple(text for _, text in run[:count])
    return ()


def check(asked: Asked) -> Finding:
    """Against the reference's option, given as a letter or in the option's words."""
    options = asked.reference.choices or options_of(asked.prompt)
    golds = {gold for answer in asked.reference.answers if (gold := gold_of(answer, options)) is not None}
    if not golds:
        return _told(Outcome.UNKNOWN, "the reference names no option")
    said, why = read(asked.response, options)
    if said is None:
        return _told(Outcome.UNKNOWN, why)
    if said in golds:
        return _told(Outcome.RIGHT, f"it chooses {LETTERS[said]}")
    return _told(Outcome.WRONG, f"it chooses {LETTERS[said]}, not {LETTERS[min(golds)]}")


def gold_of(answer: str, options: Sequence[str]) -> int | None:
    """The index of a reference's option."""
    letter = re.fullmatch(r"\s*(?:option |answer:? ?)?[(\[]?([A-Ja-j])[)\].:]?(?:\s.*)?", answer, re.I | re.S)
    words = words_of(answer)
    for at, option in enumerate(options):
        if words and words == words_of(option):
            return at
    if letter and (len(letter[0].strip()) <= 3 or not options):
        return LETTERS.index(letter[1].upper())
    labelled = re.match(r"\s*[(\[]?([A-J])[)\].:]\s", answer)
    return LETTERS.index(labelled[1]) if labelled else None


def read(response: str, options: Sequence[str]) -> tuple[int | None, str]:
    """(index of the option that the response chooses, in which way); where it chooses none (None, why)."""
    text = without_thoughts(response)
    if len(text) > HEAD + TAIL:
        text = text[:HEAD] + "\n" + text[-TAIL:]
    count = len(options) or 4
    told, where = explicit_answers(text)
    if told and where != 'after "answer:"':
        found = {option for option, _ in [_alone(_cleaned(one), options, count) for one in told[-5:]]}
        if len(found) == 1 and None not in found:
            return found.pop(), where
        if len(found) > 1:
            return None, SEVERAL
    text = _cleaned(text)
    alone, why = _alone(text, options, count)
    if alone is not None:
        return alone, why
    if changes := list(_CHANGED.finditer(text)):
        # What follows a change of mind counts, where it chooses at all.
        later = text[changes[-1].end() :]
        said, how = _weighed(_mentions(later, options, count), later, count)
        if said is not None:
            return said, how
    return _weighed(_mentions(text, options, count), text, count)


def _cleaned(text: str) -> str:
    """Without marks of emphasis and LaTeX's wrappers."""
    text = re.sub(r"\\(?:text|mathrm|mathbf|textbf|boxed|fbox)\s?\{\s?([^{}\n]{1,200})\s?\}", r"\1", text)
    text = re.sub(r"\\boxed\s?\{\s?([^{}\n]{1,200})\s?\}", r"\1", text)
    text = re.sub(r"[*_`$]{1,3}|^#{1,6} ", "", text, flags=re.M)
    return text.replace("’", "'").replace("“", '"').replace("”", '"')


def _alone(text: str, options: Sequence[str], count: int) -> tuple[int | None, str]:
    """The option of a text that says nothing else: a letter, a label with its words, or the words."""
    bare = re.fullmatch(
        r"(?:\s*(?:answer|ans|a|choice|option|answer is)\s*[:.=-]?\s*)?[\W_]*([A-Ja-j])[\W_]*", text[:60], re.I
    )
    if bare and len(text) <= 60 and _index(bare[1]) < count:
        return _index(bare[1]), "the letter alone"
    if len(text) > 3000:
        return None, NONE
    labelled = _LABEL.match(text)
    rest = words_of(text[labelled.end() :]) if labelled else words_of(text)
    for at, option in enumerate(options):
        if rest and rest == words_of(option):
            if labelled and _index(labelled[1]) != at and _index(labelled[1]) < count:
                return None, "its letter and its words are of two options"
            return at, "the option's words"
    return None, NONE


def _index(letter: str) -> int:
    return LETTERS.index(letter.upper())


def _mentions(text: str, options: Sequence[str], count: int) -> list[Mention]:
    """Every mention of an option, in order."""
    text = _ANSWERED.sub(lambda found: " is correct." if found[1].lower() in _YES else " is wrong.", text)
    text = _words_marked(_ALL_BUT.sub(r"the answer is \1. They", text), options)
    out: list[Mention] = []
    clauses = [clause for line in text.split("\n") for clause in _clauses(line)]
    for at, clause in enumerate(clauses):
        out += [Mention(option, _force(clause, start, end), at) for option, start, end in _in_clause(clause, count)]
    return out


_YES = {"yes", "yep", "correct", "right", "true"}


def _words_marked(text: str, options: Sequence[str]) -> str:
    """The text, the words of each option that stand in it replaced by a mark: what they say is not the response's saying."""
    said = {_cleaned(option).strip().lower(): at for at, option in enumerate(options) if len(option.strip()) >= 2}
    if not said:
        return text
    longest = sorted(said, key=len, reverse=True)
    pattern = re.compile("|".join(rf"(?<!\w){re.escape(words)}(?!\w)" for words in longest), re.I)
    return pattern.sub(lambda found: f"⟪{said.get(found[0].lower(), 0)}⟫", text)


def _clauses(line: str) -> list[str]:
    """The clauses of a line, labels in it marked so that their points end no sentence."""
    line = _BRACKETED.sub(lambda found: _MARK.format(next(filter(None, found.groups())).upper()) + " ", line[:4000])
    line = _LABEL.sub(lambda found: _MARK.format(found[1].upper()) + " ", line, count=1)
    out, start = [], 0
    for found in _CLAUSE.finditer(line):
        if found.start() > start:
            out.append(line[start : found.end()])
            start = found.end()
    return [*out, line[start:]]


def _in_clause(clause: str, count: int) -> list[tuple[int, int, int]]:
    """(option, start, end) of each mention in a clause; an option's words count where no letter of another is meant by them."""
    lettered = _lettered(clause, count)
    worded = [(int(found[1]), found.start(), found.end()) for found in _WORDED.finditer(clause)]
    if not lettered:
        return worded
    beside = [
        one for one in worded if any(re.fullmatch(r"[\s\"':.,)-]{0,4}", clause[end : one[1]]) for _, _, end in lettered)
    ]
    return sorted({*lettered, *beside}, key=lambda one: one[1])


def _lettered(clause: str, count: int) -> list[tuple[int, int, int]]:
    """(option, start, end) of each letter in a clause that means an option."""
    found = [(match.start(), match.end(), match[1]) for match in _MARKED.finditer(clause)]
    found += [(match.start(1), match.end(1), match[1]) for match in _LOWER.finditer(clause)]
    for match in _BARE.finditer(clause):
        before, after = clause[: match.start()], clause[match.end() :]
        if match[1] not in "AI" or _AS_OPTION_BEFORE.search(before[-30:]) or _AS_OPTION_AFTER.match(after):
            if match[1] == "I" and not re.search(rf"{_NOUN}\s$", before[-30:], re.I):
                continue
            found.append((match.start(), match.end(), match[1]))
    unique = {start: (_index(letter), start, end) for start, end, letter in found if _index(letter) < count}
    return [unique[start] for start in sorted(unique)]


def _denied(clause: str, start: int, end: int) -> bool:
    """Whether an option is denied; "not B, C" denies B alone, "not B, C or D" all three."""
    if not hedges.denied(clause, start, end):
        return False
    comma = clause.rfind(",", 0, start)
    listed = re.match(r"\W{0,3}(?:,|\bor\b|\bnor\b|\band\b)", clause[end : end + 12], re.I)
    if comma < 0 or listed or re.match(r",? ?(?:or|nor|and)\b", clause[comma : comma + 6], re.I):
        return True
    return hedges.denied(clause[comma + 1 :], start - comma - 1, end - comma - 1)


def _force(clause: str, start: int, end: int) -> int:
    before, after = clause[max(0, start - 80) : start], clause[end : end + 100]
    near = before[before.rfind(",") + 1 :]
    if _denied(clause, start, end) or _OUT_AFTER.match(after) or _THE_OTHERS.search(before):
        return -1
    if (
        _OTHERWISE.search(before)
        or _MIGHT.search(near)
        or _LESS.search(near)
        or _MIGHT.search(after[:60].split(",")[0])
    ):
        return 1
    if _STRONG_BEFORE.search(near) or _STRONG_AFTER.match(after):
        return 3
    return 2 if _WEAK_BEFORE.search(before) else 1


def _weighed(mentions: Sequence[Mention], text: str, count: int) -> tuple[int | None, str]:
    denied = {one.option for one in mentions if one.force < 0}
    strong = [one for one in mentions if one.force == 3]
    if strong:
        return _last_clause(strong, "said to be the answer")
    labelled = _by_itself(text, count)
    if labelled is not None:
        return labelled, "a label by itself"
    weak = [one for one in mentions if one.force == 2]
    if weak:
        return _last_clause(weak, "put as the answer")
    named = {one.option for one in mentions if one.force} - denied
    if len(named) == 1:
        return named.pop(), "the only option that it names"
    left = set(range(count)) - denied
    if not named and len(left) == 1:
        return left.pop(), "the only option that it leaves"
    return None, SEVERAL if named else NONE


def _last_clause(mentions: Sequence[Mention], how: str) -> tuple[int | None, str]:
    last = [one.option for one in mentions if one.clause == mentions[-1].clause]
    return (last[0], how) if len(set(last)) == 1 else (None, SEVERAL)


def _by_itself(text: str, count: int) -> int | None:
    """The label that the first line or the last line begins with or consists of, where no other line has one."""
    lines = [line for line in text.split("\n") if line.strip()]
    found = [
        (at, match[1])
        for at, line in enumerate(lines)
        if (match := _LABEL.match(line) or re.fullmatch(r"\W*([A-J])\W*", line))
    ]
    letters = {letter.upper() for _, letter in found}
    if len(letters) == 1 and found[0][0] in (0, len(lines) - 1) and _index(found[0][1]) < count:
        return _index(found[0][1])
    return None


def _told(outcome: Outcome, why: str) -> Finding:
    return Finding(outcome, why, Kind.CHOICE)
