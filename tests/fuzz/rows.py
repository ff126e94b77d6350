"""Rows of every form that we read, and ways to spoil them: for the doors that take files."""

import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any

_TEXTS = (
    "",
    " ",
    "a",
    "b",
    "tie",
    "model_a",
    "response_1",
    "A",
    "1",
    "\n\nHuman: q\n\nAssistant: a",
    "\ud800",
    "x" * 300,
    "{",
    "[{",
    "[]",
)
_KEYS = (
    "id",
    "prompt",
    "chosen",
    "rejected",
    "role",
    "content",
    "value",
    "status",
    "agent",
    "rank",
    "responses",
    "text",
    "tools",
    "images",
)


def chat(*texts: str) -> list[dict[str, Any]]:
    return [
        {"role": role, "content": text} for role, text in zip(("user", "assistant") * len(texts), texts, strict=False)
    ]


def hh(*texts: str) -> str:
    return "".join(f"\n\n{who}: {text}" for who, text in zip(("Human", "Assistant") * len(texts), texts, strict=False))


def forms() -> list[dict[str, Any]]:
    """One good row of each form."""
    call = {"id": "c", "function": {"name": "f", "arguments": '{"x": 1}'}}
    sides = {"chosen": "a", "rejected": "b"}
    fields = {"prompt": "q", "response_1": "a", "response_2": "b"}
    return [
        {"id": "x", "prompt": "q", **sides, "source": "s/t", "domain": "d", "reference": 4},
        {"prompt": chat("q"), "chosen": chat("q", "a")[1:], "rejected": chat("q", "b")[1:], "tools": [{"name": "f"}]},
        {"chosen": chat("q", "a"), "rejected": chat("q", "b"), "prompt": "q"},
        {
            "prompt": "q",
            "chosen": [{"role": "assistant", "content": None, "tool_calls": [call]}],
            "rejected": chat("", "b")[1:],
        },
        {
            "prompt": "q",
            "responses": ["a", {"text": "b", "model": "m"}, "c"],
            "ai_labels": {"J": [{"pair": [0, 1], "choice": 1}]},
        },
        {
            "prompt": "q",
            "responses": ["a", "b"],
            "human_majority": 0,
            "human_labels": [{"choice": 0, "pair": [0, 1]}],
            "ai_labels": {"J": {"choice": "tie", "choice_swapped": 1, "confidence": 0.7}},
        },
        {"chosen": hh("q", "a"), "rejected": hh("q", "b")},
        {
            "winner": "tie (bothbad)",
            "conversation_a": chat("q", "a"),
            "conversation_b": chat("q", "b"),
            "turn": 1,
            "judge": "x",
        },
        {"prompt": '["q"]', "response_a": '["a"]', "response_b": '["b"]', "winner_model_a": 1, "winner_tie": 0},
        {
            "context": chat("q"),
            "response1": "a",
            "response2": "b",
            "overall_preference": -2,
            "individual_preference": [{"score": 1}],
        },
        {"prompt": "q", "response": "a", "helpfulness": 3},
        {"history": "q", "human_ref_A": "a", "human_ref_B": "b", "labels": 1, "domain": "d_train"},
        {
            "prompt": hh("q", ""),
            "answers": [{"answer": text, "model": text, "rank": rank} for rank, text in enumerate("abc")],
        },
        {
            "context": chat("q"),
            "completions": [{"rank": at, "completion": chat("", text)[1:]} for at, text in enumerate("ab")],
        },
        {
            "instruction": "q",
            "completions": [{"response": text, "overall_score": at, "model": "m"} for at, text in enumerate("ab")],
        },
        {"instruction": "q", "generations": ["a", "b"], "ratings": [1, "2"], "generation_models": ["m", "n"]},
        {
            "conversations": [{"from": "human", "value": "q"}],
            "chosen": {"from": "gpt", "value": "a"},
            "rejected": {"from": "gpt", "value": "b"},
        },
        {"instruction": "q", "input": "r", "history": [["s", "t"]], **sides},
        {"system": "s", "question": "q", **sides},
        {
            "id": "r",
            "fields": fields,
            "responses": {"best": [{"value": "response_2", "user_id": "u"}]},
            "suggestions": {"best": {"value": "response_1", "agent": "g"}},
        },
        {
            **fields,
            "best.responses": ["response_1"],
            "best.responses.status": ["submitted"],
            "best.suggestion": "response_2",
        },
        {
            **fields,
            "best": [{"user_id": "u", "value": "response_1", "status": "submitted"}],
            "best-suggestion": "response_2",
        },
        {
            "data": fields,
            "annotations": [
                {
                    "result": [
                        {"type": "rating", "from_name": f"r{at}", "to_name": f"response_{at}", "value": {"rating": at}}
                        for at in (1, 2)
                    ]
                }
            ],
        },
        {"id": 4, **fields, "better": "response_1", "annotator": 1, "annotation_id": 1, "lead_time": 2.0},
        {
            "prompt": "q",
            **sides,
            "p_chosen": 0.7,
            "weight": 1.0,
            "source": "people",
            "original": '{"prompt": [], "chosen": [], "rejected": []}',
        },
    ]


def spoiled(rng: random.Random, row: dict[str, Any]) -> dict[str, Any]:
    """The row with up to three changes anywhere in it; without any now and then."""
    row = deepcopy(row)
    for _ in range(rng.randrange(4)):
        _change(rng, row)
    return row


def anything(rng: random.Random, depth: int = 0) -> Any:
    """Any value that JSON can say."""
    leaves: list[Callable[[], Any]] = [
        lambda: None,
        lambda: rng.random() < 0.5,
        lambda: rng.choice((0, 1, 2, -1, 7, 10**30, 2**63)),
        lambda: rng.choice((0.0, 0.5, 1.0, -3.5, 1e300, float("nan"), float("inf"))),
        lambda: rng.choice(_TEXTS),
    ]
    if depth < 3 and rng.random() < 0.4:
        if rng.random() < 0.5:
            return [anything(rng, depth + 1) for _ in range(rng.randrange(3))]
        return {rng.choice(_KEYS): anything(rng, depth + 1) for _ in range(rng.randrange(3))}
    return rng.choice(leaves)()


def _change(rng: random.Random, row: dict[str, Any]) -> None:
    held: Any = row
    while True:
        inside = [
            key for key in (held if isinstance(held, dict) else range(len(held))) if isinstance(held[key], dict | list)
        ]
        if not inside or rng.random() < 0.4:
            break
        held = held[rng.choice(inside)]
    keys = list(held) if isinstance(held, dict) else list(range(len(held)))
    kind = rng.random()
    if kind < 0.5 and keys:
        held[rng.choice(keys)] = anything(rng)
    elif kind < 0.7 and keys:
        del held[rng.choice(keys)]
    elif isinstance(held, dict):
        held[rng.choice((*_KEYS, *_TEXTS))] = anything(rng)
    else:
        held.append(anything(rng))
