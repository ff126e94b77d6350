"""When a run ends asking before its budget is spent, and which methods can say so. Pure.

What is looked at stands in `triage/enough.py`; this is what a caller and the front door have to know.
"""

from concord.kit.errors import InvalidInput
from concord.preference.methods import METHODS
from concord.v1.config_pb2 import RunConfig


def check(config: RunConfig) -> None:
    """Refuses a wish that the run's method would never heed. Raises InvalidInput."""
    method = METHODS.get(config.method)
    if method is None:
        return
    if config.target_error and not method.bounded:
        raise InvalidInput(
            f"target_error: with method {config.method} an answer teaches the label that it would have to test, so none can "
            f"say how many labels are wrong; {_named('bounded')} can"
        )
    if config.label_worth and not method.learns:
        raise InvalidInput(
            f"label_worth: method {config.method} does not learn what an answer gains; {_named('learns')} do"
        )


def _named(flag: str) -> str:
    return " and ".join(name for name, method in METHODS.items() if getattr(method, flag))
