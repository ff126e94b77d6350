"""What a row says that somebody must bring to be asked about it: its key `needs`, in any format. PURE."""

from collections.abc import Iterable, Mapping
from typing import Any

from concord.kit.errors import InvalidInput
from concord.preference.pairs import BadRecord
from concord.preference.skills import skills_of


def needed(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The words of all these rows, in lower case and each once; raises BadRecord for what is no word or list of words."""
    found = list[str]()
    for row in rows:
        given = row.get("needs")
        words = given.split(",") if isinstance(given, str) else given or []
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise BadRecord("broken needs", "`needs` is neither a text nor a list of texts")
        found += words
    try:
        return skills_of(found, "`needs`")
    except InvalidInput as error:
        raise BadRecord("broken needs", str(error)) from None
