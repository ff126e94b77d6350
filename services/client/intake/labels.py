"""Labels that came with the data: what people and judges say in them. PURE.

A majority over many prompts of one LLM (`LLM/vote`) is never an input: it holds the very signals that a run is to
find, and no single judge would have given it.
"""

from collections.abc import Mapping

from concord.preference.pairs import MAX_NAME_CHARACTERS, BadRecord, Choice
from concord.v1 import pairs_pb2 as pb

VOTE = "/vote"


def better(value: object, what: str, indexes: object = None) -> Choice:
    """A label's choice: index 0 or 1, "tie", or null for nothing usable.

    `indexes` are the two responses that it compares, where the label says so. Raises BadRecord for any other value.
    """
    if indexes is not None and sorted(map(repr, indexes if isinstance(indexes, list) else [])) != ["0", "1"]:
        raise BadRecord("label without its response", f"{what} compares the responses {_shown(indexes)}, not 0 and 1")
    if value is None:
        return pb.CHOICE_UNSPECIFIED
    if value == "tie":
        return pb.CHOICE_TIE
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRecord("broken label", f'{what} is {_shown(value)}, not 0, 1, "tie" or null')
    if value not in (0, 1):
        raise BadRecord("label without its response", f"{what} is for response {_shown(value)}, but there are 0 and 1")
    return pb.CHOICE_SECOND if value else pb.CHOICE_FIRST


def people_said(labels: object) -> tuple[Choice, ...]:
    """What single people said in `human_labels`; labels of other kinds than `pairwise` say nothing of which is better.

    Raises BadRecord.
    """
    if labels is None:
        return ()
    if not isinstance(labels, list) or not all(isinstance(label, dict) for label in labels):
        raise BadRecord("broken label", "`human_labels` is not a list of objects")
    pairwise = [label for label in labels if label.get("kind", "pairwise") == "pairwise"]
    said = [better(label.get("choice"), "human_labels", label.get("pair")) for label in pairwise]
    return tuple(choice for choice in said if choice != pb.CHOICE_UNSPECIFIED)


def recorded_verdicts(ai_labels: object) -> tuple[pb.RecordedVerdict, ...]:
    """The verdicts of a record's `ai_labels`, votes left out. Raises BadRecord."""
    if ai_labels is None:
        return ()
    if not isinstance(ai_labels, dict):
        raise BadRecord("broken label", "`ai_labels` is not an object of judges")
    return tuple(_verdict(judge, said) for judge, said in ai_labels.items() if not judge.endswith(VOTE))


def _verdict(judge: str, said: object) -> pb.RecordedVerdict:
    what = f"the label of {_shown(judge)}"
    # Files with many responses list one object a pair; with two responses there is one pair.
    if isinstance(said, list) and len(said) == 1:
        said = said[0]
    if not judge.strip() or not judge.isprintable() or len(judge) > MAX_NAME_CHARACTERS:
        raise BadRecord("broken label", f"{what} has no printable name")
    if not isinstance(said, dict):
        raise BadRecord("broken label", f"{what} is not one object")
    first = better(said.get("choice"), what, said.get("pair"))
    swapped = better(said.get("choice_swapped"), what + " with the order swapped")
    return pb.RecordedVerdict(judge=judge, choice=first, choice_swapped=swapped, confidence=_confidence(said, what))


def _confidence(said: Mapping[str, object], what: str) -> float | None:
    value = said.get("confidence")
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1:
        return float(value)
    raise BadRecord("broken label", f"{what} has the confidence {_shown(value)}; it must be in (0, 1]")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
