"""The screen on which one person answers: the prompt, two responses side by side, one key a pair."""

import asyncio
import time
import unicodedata
from collections.abc import Callable
from typing import ClassVar, TypeVar

import grpc
from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Footer, Static

from concord.client.annotate.sitting import Question, Sitting
from concord.v1 import pairs_pb2 as pairs

T = TypeVar("T")
LOOK_S = 0.5
# The last answer for now can be taken back so long; then it is handed in, for the run waits for it.
HAND_IN_LOOKS = 10
ANSWERS = frozenset("12ts")
CHOICES = {
    "first": pairs.CHOICE_FIRST,
    "second": pairs.CHOICE_SECOND,
    "tie": pairs.CHOICE_TIE,
    "skip": pairs.CHOICE_UNSPECIFIED,
}


def harmless(text: str) -> str:
    """A stranger's text for a screen: what could steer it is replaced; lines and tabs stay."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf") else "\ufffd" for c in text)


WARNING = "Marked as harmful: these texts may hurt. Whoever would rather not read them skips the question."


def asked_of(pair: pairs.Pair, criteria: str) -> str:
    """What stands above the responses: a warning where the pair is marked as harmful, the criteria, the prompt."""
    prompt = "\n\n".join(f"{message.role}: {message.content}" for message in pair.prompt)
    parts = (WARNING if pair.harmful else "", f"Criteria: {criteria}" if criteria else "", prompt)
    return "\n\n".join(filter(None, parts))


class Screen(App[str]):
    """Shows one question after the other until the person leaves or the run needs nobody any more."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #progress, #said { height: auto; padding: 0 1; }
    #progress { color: $text-muted; }
    #said { color: $warning; }
    #prompt { height: auto; max-height: 40%; border: round $primary; padding: 0 1; }
    #responses { height: 1fr; }
    .response { width: 1fr; border: round $secondary; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "answer('first')", "1 is better"),
        Binding("2", "answer('second')", "2 is better"),
        Binding("t", "answer('tie')", "tie"),
        Binding("s", "answer('skip')", "skip"),
        Binding("u", "undo", "undo"),
        Binding("enter", "hand_in", "hand in", show=False),
        Binding("q", "leave", "quit, go on later"),
    ]

    def __init__(self, sitting: Sitting) -> None:
        super().__init__()
        self._sitting = sitting
        self.question: Question | None = None
        # What ended it; raised by whoever ran it, for a screen has no place for it.
        self.failed: grpc.RpcError | None = None
        self._looks = 0
        self._shown_s = 0.0

    async def on_event(self, event: events.Event) -> None:
        """A key says something of what stood there when it was pressed, and nothing of what came since."""
        if isinstance(event, events.Key) and event.key in ANSWERS and event.time < self._shown_s:
            return
        await super().on_event(event)

    def compose(self) -> ComposeResult:
        yield Static(id="progress", markup=False)
        with VerticalScroll(id="prompt"):
            yield Static(id="prompt-text", markup=False)
        with Horizontal(id="responses"):
            for number in (1, 2):
                with VerticalScroll(classes="response", id=f"response-{number}"):
                    yield Static(id=f"text-{number}", markup=False)
        yield Static(id="said", markup=False)
        yield Footer()

    async def on_mount(self) -> None:
        for number in (1, 2):
            self.query_one(f"#response-{number}").border_title = str(number)
        await self._go_on()
        self.set_interval(LOOK_S, self._look)

    async def action_answer(self, choice: str) -> None:
        if self.question is not None:
            question, self.question = self.question, None
            await self._go_on(await self._call(self._sitting.answer, question, CHOICES[choice]) or "")

    async def action_undo(self) -> None:
        taken = await self._call(self._sitting.undo)
        if isinstance(taken, str):
            self._say(taken)
        elif taken is not None:
            await self._show(taken)
            self._say("taken back; answer it anew")

    async def action_hand_in(self) -> None:
        if self.question is None:
            await self._go_on(await self._call(self._sitting.hand_in) or "")

    async def action_leave(self) -> None:
        await self._call(self._sitting.leave)
        self.exit()

    async def _look(self) -> None:
        """While there is no question: whether there is one by now, or never will be."""
        if self.question is not None:
            return
        self._looks += 1
        if self._looks >= HAND_IN_LOOKS and self._sitting.holds_back:
            self._say(await self._call(self._sitting.hand_in) or "")
        await self._go_on()

    async def _go_on(self, refused: str = "") -> None:
        question = await self._call(self._sitting.next)
        if question is not None:
            await self._show(question)
            return self._say(refused)
        if self._sitting.holds_back:
            self._blank("that was the last question for now: Enter hands it in, u takes it back")
            return self._say(refused)
        standing = await self._call(self._sitting.standing)
        if standing is None:
            return
        if standing.over:
            return self.exit(standing.words)
        self._blank(standing.words)

    async def _call(self, ask: Callable[..., T], *given: object) -> T | None:
        """What the services answer, without holding the screen up; None where they do not: the screen ends then."""
        if self.failed is not None:
            return None
        try:
            return await asyncio.to_thread(ask, *given)
        except grpc.RpcError as error:
            self.failed = error
            self.exit()
            return None

    async def _show(self, question: Question) -> None:
        self.question, self._looks = question, 0
        pair = question.task.pair
        self._put("#prompt-text", asked_of(pair, question.task.criteria))
        for number, text in enumerate(question.responses, start=1):
            self._put(f"#text-{number}", text)
            self.query_one(f"#response-{number}", VerticalScroll).scroll_home(animate=False)
        self._put("#progress", await self._call(self._sitting.progress) or "")
        self._shown_s = time.monotonic()

    def _blank(self, words: str) -> None:
        for place in ("#text-1", "#text-2"):
            self._put(place, "")
        self._put("#prompt-text", words)

    def _say(self, words: str) -> None:
        self._put("#said", words)

    def _put(self, place: str, text: str) -> None:
        self.query_one(place, Static).update(Text(harmless(text)))
