"""How much of one endpoint is asked at once and in a minute: as much as it bears.

The window of requests in flight begins at the most that is allowed. It shrinks where a good part of what was sent under it was
too much (429, overload, no answer in time), and grows by one with each windowful of answers. One endpoint's window is nobody
else's: a judge that swallows everything keeps no other one from its calls.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from math import inf

# The window shrinks once more than this share of at least so many outcomes were too much.
TOO_MUCH = 0.25
LEAST_OUTCOMES = 16
MINUTE_S = 60.0
# Of an endpoint's time, taken at once: what a replica may leave unused, and how often it asks for more.
PIECE_S = 2.0


class Pace:
    """The places at one endpoint. Belongs to one asyncio loop."""

    def __init__(
        self,
        most: int,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        take: Callable[[float], Awaitable[float]] | None = None,
    ) -> None:
        """`take(seconds)`: a piece of the endpoint's time from all replicas', and in how many seconds it begins; None: this process
        is the only one that asks."""
        self._take_piece, self._piece = take, asyncio.Lock()
        self._most, self._window = most, float(most)
        self._clock, self._sleep = clock, sleep
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        # Of requests that were sent since the window last shrank: answered, and too much.
        self._since, self._answered, self._too_much = -inf, 0.0, 0.0
        self._requests_a_minute = self._tokens_a_minute = 0.0
        self._next_s = self._piece_to_s = 0.0

    @property
    def window(self) -> int:
        """Requests that may be in flight now."""
        return int(self._window)

    def limit(self, requests_a_minute: float, tokens_a_minute: float) -> None:
        """The rates that must be kept; 0: none."""
        self._requests_a_minute, self._tokens_a_minute = requests_a_minute, tokens_a_minute

    @asynccontextmanager
    async def place(self):
        """A place within the window; first come, first served."""
        await self._take()
        try:
            yield
        finally:
            self._leave()

    async def again(self) -> None:
        """To be called by who has a place and asks once more: steps aside where the window has shrunk meanwhile."""
        if self._taken > self.window:
            self._leave()
            try:
                await self._take()
            except BaseException:
                # `place` gives back what was taken, so something must be.
                self._taken += 1
                raise

    async def turn(self, tokens: int) -> None:
        """Waits until a request of about so many tokens fits into the rates."""
        needs_s = 0.0
        if self._requests_a_minute:
            needs_s = MINUTE_S / self._requests_a_minute
        if self._tokens_a_minute:
            needs_s = max(needs_s, MINUTE_S * tokens / self._tokens_a_minute)
        if not needs_s:
            return
        if self._take_piece is None:
            at = self._next(needs_s)
        else:
            # One after the other, so that two do not take a piece each.
            async with self._piece:
                if max(self._clock(), self._next_s) + needs_s > self._piece_to_s:
                    seconds = max(PIECE_S, needs_s)
                    self._next_s = self._clock() + await self._take_piece(seconds)
                    self._piece_to_s = self._next_s + seconds
                at = self._next(needs_s)
        if (wait_s := at - self._clock()) > 0:
            await self._sleep(wait_s)

    def _next(self, needs_s: float) -> float:
        """When the next request may go out."""
        at = max(self._clock(), self._next_s)
        self._next_s = at + needs_s
        return at

    def went_well(self, began: float) -> None:
        """A request that was sent at `began` was answered."""
        if self._window < self._most and began > self._since:
            self._window = min(float(self._most), self._window + 1 / self._window)
            self._let_in()
        self._count(began, too_much=False)

    def was_too_much(self, began: float, slow: bool = False) -> bool:
        """A request that was sent at `began` was one too many; `slow`: no answer came in time. Whether the window shrank."""
        self._count(began, too_much=True)
        seen = self._answered + self._too_much
        if began <= self._since or self._window <= 1 or seen < min(LEAST_OUTCOMES, self.window):
            return False
        if self._too_much <= TOO_MUCH * seen:
            return False
        # Where answers take too long, as many may wait as were answered in time, and half of these to be safe.
        bears = min(self._window, self._answered) if slow else min(self._window, self._taken)
        self._window = max(1.0, bears // 2)
        self._since, self._answered, self._too_much = self._clock(), 0, 0
        return True

    def _count(self, began: float, too_much: bool) -> None:
        if began <= self._since:
            return
        self._too_much += too_much
        self._answered += not too_much
        if self._answered + self._too_much > 4 * max(LEAST_OUTCOMES, self._window):
            # What was long ago says little of now.
            self._answered, self._too_much = self._answered / 2, self._too_much / 2

    async def _take(self) -> None:
        if self._taken < self.window and not self._waiting:
            self._taken += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()  # the place came just as nobody wanted it any more
            raise

    def _leave(self) -> None:
        self._taken -= 1
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._taken < self.window:
            turn = self._waiting.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)
