"""What a run will cost, before it costs anything. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from concord.preference.budget import human_budget
from concord.preference.judges import networked_judges
from concord.preference.methods import asks
from concord.v1.config_pb2 import RunConfig
from concord.v1.pairs_pb2 import Pair

# Assumptions, said where the figures are shown: four characters a token, 800 characters of instructions a call, half a
# minute a vote.
CHARACTERS_A_TOKEN = 4
INSTRUCTION_CHARACTERS = 1_600
SECONDS_A_VOTE = 30
COMPLETION_TOKENS = 60


@dataclass(frozen=True)
class ExpectedCost:
    """Expected, not bounded: a verdict that does not parse is asked for once more."""

    calls: int
    prompt_tokens: int
    completion_tokens: int
    dollars: float | None  # None: a judge's price is not known
    votes: int
    human_minutes: float


def estimate(config: RunConfig, pairs: Sequence[Pair]) -> ExpectedCost:
    """Calls and dollars of LLM judges (recorded and simulated ones cost nothing), votes and minutes of people."""
    calls, prompts, completions, dollars = 0, 0.0, 0, 0.0
    known = True
    characters = sum(_characters(pair) for pair in pairs)
    for judge in networked_judges(config):
        orders = 2 if judge.both_orders else 1
        calls += orders * len(pairs)
        instructions = (INSTRUCTION_CHARACTERS + len(judge.criteria)) * len(pairs)
        prompt = orders * (characters + instructions) / CHARACTERS_A_TOKEN
        completion = orders * len(pairs) * min(judge.max_tokens, COMPLETION_TOKENS)
        prompts, completions = prompts + prompt, completions + completion
        known = known and bool(judge.prompt_dollars or judge.completion_dollars)
        dollars += (prompt * judge.prompt_dollars + completion * judge.completion_dollars) / 1e6
    votes = human_budget(config, len(pairs)) if asks(config) else 0
    price = dollars if known else None
    return ExpectedCost(calls, round(prompts), completions, price, votes, votes * SECONDS_A_VOTE / 60)


def _characters(pair: Pair) -> int:
    return sum(len(message.content) for message in pair.prompt) + len(pair.first.text) + len(pair.second.text)
