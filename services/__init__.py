"""Concord: preference datasets of human quality from an LLM judge and a few people. Each folder is a service.

In Python: `concord.run(pairs, judge=…, annotators=…, budget=…)`, see `concord.notebook`; it is loaded when it is first named.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concord.notebook import Annotators, ConcordError, InvalidInput, Run, StandsStill, run

__all__ = ["Annotators", "ConcordError", "InvalidInput", "Run", "StandsStill", "run"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from concord import notebook

    return getattr(notebook, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
