"""A prompt and its answers as tokens of a model, and what is done where they are too long. Pure.

`tokenizer` is one of transformers', passed in; nothing here needs torch. Conversations go through its chat template, texts are
joined and end with its end token, as TRL's trainers do it. A model without a template reads a conversation as a transcript.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Ids = list[int]
# A text, or chat messages.
Words = str | Sequence[Mapping[str, Any]]
_NAMES = {"user": "User", "assistant": "Assistant", "system": "System", "tool": "Tool"}
# Of the room, what a prompt keeps however long the answers are.
PROMPT_SHARE = 0.25
_PROBE = "a system message of one's own"


@dataclass(frozen=True)
class Encoded:
    """Tokens of a prompt, and those of each answer behind it."""

    prompt: Ids
    answers: tuple[Ids, ...]

    @property
    def longest(self) -> int:
        """Tokens of the prompt with its longest answer."""
        return len(self.prompt) + max(map(len, self.answers))


@dataclass(frozen=True)
class Asked:
    """A prompt, and answers to it of the same kind: texts or lists of messages."""

    prompt: Words
    answers: tuple[Words, ...]
    tools: tuple[Any, ...] = ()


def encoded(tokenizer: Any, asked: Sequence[Asked]) -> list[Encoded]:
    """Each with its tokens: the prompt is what all of its whole sequences begin with, so that nothing is said twice."""
    takes_system = takes_a_system_message(tokenizer)
    texts: list[str] = []
    for one in asked:
        texts += _texts(tokenizer, one, takes_system)
    # A template writes the special tokens itself.
    special = [isinstance(one.prompt, str) or not tokenizer.chat_template for one in asked for _ in (0, *one.answers)]
    ids = _tokens(tokenizer, texts, special)
    out, at = [], 0
    for one in asked:
        prompt, *whole = ids[at : at + 1 + len(one.answers)]
        at += 1 + len(one.answers)
        shared = min(common(prompt, ids_) for ids_ in whole)
        out.append(Encoded(prompt[:shared], tuple(ids_[shared:] for ids_ in whole)))
    return out


def prompt_tokens(tokenizer: Any, prompts: Sequence[Words]) -> list[Ids]:
    """The tokens of each prompt by itself."""
    empty = lambda prompt: "" if isinstance(prompt, str) else [{"role": "assistant", "content": ""}]  # noqa: E731
    return [one.prompt for one in encoded(tokenizer, [Asked(prompt, (empty(prompt),)) for prompt in prompts])]


def _tokens(tokenizer: Any, texts: Sequence[str], special: Sequence[bool]) -> list[Ids]:
    """Tokens of each text, all of one kind at once."""
    out: list[Ids] = [[] for _ in texts]
    for kind in (True, False):
        places = [at for at, is_special in enumerate(special) if is_special is kind]
        if places:
            # Half of a surrogate pair is no text to a tokenizer.
            clean = [texts[at].encode("utf-8", "replace").decode() for at in places]
            found = tokenizer(clean, add_special_tokens=kind)["input_ids"]
            for at, ids in zip(places, found, strict=True):
                out[at] = list(ids)
    return out


def common(one: Ids, other: Ids) -> int:
    """How many tokens both begin with."""
    most = min(len(one), len(other))
    return next((at for at in range(most) if one[at] != other[at]), most)


def _texts(tokenizer: Any, asked: Asked, takes_system: bool) -> list[str]:
    """The prompt alone, then with each of its answers."""
    end = tokenizer.eos_token or ""
    if isinstance(asked.prompt, str):
        return [asked.prompt, *(asked.prompt + str(answer) + end for answer in asked.answers)]
    if not tokenizer.chat_template:
        said = transcript(asked.prompt)
        return [said, *(f"{said} {transcript_answer(answer)}{end}" for answer in asked.answers)]
    prompt = list(asked.prompt) if takes_system else without_system(asked.prompt)
    more = {"tools": list(asked.tools)} if asked.tools else {}
    write = tokenizer.apply_chat_template
    alone = write(prompt, tokenize=False, add_generation_prompt=True, **more)
    return [alone, *(write([*prompt, *answer], tokenize=False, **more) for answer in asked.answers)]


def takes_a_system_message(tokenizer: Any) -> bool:
    """Whether the chat template says a system message: some raise, some leave it out without a word."""
    if not tokenizer.chat_template:
        return True
    from jinja2 import TemplateError

    turns = [{"role": "system", "content": _PROBE}, {"role": "user", "content": "?"}]
    try:
        return _PROBE in tokenizer.apply_chat_template(turns, tokenize=False)
    except TemplateError:
        return False


def without_system(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the system says at the head of the first other message."""
    said = "\n\n".join(str(turn["content"]) for turn in messages if turn["role"] == "system")
    rest = [dict(turn) for turn in messages if turn["role"] != "system"]
    if not said:
        return rest
    if not rest:
        return [{"role": "user", "content": said}]
    return [{**rest[0], "content": f"{said}\n\n{rest[0]['content']}"}, *rest[1:]]


def transcript(messages: Sequence[Mapping[str, Any]]) -> str:
    """A conversation as one text that the assistant is to go on."""
    turns = [f"{_NAMES.get(turn['role'], turn['role'])}: {turn['content']}" for turn in messages]
    return "\n\n".join([*turns, "Assistant:"])


def transcript_answer(answer: Words) -> str:
    """What the assistant said, as one text."""
    return answer if isinstance(answer, str) else "\n\n".join(str(turn["content"]) for turn in answer)


def cut(one: Encoded, max_length: int) -> Encoded:
    """The same with no sequence above `max_length` tokens: what is too much is missing in the middle.

    The prompt gives way first, down to PROMPT_SHARE of the room: its beginning says what it is about, its end what is asked.
    All answers keep the same prompt.
    """
    if one.longest <= max_length:
        return one
    floor = round(PROMPT_SHARE * max_length)
    room = max(max_length - max(map(len, one.answers)), min(len(one.prompt), floor))
    prompt = middle_out(one.prompt, room)
    return Encoded(prompt, tuple(middle_out(answer, max_length - len(prompt)) for answer in one.answers))


def middle_out(ids: Ids, most: int) -> Ids:
    """Beginning and end, together at most `most` tokens."""
    if len(ids) <= most:
        return ids
    head = (most + 1) // 2
    return ids[:head] + ids[len(ids) - (most - head) :]
