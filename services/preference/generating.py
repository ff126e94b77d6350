"""Answers sampled from models: how many, which settings go together, what they cost. Pure.

A run that generates begins with prompts: pairs whose two responses are empty. What its models answer becomes its pairs: candidates
are stored as pairs, shard by shard, and not as lists of answers, so that a list in a file and sampled answers are embedded and
chosen by the same code. An answer then lies in several pairs, which costs room on the disk alone: a unit holds one shard, EMBED
looks at each text of it once, and SELECT holds a few numbers a pair.
"""

from concord.kit.errors import InvalidInput
from concord.kit.plural import many
from concord.preference import call_costs
from concord.preference.call_costs import Expected, Rates
from concord.v1.config_pb2 import JudgeConfig, RunConfig
from concord.v1.events_pb2 import Usage
from concord.v1.pairs_pb2 import Pair
from concord.v1.runs_service_pb2 import RunView

SAMPLES = 4
TEMPERATURE = 1.0
MAX_TOKENS = 1_024
# Of all models together, of one prompt: every two of them may be a pair.
MOST_ANSWERS = 32
MOST_GENERATORS = 8
# What chooses among candidates where nobody says: one pair a prompt, and none whose answers say nearly the same.
SELECT = "drop-similar"
# Of an answer to an open question; what the models' own answers take is learned from the first ones.
ASSUMED = Rates(tokens_a_byte=0.25, tokens_an_answer=300)


def samples(config: RunConfig) -> int:
    """Answers that one model is asked for, prompt by prompt."""
    return config.samples or SAMPLES


def is_prompt(pair: Pair) -> bool:
    """Whether the pair is a prompt alone."""
    return not (pair.first.text or pair.second.text)


def check(config: RunConfig) -> None:
    """Refuses what cannot be generated. Raises InvalidInput."""
    if not config.generators:
        if config.samples:
            raise InvalidInput("samples is set, and nothing says who answers: give --generate URL#MODEL as well")
        return
    if len(config.generators) > MOST_GENERATORS:
        raise InvalidInput(f"generate: at most {MOST_GENERATORS} models are asked, not {len(config.generators)}")
    count = samples(config) * len(config.generators)
    if not 2 <= count <= MOST_ANSWERS:
        raise InvalidInput(
            f"samples: {samples(config)} of each of {many(len(config.generators), 'model')} make {count} a prompt; from 2 to "
            f"{MOST_ANSWERS} are taken"
        )
    if config.HasField("parent"):
        raise InvalidInput(
            "generate: a run that goes on from another one has its pairs, and prompts are none; leave --generate or --from out"
        )
    if not config.select:
        raise InvalidInput(f"generate: nothing says how pairs are chosen among the answers; select {SELECT} does")


def judging(view: RunView) -> Usage:
    """What the run used beside sampling answers: what is learned of judges' calls stands on that."""
    used, generated = Usage(), view.generated
    used.CopyFrom(view.usage)
    for name in ("calls", "cached_calls", "prompt_tokens", "completion_tokens", "dollars", "seconds"):
        setattr(used, name, max(0, getattr(used, name) - getattr(generated, name)))
    return used


def learned(config: RunConfig, generated: Usage, prompt_bytes: float) -> Rates:
    """The rates that the answers so far show; `ASSUMED` while none was paid. `prompt_bytes`: of a prompt in the mean."""
    if not (generated.calls and generated.prompt_tokens and prompt_bytes):
        return ASSUMED
    shares = [
        call_costs.price(one, generated.prompt_tokens, generated.completion_tokens) / len(config.generators)
        for one in config.generators
    ]
    reckoned = sum(shares)
    return Rates(
        tokens_a_byte=generated.prompt_tokens / generated.calls / prompt_bytes,
        tokens_an_answer=generated.completion_tokens / generated.calls,
        correction=generated.dollars / reckoned if generated.dollars and reckoned else 1.0,
    )


def expected(config: RunConfig, prompt_bytes: float, prompts: int, rates: Rates = ASSUMED) -> Expected:
    """What answers to so many prompts, with so many bytes together, come to, kept answers aside."""
    calls = samples(config) * prompts
    read = samples(config) * prompt_bytes * rates.tokens_a_byte
    written = [calls * _tokens(one, rates) for one in config.generators]
    dollars = sum(call_costs.price(one, read, mine) for one, mine in zip(config.generators, written, strict=True))
    count = len(config.generators)
    return Expected(calls * count, read * count, sum(written), dollars * rates.correction)


def _tokens(generator: JudgeConfig, rates: Rates) -> float:
    """Of one answer: what was learned stands, what is assumed is at most what the model may write."""
    most = generator.max_tokens if rates == ASSUMED and generator.max_tokens else rates.tokens_an_answer
    return min(rates.tokens_an_answer, most)
