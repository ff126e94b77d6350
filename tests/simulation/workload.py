"""What a seed's cluster is asked to do: runs of several methods, quorums and budgets, 200 pairs in all and more."""

from dataclasses import dataclass, field
from random import Random

from concord.kit.ids import run_id
from concord.v1.config_pb2 import JudgeConfig, RunConfig
from concord.v1.pairs_pb2 import Pair, Response

# Seeds share so many workloads, so that a quiet run is made once for each.
WORKLOADS = 24


@dataclass(frozen=True)
class Run:
    """One run: its configuration and its pairs; `steady` where its dataset must not depend on what goes wrong."""

    run_id: str
    config: RunConfig
    pairs: tuple[Pair, ...]
    steady: bool = field(default=True)


def workload(number: int) -> tuple[Run, ...]:
    """The runs of this workload; the same number gives the same runs."""
    chance = Random(f"workload {number}")
    methods = (["posterior", "random"], ["posterior", "none"], ["posterior", "posterior"], ["random", "posterior"])
    sizes = chance.choice([(100, 100), (120, 80), (64, 136)])
    runs = [_run(number, at, chance, methods[number % 4][at], size) for at, size in enumerate(sizes)]
    if number % 3 == 0:
        runs.append(_hurried(number, chance))
    return tuple(runs)


def _run(number: int, at: int, chance: Random, method: str, size: int) -> Run:
    quorum = chance.choice([1, 2, 2, 3])
    tasks = chance.randint(8, 16)
    aligned = number % 6 == 5
    config = RunConfig(
        method=method,
        seed=number * 10 + at,
        quorum=quorum,
        human_budget=tasks * quorum + chance.randrange(quorum),
        pilot=chance.choice([-1, -1, 0, 3]),
        batch_share=chance.choice([4, 6, 9]) / size,
        folds=chance.choice([2, 3]),
        shard_pairs=chance.choice([16, 24, 32]),
        components=1,
        window=chance.choice([2, 4, 64]),
        judge=_judge(priced=number % 4 == 3 or aligned),
        rubric="doubtful" if number % 2 else "",
        re_ask_share=0.2 if quorum == 1 else 0,
        target_error=0.3 if number % 5 == 3 else 0,
        people_teach=method == "posterior" and number % 3 == 1,
        select="random" if number % 4 == 2 else "",
        dollar_budget=0.4 if number % 4 == 3 else 0,
        most_votes=quorum + 1 if quorum > 1 and number % 2 else 0,
        most_each=30 if number % 3 == 2 else 0,
        gold_share=0.2 if quorum > 1 and number % 4 == 1 else 0,
        label_worth=0.5 if number % 7 == 3 else 0,
        policy="a model" if aligned else "",
        # One of the two runs: the other one ends with its policy.
        evaluate=12 if aligned and at == number // 6 % 2 else 0,
        generators=[JudgeConfig(kind="llm", name="policy", url="http://models.example/v1")] if number % 8 == 6 else [],
    )
    return Run(run_id(f"workload {number}", config.SerializeToString()), config, _pairs(number, at, size))


def _judge(priced: bool) -> JudgeConfig:
    """What it costs is known of an LLM alone, so that a run with a limit has one; and only an LLM can judge a policy's answers."""
    config = JudgeConfig(kind="sample", prompt_dollars=50, completion_dollars=100, max_tokens=10)
    if priced:
        config.kind, config.name, config.url = "llm", "judge", "http://models.example/v1"
    return config


def _hurried(number: int, chance: Random) -> Run:
    """A small run whose people have little time: what they do not answer expires."""
    config = RunConfig(
        method="random",
        seed=number * 10 + 9,
        quorum=2,
        human_budget=16,
        batch_share=0.2,
        pilot=0,
        folds=2,
        shard_pairs=16,
        components=1,
        window=4,
        judge=JudgeConfig(kind="sample"),
        annotation_deadline_s=chance.choice([1.0, 2.0, 3.0]),
    )
    return Run(run_id(f"hurried {number}", config.SerializeToString()), config, _pairs(number, 9, 24), steady=False)


def _pairs(number: int, at: int, size: int) -> tuple[Pair, ...]:
    return tuple(_checked(number, at, n) if number % 2 and n % 3 == 0 else _pair(number, at, n) for n in range(size))


def _pair(number: int, at: int, n: int, first: str = "a", second: str = "b") -> Pair:
    texts = Response(text=f"{first}{n}"), Response(text=f"{second}{n}")
    # Some groups of prompts are marked, so that the marks must come through as well.
    marked = number % 4 == 1 and n // 2 % 3 == 0
    return Pair(pair_id=f"{number}/{at}/{n}", first=texts[0], second=texts[1], group=n // 2, harmful=marked)


def _checked(number: int, at: int, n: int) -> Pair:
    """A pair with a right answer: the first is right, or the second, or neither."""
    pair = _pair(number, at, n, *(("It is ", "It is 1"), ("It is 1", "It is "), ("It is 1", "It is 2"))[n // 3 % 3])
    pair.known.answers.append(str(n))
    return pair
