"""What a judge's calls cost: assumed before the first answer, learned from the answers as they come. PURE.

The dry run, and the bound that holds money back, reckon alike: bytes of the prompt by tokens a byte, and tokens an answer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from concord.preference.further import Calls
from concord.preference.judges import networked
from concord.v1.config_pb2 import JudgeConfig
from concord.v1.events_pb2 import Usage

# Bytes of a prompt beside the pair's texts and the criteria, as they mostly are.
AROUND_BYTES = 1_200
# And around each further pair that is shown as an example.
AROUND_EXAMPLE_BYTES = 400
# A verdict is never asked for more often: what does not parse is asked for once more.
MOST_ANSWERS = 2.0
# What is held back beside what is expected: texts differ in length, and so do answers. Less where all is assumed, for the
# assumption leaves room itself: one unit goes out then, and what it takes is known before the next one.
MARGIN, MARGIN_ASSUMED = 1.5, 1.25


@dataclass(frozen=True)
class Rates:
    """How many tokens what a judge reads and writes comes to; of all the run's judges together."""

    tokens_a_byte: float
    tokens_an_answer: float
    answers_a_verdict: float = 1.0
    # What was paid against what these rates make of it: judges with other prices may write more or less.
    correction: float = 1.0


# English, and a verdict with two sentences of reason. A model that thinks writes far more.
ASSUMED = Rates(tokens_a_byte=0.25, tokens_an_answer=60)


def bytes_a_call(judge: JudgeConfig, pair_bytes: float, examples: int = 0) -> float:
    """Of the prompt, for a pair with so many bytes of text, and so many others that are shown with it."""
    return (1 + examples) * pair_bytes + AROUND_BYTES + examples * AROUND_EXAMPLE_BYTES + len(judge.criteria.encode())


def orders(judge: JudgeConfig) -> int:
    """Calls for a pair."""
    return 2 if judge.both_orders else 1


def learned(
    judges: Iterable[JudgeConfig], usage: Usage, pair_bytes: float, judged: int, more: Sequence[Calls] = ()
) -> Rates:
    """The rates that what was used so far shows; `ASSUMED` while nothing was paid.

    `pair_bytes`: of a pair's texts in the mean; `judged`: pairs with a result, for which the usage was; `more`: what a judge is
    asked beside its verdicts.
    """
    asked = [(judge, float(orders(judge)), 0) for judge in judges if networked(judge)]
    asked += [(one.judge, one.a_pair, one.examples) for one in more if networked(one.judge)]
    calls = sum(mine for _, mine, _ in asked)
    if not usage.calls or not calls or not usage.prompt_tokens:
        return ASSUMED
    read = sum(mine * bytes_a_call(judge, pair_bytes, examples) for judge, mine, examples in asked) / calls
    answers = (usage.calls + usage.cached_calls) / (judged * calls) if judged else 1.0
    reckoned = sum(
        mine / calls * price(judge, usage.prompt_tokens, usage.completion_tokens) for judge, mine, _ in asked
    )
    return Rates(
        tokens_a_byte=usage.prompt_tokens / usage.calls / read,
        tokens_an_answer=usage.completion_tokens / usage.calls,
        answers_a_verdict=min(MOST_ANSWERS, max(1.0, answers)),
        correction=usage.dollars / reckoned if usage.dollars and reckoned else 1.0,
    )


@dataclass(frozen=True)
class Expected:
    """What judging some pairs comes to."""

    calls: float = 0.0
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    dollars: float = 0.0


def expected(
    judges: Iterable[JudgeConfig], text_bytes: float, pairs: int, rates: Rates, more: Sequence[Calls] = ()
) -> Expected:
    """What the judges that cost calls use for so many pairs with so many bytes of text together, kept answers aside.

    `more`: what a judge is asked beside its verdicts; a call of that kind shows at most what a verdict's does.
    """
    asked = [(judge, orders(judge) * pairs, 0) for judge in judges if networked(judge)]
    asked += [(one.judge, one.of(pairs), one.examples) for one in more if networked(one.judge)]
    calls, prompts, completions, dollars = 0.0, 0.0, 0.0, 0.0
    for judge, times, examples in asked:
        mine = times * rates.answers_a_verdict
        prompt = mine * bytes_a_call(judge, text_bytes / max(1, pairs), examples) * rates.tokens_a_byte
        # What was learned stands: a limit may have been widened where answers were cut.
        most = judge.max_tokens if rates == ASSUMED and judge.max_tokens else rates.tokens_an_answer
        completion = mine * min(rates.tokens_an_answer, most)
        calls, prompts, completions = calls + mine, prompts + prompt, completions + completion
        dollars += price(judge, prompt, completion)
    return Expected(calls, prompts, completions, dollars * rates.correction)


def held_back(expected_dollars: float, rates: Rates) -> float:
    """Dollars that are kept for what is expected to cost so much by these rates."""
    return expected_dollars * (MARGIN_ASSUMED if rates == ASSUMED else MARGIN)


def money(dollars: float) -> str:
    """`$0.17`; four digits below a cent, so that little is not shown as nothing."""
    return f"${dollars:,.2f}" if dollars == 0 or dollars >= 0.01 else f"${dollars:.4f}"


def price(judge: JudgeConfig, prompt_tokens: float, completion_tokens: float) -> float:
    """Dollars for so many tokens, at the prices that the judge was given; 0 where nobody gave one."""
    return (prompt_tokens * judge.prompt_dollars + completion_tokens * judge.completion_dollars) / 1e6
