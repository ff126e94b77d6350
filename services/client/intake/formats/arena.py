"""Two models' conversations side by side: Chatbot Arena, MT-Bench's human judgements, LMSYS' tables. PURE.

| form | keys |
| --- | --- |
| conversations | `conversation_a`, `conversation_b`, `winner` (`model_a`, `model_b`, `tie`, `tie (bothbad)`) |
| texts | `prompt`, `response_a`, `response_b`, and `winner`, or `winner_model_a`, `winner_model_b`, `winner_tie` (1 or 0) |

Where a conversation has several turns the two share only the first question: all that follows is the answer. Both bad is a tie.
"""

from typing import Any

from concord.client.intake.chat_text import decoded
from concord.client.intake.formats import canonical
from concord.client.intake.formats.record import Decoded, Record
from concord.client.intake.messages import messages_of
from concord.preference.pairs import BadRecord
from concord.v1 import pairs_pb2 as pb

_WON = {
    "modela": 0,
    "a": 0,
    "modelb": 1,
    "b": 1,
    "tie": "tie",
    "tiebothbad": "tie",
    "bothbad": "tie",
    "bothgood": "tie",
    **dict.fromkeys(("both", "neither", "draw", "equal"), "tie"),
}
_TURNS = "the conversation goes on behind the first answer: all of it is compared"
_WINNERS = ("winner_model_a", "winner_model_b", "winner_tie")


def recognises(row: Decoded) -> bool:
    """Whether two conversations stand side by side."""
    return row.get("conversation_a") is not None and row.get("conversation_b") is not None


def read(row: Decoded) -> Record:
    """The record of a battle. Raises BadRecord."""
    sides = [_cut(messages_of(decoded(row[key]), f"`{key}`"), row) for key in ("conversation_a", "conversation_b")]
    shared = canonical.shared_turns(*sides)
    answers = [side[shared:] for side in sides]
    asked = [[turn.content for turn in side if turn.role == "user"] for side in answers]
    if asked[0] != asked[1]:
        raise BadRecord("not one question", "the two conversations answer different questions")
    long = any(len(answer) > 1 for answer in answers)
    responses = [{"turns": turns, "model": _model(row, side)} for turns, side in zip(answers, "ab", strict=True)]
    return _record(row, sides[0][:shared], responses, _winner(row.get("winner")), (_TURNS,) if long else ())


def is_texts(row: Decoded) -> bool:
    """Whether two responses called a and b stand beside columns that say who won."""
    return all(key in row for key in ("response_a", "response_b")) and any(key in row for key in ("winner", *_WINNERS))


def read_texts(row: Decoded) -> Record:
    """The record of a row of texts; a list of texts, also as JSON, are the turns of a conversation. Raises BadRecord."""
    asked, *said = [_turns(row.get(key), key) for key in ("prompt", "response_a", "response_b")]
    if not len(asked) == len(said[0]) == len(said[1]):
        raise BadRecord("broken messages", "`prompt`, `response_a` and `response_b` have different numbers of turns")
    responses = [
        {"turns": _talk(asked[1:], answers), "model": _model(row, side)}
        for answers, side in zip(said, "ab", strict=True)
    ]
    return _record(row, asked[0], responses, _winner_of_texts(row), (_TURNS,) if len(asked) > 1 else ())


def _winner_of_texts(row: Decoded) -> Any:
    if row.get("winner") is not None:
        return _winner(row["winner"])
    won = [at for at, key in enumerate(_WINNERS) if str(row.get(key)).lower() in ("1", "1.0", "true")]
    if len(won) > 1:
        raise BadRecord("broken label", "more than one of `winner_model_a`, `winner_model_b` and `winner_tie` is 1")
    return (0, 1, "tie")[won[0]] if won else None


def _record(row: Decoded, prompt: Any, responses: list[Any], winner: Any, remarks: tuple[str, ...]) -> Record:
    judge = row.get("judge")
    by_model = isinstance(judge, list) or (isinstance(judge, str) and judge.lower().startswith(("gpt", "claude")))
    name = "-".join(map(str, judge))[:200] if isinstance(judge, list) else str(judge)[:200]
    return Record(
        responses=responses,
        prompt=prompt,
        system=row.get("system"),
        tools=row.get("tools"),
        may_be_empty=True,
        majority=None if by_model else winner,
        annotations=None if by_model or winner is None else [{"choice": winner}],
        verdicts={name: {"choice": winner}} if by_model and winner is not None else None,
        remarks=remarks,
    )


def _winner(value: object) -> Any:
    if value is None:
        return None
    word = "".join(c for c in value.lower() if c.isalpha()) if isinstance(value, str) and len(value) < 100 else None
    if word not in _WON:
        raise BadRecord("broken label", f"`winner` is {str(value)[:40]!r}, not model_a, model_b, tie or tie (bothbad)")
    return _WON[word]


def _cut(turns: list[pb.Message], row: Decoded) -> list[pb.Message]:
    """The conversation up to the turn that was judged, where the row says which."""
    turn = row.get("turn")
    if not isinstance(turn, int) or isinstance(turn, bool) or turn < 1:
        return turns
    answers = [at for at, said in enumerate(turns) if said.role == "assistant"]
    return turns[: answers[turn - 1] + 1] if turn <= len(answers) else turns


def _model(row: Decoded, side: str) -> Any:
    return row.get(f"model_{side}")


def _turns(value: Any, what: str) -> list[Any]:
    held = decoded(value)
    listed = held if isinstance(held, list) and held else [value]
    if not all(isinstance(text, str) for text in listed):
        raise BadRecord("missing text", f"`{what}` is neither a text nor a list of texts")
    return listed


def _talk(asked: list[Any], said: list[Any]) -> list[dict[str, Any]]:
    roles = ("user", "assistant")
    later = [
        {"role": role, "content": text}
        for two in zip(asked, said[1:], strict=True)
        for role, text in zip(roles, two, strict=True)
    ]
    return [{"role": "assistant", "content": said[0]}, *later]
