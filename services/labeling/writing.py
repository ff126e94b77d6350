"""Texts that a model writes, a chat each, without a run: rewrites and further wordings. Nothing is kept between calls."""

from collections.abc import Mapping, Sequence
from time import monotonic

from concord.labeling.answer_cache import MemoryAnswers
from concord.labeling.chat import Chat, ChatSettings
from concord.labeling.llm import LLMJudges
from concord.labeling.negotiation import Rejected
from concord.labeling.reply import Reply
from concord.labeling.shard import together
from concord.labeling.spending import Spent, usage
from concord.v1.config_pb2 import JudgeConfig
from concord.v1.events_pb2 import Usage

MAX_TOKENS = 1_000
# Texts that are to differ from each other want some.
WARM = 0.7
# A text is asked for as it is, not in a form.
_SETTINGS = ChatSettings(structured=False, logprobs=False)


async def written(
    chats: Sequence[list[dict[str, str]]], config: JudgeConfig, environ: Mapping[str, str], temperature: float = WARM
) -> tuple[list[str | None], Usage]:
    """What the model says to each chat, None where it refuses the request or is cut; and what that took.

    `environ` holds the variable that the key is in. Raises Permanent, Deferred, InvalidInput.
    """
    judges, spent, began = LLMJudges(MemoryAnswers(), environ, _SETTINGS), Spent(), monotonic()
    try:
        chat = judges.chat(config)
        said = await together(_one(chat, messages, config, temperature, spent) for messages in chats)
    finally:
        await judges.close()
    return said, usage(spent, config, monotonic() - began)


async def _one(
    chat: Chat, messages: list[dict[str, str]], config: JudgeConfig, temperature: float, spent: Spent
) -> str | None:
    async def kept(reply: Reply) -> str | None:
        return None if reply.cut or reply.filtered else reply.text.strip() or None

    request = chat.request(messages, temperature, max(config.max_tokens, MAX_TOKENS), 0)
    try:
        return await chat.ask(request, spent, kept)
    except Rejected:
        return None
