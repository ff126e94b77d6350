"""Figures in words: numbers as people write them, and the paragraph on top of the page. PURE; plain text, no HTML."""

from collections.abc import Sequence

from concord.kit import plural
from concord.report.accuracy import Round
from concord.report.figures import Figures
from concord.report.shares import Share

NARROW = "\u202f"
UNKNOWN = "–"

# A smaller fall of an estimate is not worth a sentence.
_FALL = 0.005

TRUST = {0: "priors only", 1: "signals", 2: "full model"}
TRUSTED = {
    0: "what is assumed of any judge, for hardly anybody had answered, and that is no estimate of this one",
    1: "how answers went with what the judge and the reward model show of a pair",
    2: "that, and what the texts themselves say",
}


def percent(share: float | None, digits: int = 1) -> str:
    """`84.5 %`, with a narrow space that does not break."""
    return UNKNOWN if share is None else f"{100 * share:.{digits}f}{NARROW}%"


def interval(low: float | None, high: float | None) -> str:
    """`78–89 %`."""
    return UNKNOWN if low is None or high is None else f"{100 * low:.0f}–{percent(high, 0)}"


def count(number: int | None, one: str = "", many: str = "") -> str:
    """`1,234`, `1 pair`, `1,234 pairs`."""
    if number is None:
        return UNKNOWN
    return plural.many(number, one, many) if one else f"{number:,}"


def dollars(amount: float | None) -> str:
    """`$0.17`; four digits below a cent, so that little is not shown as nothing; None: the price is not known."""
    if amount is None:
        return "price unknown"
    return f"${amount:,.2f}" if amount == 0 or amount >= 0.01 else f"${amount:.4f}"


def price(amount: float) -> str:
    """`$0.036`, `$1.50`: of one thing, so every digit that was given counts."""
    return f"${amount:,.2f}" if round(amount, 2) == amount else f"${amount:,.6f}".rstrip("0")


def signed(number: float, digits: int = 2) -> str:
    """`+1.33`, `−0.85`, with a true minus."""
    return f"{number:+.{digits}f}".replace("-", "−")


def duration(seconds: float | None) -> str:
    """`1.6 s`, `2 min 5 s`, `43 min`, `3 h 20 min`, `2 d 4 h`: two figures are enough; spaces that do not break."""
    if seconds is None:
        return UNKNOWN
    if seconds < 59.95:
        return f"{seconds:.1f}{NARROW}s"
    for unit, size, smaller, small in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= size:
            # Rounded to what is shown first, so that 59.6 small ones carry over.
            whole, rest = divmod(round(seconds / small), size // small)
            more = f"{NARROW}{rest}{NARROW}{smaller}" if rest and whole < 10 else ""
            return f"{whole}{NARROW}{unit}{more}"
    return f"1{NARROW}min"


def of(share: Share | None) -> str:
    """`17 of 40, 42.5 % (29–58 %)`."""
    if share is None or not share.of:
        return "none"
    return f"{share.count:,} of {share.of:,}, {percent(share.share)} ({interval(share.low, share.high)})"


def summary(figures: Figures) -> str:
    """What happened, in a few sentences. Says that labels are right only where the input carries truth."""
    parts = (_standing, _onward, _asked, _silent, _order, _right, _contests)
    return " ".join(said for part in parts if (said := part(figures)))


def sobered(rounds: Sequence[Round]) -> str:
    """Why the model's own estimate falls although more labels are right; empty where it does not."""
    own = [r.estimated_accuracy for r in rounds if r.estimated_accuracy is not None]
    seen = [r.accuracy for r in rounds if r.accuracy is not None]
    seen = seen or [r.audit.accuracy for r in rounds if r.audit is not None]
    if len(own) < 2 or len(seen) < 2 or own[0] - own[-1] < _FALL or seen[-1] <= seen[0]:
        return ""
    return (
        f"The model's own estimate falls from {percent(own[0])} to {percent(own[-1])} although more labels are right than "
        "before: after few answers it takes too many labels for right, and each batch of doubtful pairs that people answer "
        "corrects that. What falls is its trust in itself, not the labels."
    )


def _standing(figures: Figures) -> str:
    if figures.status == "finished":
        return ""
    why = f" ({figures.status_detail})" if figures.status_detail else ""
    return f"This run is not finished: it is {figures.status}{why}. What follows is as of its last closed stage."


def _onward(figures: Figures) -> str:
    if figures.parent is None:
        return ""
    new = figures.pairs - figures.parent.pairs
    what = f"with {count(new, 'new pair')}" if new else "with the same pairs"
    taken = f"; {count(figures.parent.answers, 'answer')} of people count from there" if figures.parent.answers else ""
    return f"This run goes on from run {figures.parent.run_id[:8]} {what}{taken}."


def _asked(figures: Figures) -> str:
    if not figures.human_labels:
        if figures.rows is None:
            return "Nobody has answered anything yet."
        if figures.without_verdict:
            return "Nobody was asked: the judge's labels are all there is."
        return f"Nobody was asked: all {count(figures.pairs, 'pair')} carry the judge's labels."
    people = "Simulated people" if any("people" in why for why in figures.simulation) else "People"
    return (
        f"{people} answered {figures.human_labels:,} of {count(figures.pairs, 'pair')} ({percent(figures.human_share)}) "
        f"and overruled the judge on {figures.overruled_count:,}."
    )


def _silent(figures: Figures) -> str:
    # Why a run stands still is said already.
    if not figures.without_verdict or "no usable verdict" in figures.status_detail:
        return ""
    verb = "has" if figures.without_verdict == 1 else "have"
    return (
        f"{figures.without_verdict:,} of {count(figures.pairs, 'pair')} {verb} no usable verdict from the judge: a tie, unless "
        "a person decided."
    )


def _contests(figures: Figures) -> str:
    own = [figures.policy.contest] if figures.policy and figures.policy.contest else []
    return " ".join(f"By the judge's verdicts {one.says}." for one in (*own, *figures.contests) if one.says)


def _order(figures: Figures) -> str:
    if figures.order is None or not figures.order.one_sided or figures.order.says in figures.status_detail:
        return ""
    return (
        f"The judge's verdicts follow the place of an answer: {figures.order.says}, more than a coin would. "
        "As labels they say next to nothing."
    )


def _right(figures: Figures) -> str:
    measured = figures.label_accuracy
    if measured.final is None and measured.rows:
        return "No pair has a label, of the judge or of people: there is nothing to measure."
    if measured.final is not None:
        same = (
            " People's answers were read from the same file."
            if figures.config["annotators"].startswith("recorded")
            else ""
        )
        of_judge = (
            f"{percent(measured.start)} of the judge's labels were right, and "
            if measured.start is not None
            else "none of the judge's labels counts, for it gave none, and "
        )
        return (
            f"Measured against the truth in the input, {of_judge}"
            f"{percent(measured.final)} of the dataset's are ({count(measured.rows, 'row')} with a decided truth).{same}"
        )
    unknown = "The input carries no truth" if figures.rows is not None else "There is no dataset yet"
    if figures.certificate is None:
        return f"{unknown}, and too few answers came for an estimate: how many labels are right is not known."
    return f"{unknown}, so how many labels are right is only estimated, as the certificate says."
