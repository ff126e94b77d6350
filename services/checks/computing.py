"""`python -m concord.checks.computing MEGABYTES`: the child that computes whether two formulas are equal, by math-verify.

It reads a line of JSON `[gold, response]` and writes one of true, false or null, in turn, and ends when its input does.
It has no limit of time of its own: whoever waits for it kills it. See `computation.py`.
"""

import json
import logging
import os
import sys

READY = b"ready\n"


def main(megabytes: int) -> None:
    """Answers until standard input ends."""
    # What a library prints goes to standard error: standard output carries answers.
    said = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _limit(megabytes)
    logging.disable(logging.CRITICAL)
    import math_verify  # noqa: F401  loaded before the first question

    said.write(READY)
    said.flush()
    for line in sys.stdin.buffer:
        gold, response = json.loads(line)
        said.write(json.dumps(equal(gold, response)).encode() + b"\n")
        said.flush()


def _limit(megabytes: int) -> None:
    """Keeps this process from taking more memory; where the system has no such limit, the limit of time alone holds."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))


def equal(gold: str, response: str) -> bool | None:
    """Whether the last formula of `response` equals `gold`; None where either cannot be read or computed."""
    from math_verify import parse, verify

    try:
        wanted = [one for one in parse(f"${gold}$", parsing_timeout=None) if not isinstance(one, str)]
        told = [one for one in parse(response, parsing_timeout=None) if not isinstance(one, str)]
        if not wanted or not told:
            return None
        return bool(verify(wanted, told, timeout_seconds=None, raise_on_error=True))
    # Whatever the library or sympy raises, and running out of memory: not computed.
    except Exception:
        return None


if __name__ == "__main__":
    main(int(sys.argv[1]))
