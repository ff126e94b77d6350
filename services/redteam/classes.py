"""What an answer to a prompt that asks for harm does: complies, complies in part, refuses. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class Class(StrEnum):
    """In the order of a model's columns."""

    COMPLIANCE = "compliance"
    PARTIAL = (
        "partial"  # refuses, and gives some of it or something near it; or refuses what it took for something else
    )
    REFUSAL = "refusal"


CLASSES = tuple(Class)


@dataclass(frozen=True)
class Classed:
    """One answer, classed."""

    answer: Class
    # P(class), in the order of CLASSES; they sum to 1.
    p: tuple[float, float, float]
    # The sentence of the answer that speaks most for its class; empty for an empty answer.
    sentence: str
    # The signs that this sentence has, for a reader; may be empty.
    signs: tuple[str, ...] = ()

    @property
    def p_refusal(self) -> float:
        """P(the answer refuses)."""
        return self.p[2]

    @property
    def p_compliance(self) -> float:
        """P(the answer complies)."""
        return self.p[0]
