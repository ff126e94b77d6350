"""One shard is labelled: the judge and its helpers are asked side by side, whatever kind of judge each of them is."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from concord.labeling.judge import NOTHING_FURTHER, Combined, Further
from concord.labeling.spending import total
from concord.labeling.verdict_columns import shard_labeled
from concord.preference.judges import column_name
from concord.v1 import config_pb2 as cfg
from concord.v1 import events_pb2 as ev
from concord.v1 import pairs_pb2 as pb

T = TypeVar("T")

# Asks one judge about all the pairs, with the run's seed.
Ask = Callable[[Sequence[pb.Pair], cfg.JudgeConfig, int], Coroutine[Any, Any, tuple[list[Combined], ev.Usage]]]
# ShardLabeled.own_disagree of the pairs, from the same LLM's other prompts, given the labels.
OwnDisagree = Callable[[Sequence[pb.Pair], cfg.JudgeConfig, Sequence[Combined]], Sequence[float]]
# What the labelling judge says beside its verdicts, given these.
AskFurther = Callable[[Sequence[pb.Pair], Sequence[Combined]], Coroutine[Any, Any, tuple[Further, ev.Usage]]]


async def label_shard(
    pairs: Sequence[tuple[int, pb.Pair]],
    label: cfg.JudgeConfig,
    helpers: Sequence[cfg.JudgeConfig],
    seed: int,
    ask: Ask,
    own_disagree: OwnDisagree | None = None,
    further: AskFurther | None = None,
) -> tuple[ev.ShardLabeled, ev.Usage]:
    """The fact of the shard, and what all its judges used. `pairs` holds (index in the run, pair).

    `ask` is called once for each judge and decides by its kind, `further` once the labels are there. Raises what these raise;
    `usage` of the error then holds what all of them spent.
    """
    texts = [pair for _, pair in pairs]
    answers = await accounted(ask(texts, config, seed) for config in (label, *helpers))
    (labels, _), others = answers[0], answers[1:]
    named = {column_name(config): said for config, (said, _) in zip(helpers, others, strict=True)}
    own = own_disagree(texts, label, labels) if own_disagree else None
    used = total(used for _, used in answers)
    more, used_further = await _further(further, texts, labels, used)
    fact = shard_labeled(pairs, labels, named, own, judge=column_name(label), further=more)
    used_further.seconds += used.seconds
    return fact, total((used, used_further))


async def _further(
    further: AskFurther | None, pairs: Sequence[pb.Pair], labels: Sequence[Combined], used: ev.Usage
) -> tuple[Further, ev.Usage]:
    """What is said beside the verdicts, after `used` was spent on these."""
    if further is None:
        return NOTHING_FURTHER, ev.Usage()
    try:
        return await further(pairs, labels)
    except BaseException as error:
        vars(error)["usage"] = total((used, getattr(error, "usage", None) or ev.Usage()))
        raise


async def accounted(asking: Iterable[Coroutine[Any, Any, tuple[T, ev.Usage]]]) -> list[tuple[T, ev.Usage]]:
    """As `together`, for models that are paid: an error carries what all of them spent until it ended them."""
    spent: list[ev.Usage] = []

    async def counted(one: Coroutine[Any, Any, tuple[T, ev.Usage]]) -> tuple[T, ev.Usage]:
        # Here and not of the tasks' ends: asyncio gives a new CancelledError for the one that held the usage.
        try:
            said, used = await one
        except BaseException as error:
            spent.append(getattr(error, "usage", None) or ev.Usage())
            raise
        spent.append(used)
        return said, used

    try:
        return await together(counted(one) for one in asking)
    except BaseException as error:
        vars(error)["usage"] = total(spent)
        raise


async def together(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Results of coroutines that run side by side; the first error ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except BaseExceptionGroup as group_of_errors:
        first = group_of_errors.exceptions[0]
        raise first from first.__cause__
    return [task.result() for task in tasks]
