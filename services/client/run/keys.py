"""Which environment variables a judge may read: on the caller's own machine, those that the caller named."""

from dataclasses import replace

from concord.kit.settings import Settings
from concord.v1.config_pb2 import RunConfig


def allowing(settings: Settings, config: RunConfig) -> Settings:
    """The settings, with the key variables of this run's judges allowed besides those that were."""
    named = [judge.api_key_env for judge in (config.judge, *config.helpers) if judge.api_key_env]
    return replace(settings, judge_keys=",".join(filter(None, (settings.judge_keys, *named))))
