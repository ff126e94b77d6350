"""The settings of an earlier run, as the options that lead to them: what a linked run starts from. Pure."""

import re
from dataclasses import replace
from typing import Any

from concord.client.run.options import set_method, usual_shard
from concord.preference import run_settings
from concord.preference.budget import new_pairs, votes_each
from concord.preference.judges import JUDGE_KINDS, networked_judges
from concord.preference.methods import METHODS
from concord.preference.run_settings import Options
from concord.v1.config_pb2 import JudgeConfig, RunConfig

# What `people.named` puts behind a file.
_HASH = re.compile(r"@[0-9a-f]{12}$")


def options_of(config: RunConfig, pairs: int, human_budget: int, table: type[Options] = Options) -> Options:
    """Options that give this configuration again; `pairs` and `human_budget` (votes) are those of its run.

    The budget becomes a share, so that it is one of the pairs that are new. What followed from the method or the judge
    is left open, so that it follows from another one where that is asked for.
    """
    asked = table(
        **_recorded(config, table)
        | {
            "judge": _spec(config.judge),
            "helper": tuple(map(_spec, config.helpers)),
            "annotators": _people(config.annotators),
            "budget": _percent(human_budget / votes_each(config) / max(1, new_pairs(config, pairs))),
        }
    )
    if METHODS[config.method].asks_all:
        asked = replace(asked, pilot=run_settings.DEFAULTS.pilot)
    # Its pairs are those that it chose: a run that goes on from it has them all.
    asked = replace(asked, select="", select_share=0.0, select_per_prompt=0, samples=0)
    return replace(asked, **_chosen(config, asked))


def _recorded(config: RunConfig, table: type[Options]) -> dict[str, Any]:
    """What stands in the configuration as it was asked for; of several LLMs the first one's."""
    found = {
        name: run_settings.turned(entry, run_settings.got(config, entry.field))
        for name, entry in run_settings.settings(table).items()
        if entry.plain or (entry.method and entry.method == config.method)
    }
    for llm in networked_judges(config)[:1]:
        own = run_settings.within("judge", table)
        found |= {name: run_settings.got(llm, entry.place[1]) for name, entry in own.items()}
    return found


def _chosen(config: RunConfig, options: Options) -> dict[str, Any]:
    """What follows from the method or the judges where it is left open, and was not."""
    usual = RunConfig(shard_pairs=usual_shard((config.judge, *config.helpers)))
    set_method(usual, options)
    return {
        name: run_settings.got(config, entry.field)
        for name, entry in run_settings.settings(type(options)).items()
        if entry.follows and run_settings.got(config, entry.field) != run_settings.got(usual, entry.field)
    }


def _spec(judge: JudgeConfig) -> str:
    return JUDGE_KINDS[judge.kind].spec(judge)


def _people(annotators: str) -> str:
    return _HASH.sub("", annotators) if annotators.startswith("file:") else annotators


def _percent(share: float) -> str:
    return f"{100 * min(share, 1.0):.6f}".rstrip("0").rstrip(".") + "%"
