"""In which language a text is written, where its letters or its commonest words show it; else can't tell. Pure."""

import re
import unicodedata

# Letters of a text that are looked at.
MAX_LETTERS = 4_000
# Language → the words that begin the Unicode names of its letters, and whether only it writes with them.
_SCRIPTS = {
    "ar": ("ARABIC", False), "fa": ("ARABIC", False), "ur": ("ARABIC", False), "he": ("HEBREW", True), "el": ("GREEK", True),
    "hi": ("DEVANAGARI", False), "mr": ("DEVANAGARI", False), "ne": ("DEVANAGARI", False), "bn": ("BENGALI", True),
    "pa": ("GURMUKHI", True), "gu": ("GUJARATI", True), "ta": ("TAMIL", True), "te": ("TELUGU", True), "kn": ("KANNADA", True),
    "ml": ("MALAYALAM", True), "th": ("THAI", True), "ko": ("HANGUL", True), "ka": ("GEORGIAN", True), "hy": ("ARMENIAN", True),
    "ru": ("CYRILLIC", False), "bg": ("CYRILLIC", False), "uk": ("CYRILLIC", False), "sr": ("CYRILLIC", False),
    "zh": ("CJK", False), "ja": ("CJK", False),
}  # fmt: skip
_WORDS = {
    "en": "the and of to in is that it for was with as on are this be by not you or have from which",
    "de": "der die das und ist nicht ein eine zu den von mit sich auf für dem des im auch es wird sind",
    "fr": "le la les et est des un une du dans que qui pour pas sur au avec ce il sont plus en",
    "es": "el la los las y es de que en un una por con para no se del al como su más lo",
    "it": "il la di che e è un una per non con del della sono le i gli da nel si più",
    "pt": "o a os as e é de que em um uma para não com do da por se mais no na são",
    "nl": "de het een en van is dat niet te zijn op met voor die er aan in ook als",
    "sv": "och att det är en som på för av med den till inte har om ett de jag",
    "pl": "i w na nie się z że do to jest o jak po co tak za od przez są",
    "fi": "ja on ei että se oli hän mutta ovat kun niin myös joka tai voi sen",
    "vi": "và của là có không được cho một các trong với người này những để",
    "sw": "na ya wa kwa ni katika la za cha hii kuwa yake hiyo kama au",
}
_WORD = re.compile(r"[^\W\d_]+")


def written_in(text: str, language: str) -> bool | None:
    """Whether a text is in a language, given by its two letters; None: can't tell."""
    language = language.lower()[:2]
    scripts = [_script(letter) for letter in text[:MAX_LETTERS] if letter.isalpha()]
    if len(scripts) < 8:
        return None
    if language in _SCRIPTS:
        return _in_script(scripts, language)
    if language not in _WORDS:
        return None
    if scripts.count("LATIN") < 0.6 * len(scripts):
        return False
    words = [word.lower() for word in _WORD.findall(text[:MAX_LETTERS])]
    hits = {name: sum(word in common for word in words) for name, common in _COMMON.items()}
    best = max(hits, key=lambda name: hits[name])
    if hits[best] < 3 or hits[best] < 0.08 * len(words):
        return None
    if best == language:
        return True
    return False if hits[best] > 2 * hits[language] else None


_COMMON = {name: frozenset(words.split()) for name, words in _WORDS.items()}


def _script(letter: str) -> str:
    return "LATIN" if letter.isascii() else unicodedata.name(letter, "").partition(" ")[0].partition("-")[0]


def _in_script(scripts: list[str], language: str) -> bool | None:
    wanted, alone = _SCRIPTS[language]
    kana = scripts.count("HIRAGANA") + scripts.count("KATAKANA")
    share = (scripts.count(wanted) + kana * (wanted == "CJK")) / len(scripts)
    if share < 0.3:
        return False
    if wanted == "CJK":
        return (kana > 0.05 * len(scripts)) is (language == "ja")
    return True if alone and share > 0.5 else None
