"""`python -m tests.wrong_clock NAME…`: `python -m concord NAME…` by a clock that is wrong.

By as many seconds as the file that WRONG_CLOCK names says at that moment. It is the clock of all Python code, `time.time`:
the services' and their Kafka client's. What libraries ask in C stays right, as do monotonic clocks and the servers' own.
"""

import os
import sys
import time

FILE = os.environ["WRONG_CLOCK"]
right = time.time


def wrong() -> float:
    """What this process takes for the time."""
    with open(FILE) as file:
        return right() + float(file.read())


if __name__ == "__main__":
    # Before anybody keeps the right one.
    time.time = wrong
    from concord.__main__ import main

    sys.exit(main(sys.argv[1:]))
