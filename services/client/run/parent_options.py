"""The settings of an earlier run, as the options that lead to them: what a linked run starts from. Pure."""

import re
from dataclasses import replace

from concord.client.run.options import ASKED_SHARD, KNOWN_SHARD, Options, set_method
from concord.preference.budget import new_pairs
from concord.preference.judges import JUDGE_KINDS, networked, networked_judges
from concord.preference.methods import METHODS
from concord.v1.config_pb2 import JudgeConfig, RunConfig

# What `people.named` puts behind a file.
_HASH = re.compile(r"@[0-9a-f]{12}$")


def options_of(config: RunConfig, pairs: int, human_budget: int) -> Options:
    """Options that give this configuration again; `pairs` and `human_budget` (votes) are those of its run.

    The budget becomes a share, so that it is one of the pairs that are new. What followed from the method or the judge
    is left open, so that it follows from another one where that is asked for.
    """
    asked = next(iter(networked_judges(config)), JudgeConfig())
    options = Options(
        judge=_spec(config.judge),
        helper=tuple(map(_spec, config.helpers)),
        annotators=_people(config.annotators),
        budget=_percent(human_budget / max(1, new_pairs(config, pairs))),
        method=config.method,
        pilot=config.pilot,
        quorum=config.quorum,
        seed=config.seed,
        audit=config.audit_share,
        components=config.components,
        human_weight=config.human_weight,
        dollars=config.dollar_budget,
        deadline=config.annotation_deadline_s,
        max_failed=config.max_failed_units,
        window=config.window,
        **_rlthf(config),
        **_llm(asked),
    )
    return _left_open(options, config)


def _spec(judge: JudgeConfig) -> str:
    return JUDGE_KINDS[judge.kind].spec(judge)


def _people(annotators: str) -> str:
    return _HASH.sub("", annotators) if annotators.startswith("file:") else annotators


def _percent(share: float) -> str:
    return f"{100 * min(share, 1.0):.6f}".rstrip("0").rstrip(".") + "%"


def _llm(judge: JudgeConfig) -> dict:
    if not networked(judge):
        return {}
    return {
        "criteria": judge.criteria,
        "api_key_env": judge.api_key_env,
        "temperature": judge.temperature,
        "max_tokens": judge.max_tokens,
        "both_orders": judge.both_orders,
        "prompt_price": judge.prompt_dollars,
        "completion_price": judge.completion_dollars,
    }


def _rlthf(config: RunConfig) -> dict:
    if not config.HasField("rlthf"):
        return {}
    knobs = config.rlthf
    return {
        "subset": knobs.subset_share,
        "amplification": tuple(knobs.amplification),
        "back_off": tuple(knobs.back_off),
        "nobody": knobs.nobody,
        "stop_below": knobs.stop_below,
    }


def _left_open(options: Options, config: RunConfig) -> Options:
    """What has a default of its own for each method or kind of judge is kept only where it was chosen."""
    usual = RunConfig()
    set_method(usual, options)
    shard = ASKED_SHARD if networked_judges(config) else KNOWN_SHARD
    return replace(
        options,
        batch=0.0 if config.batch_share == usual.batch_share else config.batch_share,
        folds=0 if config.folds == usual.folds else config.folds,
        shard_pairs=0 if config.shard_pairs == shard else config.shard_pairs,
        pilot=-1 if METHODS[options.method].asks_all else config.pilot,
    )
