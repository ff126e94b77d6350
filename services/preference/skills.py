"""Which questions are for whom: what a pair asks of its annotator, and what a person brings. Pure."""

from collections.abc import Iterable, Sequence

from concord.kit.errors import InvalidInput

MOST, LONGEST = 16, 40


def skills_of(words: Iterable[str], where: str) -> list[str]:
    """The words in lower case, each once: skills, languages, kinds of text. Raises InvalidInput that names `where`."""
    found = list(dict.fromkeys(word.strip().casefold() for word in words if word.strip()))
    if len(found) > MOST:
        raise InvalidInput(f"{where}: {len(found)} words; at most {MOST} are taken")
    for word in found:
        if len(word) > LONGEST or not word.isprintable() or "," in word:
            raise InvalidInput(f"{where}: {word[:LONGEST]!r} is no word of 1 to {LONGEST} printable characters")
    return found


def fits(needs: Sequence[str], skills: Sequence[str]) -> bool:
    """Whether this person may be asked. Whoever says nothing of skills may be asked anything."""
    return not skills or set(needs) <= set(skills)
