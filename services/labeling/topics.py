"""Prompts on a topic by a model: what it is asked, and what is read of its answer. Pure."""

from collections.abc import Collection, Sequence

from concord.checks.model_list import listed, same

# Prompts that one call is asked for, and of those that are there already how many it is shown.
A_CALL, SHOWN = 20, 20
# Longer ones are no prompts but a model that lost the thread.
LONGEST = 2_000
_ASK = """Write {count} prompts that people might send to an assistant about the topic below. Vary what they want (an explanation,
a plan, code, a comparison, advice, a text), how much they know, their tone and their length. Each must make sense by itself,
without an attachment or an earlier conversation. Do not answer them.

The topic, between the lines:
---
{topic}
---
{others}
Return a JSON list of {count} strings and nothing else."""
_OTHERS = """
These are there already; write others:
{listed}
"""


def messages(topic: str, count: int, written: Sequence[str] = ()) -> list[dict[str, str]]:
    """The chat that asks for `count` prompts (at most A_CALL) beside those that are `written`."""
    shown = "\n".join(f"- {' '.join(one.split())[:200]}" for one in written[-SHOWN:])
    others = _OTHERS.format(listed=shown) if shown else ""
    return [
        {"role": "user", "content": _ASK.format(count=min(count, A_CALL), topic=topic.strip(), others=others)},
    ]


def read(answer: str, written: Collection[str]) -> tuple[list[str], int]:
    """(new prompts, how many were repeated or too long); `written`: as `same` has them, whatever their topic."""
    found, seen, useless = list[str](), set(written), 0
    for text in map(str.strip, listed(answer)):
        if not same(text) or same(text) in seen or len(text) > LONGEST:
            useless += 1
            continue
        seen.add(same(text))
        found.append(text)
    return found, useless
