"""All services in this process for as long as one command lasts, or those that run elsewhere: a client sees no difference."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from concord.client.run.session import Cluster, Services
from concord.kit import tracing
from concord.kit.errors import InvalidInput, Permanent
from concord.kit.settings import Settings
from concord.process import Running
from concord.reward.models import KINDS, POLICY, REWARD
from concord.training.asked import check_knobs
from concord.training.trainer import check_installed
from concord.v1.config_pb2 import RunConfig
from concord.wiring import SERVICES

# A child process takes about a second to start: as long as the features of a thousand pairs.
WORTH_PROCESSES = 5_000


@contextmanager
def embedded(settings: Settings, pairs: int = 0) -> Iterator[Running]:
    """All services in this process for as long as the block lasts; `pairs`: how many they will be given, about."""
    if settings.processes < 0 and pairs < WORTH_PROCESSES:
        settings = replace(settings, processes=0)
    # Whoever presses ^C does not want to wait.
    running = Running(list(SERVICES), replace(settings, listen="127.0.0.1:0", grace_s=0.0))
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def serving(settings: Settings, server: str, pairs: int, config: RunConfig) -> Iterator[Services]:
    """The services behind the front door `server`, or all of them in this process.

    Raises InvalidInput where this run needs an extra that is not installed here: nothing was paid yet.
    """
    if server:
        with ExitStack() as opened:
            if settings.traces:
                opened.callback(tracing.begin("client", settings.traces))
            yield Cluster(server)
    else:
        equipped(config)
        with embedded(settings, pairs) as running:
            yield running


def equipped(config: RunConfig) -> None:
    """Raises InvalidInput for a knob that is none, and where something is to be installed for the models that the run trains."""
    asked = (
        (REWARD, config.reward_model, config.reward_knobs, "reward_knobs"),
        (POLICY, config.policy, config.policy_knobs, "policy_knobs"),
    )
    for kind, model, knobs, setting in asked:
        if model:
            check_knobs(KINDS[kind].trains, knobs, setting)
            try:
                check_installed(KINDS[kind])
            except Permanent as error:
                raise InvalidInput(str(error)) from None


def allowing(settings: Settings, config: RunConfig) -> Settings:
    """The settings, with the key variables of this run's judges allowed besides those that were.

    On the caller's own machine a judge may read what the caller named.
    """
    named = [judge.api_key_env for judge in (config.judge, *config.helpers, *config.generators) if judge.api_key_env]
    return replace(settings, judge_keys=",".join(filter(None, (settings.judge_keys, *named))))
