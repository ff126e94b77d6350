"""One shard of prompts is answered: every model of the run is asked side by side, and what they say becomes candidate pairs."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from concord.labeling.candidates import Account, Sampled, pairs_of
from concord.labeling.shard import accounted
from concord.labeling.spending import total
from concord.preference.shards import put_shard
from concord.v1 import config_pb2 as cfg
from concord.v1 import events_pb2 as ev
from concord.v1 import pairs_pb2 as pb

# One model's answers to these prompts, so many each, with the run's seed: [prompts][samples], and what they cost.
Answer = Callable[
    [Sequence[pb.Pair], cfg.JudgeConfig, int, int], Coroutine[Any, Any, tuple[list[list[Sampled]], ev.Usage]]
]


async def answers_of(
    prompts: Sequence[pb.Pair], generators: Sequence[cfg.JudgeConfig], samples: int, seed: int, answer: Answer
) -> tuple[list[list[Sampled]], ev.Usage]:
    """All models' answers, prompt by prompt, one model behind the other; raises what `answer` raises.

    `usage` of an error then holds what all of them spent.
    """
    said = await accounted(answer(prompts, one, samples, seed) for one in generators)
    by_prompt = [
        [replace(one, generator=number) for number, (mine, _) in enumerate(said) for one in mine[at]]
        for at in range(len(prompts))
    ]
    return by_prompt, total(used for _, used in said)


def shard_generated(
    prompts: Sequence[pb.Pair], answers: Sequence[Sequence[Sampled]], put: Callable[[bytes], str]
) -> ev.ShardGenerated:
    """The fact of the shard; `put` stores a blob and gives its URI."""
    account, pairs = Account(), list[pb.Pair]()
    for prompt, mine in zip(prompts, answers, strict=True):
        pairs += pairs_of(prompt, mine, account)
    fact = ev.ShardGenerated(
        prompts=account.prompts, without_pair=account.without_pair, answers=account.answers, kept=account.kept
    )
    for (model, why), count in sorted(account.dropped.items()):
        fact.dropped.add(model=model, why=why, answers=count)
    if pairs:
        fact.shard.CopyFrom(put_shard(0, pairs, put))
        fact.shard_uri = fact.shard.uri
    return fact
