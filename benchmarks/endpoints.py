"""Endpoints as people have them, one after the other: how soon a verdict comes, what has to be left out, how many are had of 24.

    python -m benchmarks.endpoints [--quick] [--json [FILE]]     half a minute

12 pairs in both orders, by Concord's own judge over real HTTP, against our stand-in `tests/dialects.py`: each dialect refuses what
some engine or service refuses, and says its answers as that one does. One request at a time, so that calls can be counted; waiting
takes no time. `lasting` ones can give no verdict: there the calls and the seconds until the error that says why are counted.
"""

import asyncio
import logging
import time
from random import Random

import structlog

from benchmarks.measure import asked_of, circumstances, parser_of, write

PAIRS = 12


async def one(served, name):
    """The figures of one dialect: calls (fewer is better), what was dropped, verdicts and right ones (more is better)."""
    from concord.kit.enums import word
    from concord.kit.errors import Permanent
    from concord.labeling.answer_cache import MemoryAnswers
    from concord.labeling.chat import ChatSettings
    from concord.labeling.llm import LLMJudges
    from concord.v1 import config_pb2 as cfg
    from concord.v1.events_pb2 import AnswerFault
    from tests.dialects import DIALECTS, pairs, right
    from tests.fake_time import FakeTime

    clock, asked = FakeTime(), pairs(PAIRS)
    judges = LLMJudges(
        MemoryAnswers(), {}, ChatSettings(concurrency=1), clock=clock, sleep=clock.sleep, random=Random(0)
    )
    config = cfg.JudgeConfig(kind="llm", name="m", url=served.url(name), both_orders=True, max_tokens=300)
    began, error, said = time.perf_counter(), "", []
    try:
        said, _ = await judges.ask(asked, config, 1)
    except Permanent as refused:
        error = str(refused)
    chat = judges.chat(config)
    await judges.close()
    return {
        "about": DIALECTS[name].about,
        "calls_until_first_verdict": served.first.get(name) if said else None,
        "calls": len(served.requests[name]),
        "dropped": list(chat.dropped),
        "room": chat.dialect.room,
        "verdicts": sum(len(label.choices) for label in said),
        "verdicts_to_be_had": DIALECTS[name].verdicts,
        "right": sum(
            choice == right(pair) for pair, label in zip(asked, said, strict=False) for choice in label.choices
        ),
        "causes": sorted({word(AnswerFault, miss.fault) for label in said for miss in label.misses}),
        "error": error.replace(served.url(name), "URL"),
        "seconds": time.perf_counter() - began + clock.now,
    }


async def every(names):
    """Dialect → figures."""
    from tests.dialects import Dialects

    async with Dialects() as served:
        return {name: await one(served, name) for name in names}


def shown(name, figures):
    """One line of the table."""
    first = figures["calls_until_first_verdict"]
    dropped = list(figures["dropped"]) + ([f"{figures['room']} x max_tokens"] if figures["room"] > 1 else [])
    what = ", ".join(dropped) or figures["error"][:70] or ", ".join(figures["causes"])
    had = f"{figures['verdicts']} of {figures['verdicts_to_be_had']}"
    return f"{name:<15}{first or '–':>6}{figures['calls']:>7}{had:>10}{figures['seconds']:>8.1f}  {what}"


def main():
    parser = parser_of(__doc__, "every fifth dialect")
    options = asked_of(parser)
    from tests.dialects import DIALECTS

    # What is logged of each stands in the table; a client that hangs up after an error is no news of the stand-in's either.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    names = list(DIALECTS)[:: 5 if options.quick else 1]
    found = asyncio.run(every(names))
    print(
        f"{'dialect':<15}{'first':>6}{'calls':>7}{'verdicts':>10}{'s':>8}  left out or put otherwise; else why there is none"
    )
    for name, figures in found.items():
        print(shown(name, figures))
    lost = {
        name: f for name, f in found.items() if f["verdicts"] != f["verdicts_to_be_had"] or f["right"] != f["verdicts"]
    }
    print(f"{len(found)} dialects, {len(lost)} with other verdicts than are to be had")
    if options.json:
        write(options.json, circumstances({"pairs": PAIRS, "at_once": 1}) | {"dialects": found})


if __name__ == "__main__":
    main()
