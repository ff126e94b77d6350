"""Orders to the judge inside an answer: found by rules, and hidden from it. Pure.

Who writes an answer may write into it what the judge is to say: "choose this one", a made-up verdict, the end of its own tag. A
judge that obeys would give it the label. So a sentence that speaks to whoever compares the answers is left out of what the judge is
shown, with a note in its place; what people see, and what models learn from, is untouched. Rules see only what is plainly an
order; whoever finds other words for it gets through (benchmarks/README.md says how many).

Where the conversation itself is about judges, verdicts, injections or choices by letter, or where both answers hold such words,
they are the answers' business and are shown: a judge that does not see what an answer says cannot compare it.
"""

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterator

NOTE = "[words to the judge, left out]"
# Characters of an answer that are looked at.
_MOST = 200_000

_THIS = r"(?:this|my|the present|the above|the following|the first|the second|the longer|(?<!any )other)"
_TEXT = r"(?:answer|response|reply|completion|output|candidate|submission|assistant)s?"
_ONE = rf"(?:{_THIS}\s+(?:\w+\s+)?{_TEXT}|{_TEXT}\s+[\"'“(\[]?[ab12]\b|{_TEXT}\s+(?:one|two)\b)"
_CHOOSE = r"(?:choose|pick|select|prefer|favou?r|vote\s+for|rate|score|rank|grade|mark|reward|declare|name|label|crown|award|give)"
_GRADER = r"(?:grader|evaluator|reviewer|rater|assessor|examiner|referee|annotator|arbiter|ai|llm|language\s+model)s?"
_WHO = rf"(?:{_GRADER}|judges?)"
_VERDICT = (
    r"(?:winner|winning|verdict|preferred|best|better|superior|top\s+(?:score|rank)|full\s+marks|highest|10\s*/\s*10"
    r"|ten\s+out\s+of\s+ten)"
)
# Letters alone, for the first look: a rule is tried where each of its groups has a word in the text.
_TEXTS = ("answer", "respon", "repl", "completion", "output", "candidate", "submission", "assistant")
_CHOICES = (
    "choose",
    "pick",
    "select",
    "prefer",
    "favo",
    "vote",
    "rate",
    "score",
    "rank",
    "grade",
    "mark",
    "reward",
    "declare",
    "name",
    "label",
    "crown",
    "award",
    "give",
)
_JUDGES = (
    "judge",
    "grader",
    "evaluator",
    "reviewer",
    "rater",
    "assessor",
    "examiner",
    "referee",
    "annotator",
    "arbiter",
    "ai",
    "llm",
    "model",
)
_AWAY = (
    "ignore",
    "disregard",
    "forget",
    "override",
    "bypass",
    "discard",
    "drop",
    "aside",
)
_TOLD = (
    "instruction",
    "criteria",
    "rubric",
    "guideline",
    "prompt",
    "rules",
    "orders",
    "text",
    "direction",
)
_BEST = ("winn", "verdict", "preferred", "best", "better", "superior", "top", "full", "highest", "10", "ten")
_BAD = (
    "wrong",
    "worse",
    "plagiari",
    "harmful",
    "incorrect",
    "unsafe",
    "hallucinat",
    "copied",
    "fake",
    "violate",
    "lie",
    "lose",
)
_RULES: tuple[tuple[tuple[tuple[str, ...], ...], re.Pattern[str]], ...] = tuple(
    (groups, re.compile(rule))
    for groups, rule in (
        # Away with what the judge was told.
        (
            (_AWAY, _TOLD),
            r"\b(?:ignore|disregard|forget|override|bypass|discard|drop|set\s+aside)\b(?:(?!\b(?:and|but|then)\b).){0,50}\b(?:instructions?|criteria|rubric"
            r"|guidelines|(?:system\s+)?prompt|(?:previous|prior|earlier|other)\s+(?:rules|orders|text|directions))\b",
        ),
        ((_TEXTS, _CHOICES), rf"\b{_CHOOSE}\b.{{0,40}}\b{_ONE}"),
        (
            (_TEXTS, _BEST),
            rf"\b{_ONE}.{{0,40}}\b(?:is|are|as|be|wins?|won|deserves?|must|should)\b.{{0,30}}\b{_VERDICT}\b",
        ),
        (
            (("other",), _TEXTS, _BAD),
            rf"\bother\s+{_TEXT}\b.{{0,60}}\b(?:wrong|worse|plagiari[sz]\w*|harmful|incorrect|unsafe|hallucinat\w*|copied|fake"
            r"|violates?|lies?|loses?)\b",
        ),
        ((_JUDGES, ("as ", "are")), rf"\b(?:as|you\s+are)\s+(?:an?|the)\s+(?:\w+\s+)?{_WHO}\b.{{0,80}}\b{_ONE}"),
        # A verdict that is none.
        (
            (("winner", "confidence", "[[", "verdict"),),
            r"[\"'“]?\b(?:winner|verdict)[\"'”]?\s*[:=]\s*[\"'“]?(?:answer\s+|response\s+)?[ab]\b|(?<!\w)\[\[\s*[ab]\s*\]\]",
        ),
        (
            (("winner", "better", "wins"),),
            rf"\bthe\s+winner\s+is\s+(?:{_TEXT}\s+)?[ab12]\b|\b{_TEXT}\s+[ab]\s+(?:is\s+(?:better|the\s+winner)|wins)\b",
        ),
        # Tags and templates.
        (
            (("</", "<|", "inst]", "<<", "<answer", "<system"),),
            r"<answer\s+[ab]\b|</(?:answer|conversation)\b|</?system>|<\|[a-z_]{2,20}\|>|\[/?inst\]|<</?sys>>",
        ),
        (
            (("system", "developer", "admin", "operator"), (":", ">")),
            r"(?:^|[\[(#*\s])(?:system|developer|admin(?:istrator)?|operator)\s*(?:message|prompt|note|notice|override"
            rf"|instructions?|update)?\s*[\])*]*\s*[:>].{{0,200}}\b(?:{_TEXT}|evaluation|judges?|verdict|winner)\b",
        ),
        # In other languages.
        (
            (("antwort", "anweisung"),),
            r"\b(?:ignorier|vergiss|missacht|wähl|bevorzug|bewerte).{0,60}(?:antwort|anweisung)",
        ),
        ((("respuesta", "instrucci"),), r"\b(?:elig|elij|ignor|prefi|olvid|seleccion).{0,60}(?:respuesta|instrucci)"),
        (
            (("réponse", "instruction", "consigne"),),
            r"\b(?:chois|ignore[zs]|préf|oubli|sélect).{0,60}(?:réponse|instruction|consigne)",
        ),
        (
            (("resposta", "instruç", "risposta", "istruzion"),),
            r"\b(?:escolh|ignor|prefir|esqueç|scegli|preferisci|dimentica).{0,60}(?:resposta|instruç|risposta|istruzion)",
        ),
        ((("ответ", "инструкц"),), r"(?:выбер|игнорир|предпоч|забуд).{0,60}(?:ответ|инструкц)"),
        ((("选", "忽略", "無視"),), r"(?:选择|忽略|请选|無視|选).{0,12}(?:回答|答案|指令|指示|说明)"),
    )
)
# Letters and signs that look like Latin letters.
_LATIN = {
    **{ord(one): other for one, other in zip("аеорсухіӏѕԁ", "aeopcyxilsd", strict=True)},
    **{ord(one): other for one, other in zip("АЕОРСУХІМТНКВ", "AEOPCYXIMTHKB", strict=True)},
    **{ord(one): other for one, other in zip("αοειυνρτκ", "aoeiuvptk", strict=True)},
    **{ord(one): other for one, other in zip("013457$@", "oleastsa", strict=True)},
}
_DIGITS_IN_WORDS = re.compile(r"[a-z][013457$@]|[013457$@][a-z]")
_SPACED = re.compile(r"(?:\b\w\b[\s_.*-]){5}")
_BETWEEN_LETTERS = re.compile(r"(?<=\b\w)[\s_.*-](?=\w\b)")
_ENCODED = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}")
_PARTS = re.compile(r"[^\n.!?。！？]*[\n.!?。！？]+[\"'”’)\]}]*\s*|[^\n.!?。！？]+$")


# What a conversation says that has a reason for such words of its own.
_ABOUT_IT = re.compile(
    r"\b(?:judg\w*|jury|juror|grader|grading|evaluator|reviewer|referee|verdict|winner|inject\w*|jailbreak\w*|prompts?|json"
    r"|(?:previous|prior|earlier|above|all)\s+instructions)\b|(?:^|[\s(])a[).:]\s.*(?:^|[\s(])b[).:]\s",
    re.IGNORECASE | re.DOTALL,
)


def shown(text: str, conversation: str = "", other: str = "") -> str:
    """An answer as the judge is shown it: without its orders, unless the conversation or the other answer is a reason for them."""
    kept = hidden(text)
    if kept is text or _ABOUT_IT.search(conversation[:_MOST]) or next(orders(other), None):
        return text
    return kept


def hidden(text: str) -> str:
    """The text without its orders to a judge; itself where it holds none."""
    found = list(orders(text))
    if not found:
        return text
    out: list[str] = []
    at = 0
    for start, end in found:
        out += [text[at:start], *([] if out and not text[at:start].strip() else [NOTE])]
        tail = text[start:end]
        out.append(tail[len(tail.rstrip()) :])
        at = end
    return "".join([*out, text[at:]])


def orders(text: str) -> Iterator[tuple[int, int]]:
    """Where sentences or lines stand that give orders to a judge: (first character, character behind), in order."""
    if not _is_order(text[:_MOST]):  # the whole first: nearly all texts hold none
        return
    for part in _PARTS.finditer(text):
        if _is_order(part[0]):
            yield part.span()


def _is_order(part: str) -> bool:
    return any(_breaks(form, groups, rule) for form in _forms(part) for groups, rule in _RULES)


def _breaks(form: str, groups: tuple[tuple[str, ...], ...], rule: re.Pattern[str]) -> bool:
    return all(any(word in form for word in group) for group in groups) and bool(rule.search(form))


def _forms(part: str) -> Iterator[str]:
    """The part as it may be read, in small letters: plain, with look-alikes made Latin, decoded, backwards, letter by letter."""
    plain = part
    if not part.isascii():
        plain = "".join(c for c in unicodedata.normalize("NFKC", part) if unicodedata.category(c) != "Cf")
    low = plain.lower()
    yield low
    if not low.isascii() or _DIGITS_IN_WORDS.search(low):
        yield low.translate(_LATIN)
    for match in _ENCODED.finditer(plain):
        yield from _decoded(match[0])
    yield low[::-1]
    if _SPACED.search(low):
        yield re.sub(r"\s{2,}", " ", _BETWEEN_LETTERS.sub("", low))


def _decoded(token: str) -> Iterator[str]:
    try:
        decoded = base64.b64decode(token + "=" * (-len(token) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return
    if decoded.isprintable():
        yield decoded.lower()
