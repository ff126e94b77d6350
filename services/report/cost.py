"""What the run cost beside a dataset that people label alone. PURE; the price of a human label is an assumption."""

from dataclasses import dataclass

# RLTHF (arXiv 2502.13417), section on cost: three annotators at 0.012 dollars each.
LABEL_PRICE = 0.036


@dataclass(frozen=True)
class Cost:
    """Dollars. What people cost is reckoned at an assumed price, what the judge cost is what was paid."""

    label_price: float  # a human label of one pair
    people: float
    judge: float | None  # None: calls were made, and no price is known
    all_human: float  # people label every pair

    @property
    def together(self) -> float | None:
        """None where what the judge cost is not known."""
        return None if self.judge is None else self.people + self.judge

    @property
    def share(self) -> float | None:
        """Of the all-human cost; None where that is nothing, or the cost is not known."""
        return self.together / self.all_human if self.all_human and self.together is not None else None


def cost_of(human_labels: int, pairs: int, judge: float | None, label_price: float = LABEL_PRICE) -> Cost:
    """`human_labels`: pairs that people labelled, of `pairs`; `judge`: dollars paid for judging, None: not known."""
    return Cost(label_price, human_labels * label_price, judge, pairs * label_price)
