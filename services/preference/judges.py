"""What a kind of judge is: one value for each. Pure.

How a judge of a kind is asked stands in `labeling/service.py`; what a user writes, what it costs and what must be checked
stands here, and nothing else asks for a kind by its name.
"""

from collections.abc import Callable
from dataclasses import dataclass

from concord.v1.config_pb2 import JudgeConfig, RunConfig


@dataclass(frozen=True)
class JudgeKind:
    """One place that verdicts come from."""

    # How a user names such a judge, for messages.
    spelling: str
    # Whether `--judge SPEC` means this kind.
    means: Callable[[str], bool]
    # The SPEC that leads to this judge.
    spec: Callable[[JudgeConfig], str]
    # Behind an endpoint: it needs a URL and a model's name, it costs calls and perhaps money, it may be away.
    networked: bool = False
    # From the labels in the input, by their exact key.
    in_the_data: bool = False
    # A program that imitates a judge: a run with it is a simulation.
    simulated: bool = False
    # Whether it can be asked anything beside its verdict: see `further.py`.
    further: bool = False


JUDGE_KINDS: dict[str, JudgeKind] = {
    "sample": JudgeKind("sample", lambda spec: spec == "sample", lambda judge: "sample", simulated=True, further=True),
    "recorded": JudgeKind(
        "recorded:NAME",
        lambda spec: spec.startswith("recorded:"),
        lambda judge: f"recorded:{judge.name}",
        in_the_data=True,
    ),
    "llm": JudgeKind(
        "the URL of an OpenAI-compatible endpoint",
        lambda spec: spec.lower().startswith(("http://", "https://")),
        lambda judge: f"{judge.url}#{judge.name}",
        networked=True,
        further=True,
    ),
}


def kind_of(spec: str) -> str | None:
    """The kind that `--judge SPEC` means; None where it means none."""
    return next((name for name, kind in JUDGE_KINDS.items() if kind.means(spec)), None)


def named(*parts: str) -> str:
    """A judge's kind, name and perhaps address in words; a part that says the same as the one before is said once."""
    return " ".join(part for at, part in enumerate(parts) if part and part not in parts[:at])


def column_name(judge: JudgeConfig) -> str:
    """What HelperColumn calls the judge: `kind:name`, and for an LLM whose it is, as two endpoints may share a name."""
    return f"{judge.kind}:{judge.name}" + (f"@{judge.url}" if judge.url else "")


def spelled(judge: JudgeConfig) -> str:
    """The judge as a user gives it to `--judge`; its name where the kind is not known (of a newer version)."""
    return JUDGE_KINDS[judge.kind].spec(judge) if judge.kind in JUDGE_KINDS else judge.name


def networked(judge: JudgeConfig) -> bool:
    """Whether the judge is behind an endpoint; a kind that is not known (of a newer version) is not."""
    return judge.kind in JUDGE_KINDS and JUDGE_KINDS[judge.kind].networked


def simulated(judge: JudgeConfig) -> bool:
    """Whether the judge is a program that imitates one."""
    return judge.kind in JUDGE_KINDS and JUDGE_KINDS[judge.kind].simulated


def priced(config: RunConfig) -> bool:
    """Whether every judge, and every model that answers prompts, has a price; a price of 0 is one that nobody gave."""
    asked = (*networked_judges(config), *config.generators)
    return all(model.prompt_dollars or model.completion_dollars for model in asked)


def networked_judges(config: RunConfig) -> list[JudgeConfig]:
    """Those of the run's judges that are asked over the network, the labelling one first."""
    return [judge for judge in (config.judge, *config.helpers) if networked(judge)]
