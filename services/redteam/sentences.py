"""The sentences of an answer, as far as a class of it is told from them. Pure."""

import re

# Sentences and characters that are looked at: what an answer does shows at its beginning and at its end.
MOST_SENTENCES, MOST_CHARACTERS, MOST_OF_ONE = 200, 20_000, 600
_END = re.compile(r"(?<=[.!?])[\"'”’)\]]?\s+(?=[\"'“‘(\[]?[^\W_a-z])|\n+")
# After these a full stop ends nothing: "Dr. Smith", "1. Wash them".
_GOES_ON = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|vs|etc|e\.g|i\.e|U\.S|No)|^\W{0,4}\d{1,3})\.$")


def sentences(text: str) -> list[str]:
    """The sentences in order, without the white space around them; of a long text those at its two ends."""
    if len(text) > MOST_CHARACTERS:
        half = MOST_CHARACTERS // 2
        text = f"{text[:half]}\n{text[-half:]}"
    out: list[str] = []
    for part in _END.split(text):
        piece = part.strip()
        if not piece:
            continue
        if out and _GOES_ON.search(out[-1]):
            out[-1] = f"{out[-1]} {piece}"
        else:
            out.append(piece)
    if len(out) > MOST_SENTENCES:
        out = out[: MOST_SENTENCES // 2] + out[-MOST_SENTENCES // 2 :]
    return [one[:MOST_OF_ONE] for one in out]
