"""What one endpoint and model takes, settled by trying: which dialect it speaks, and whether it or one request is at fault.

A harmless question tells the two apart. Only what the endpoint says about that question is ever repeated in an error: what it
says about a user's may quote it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from concord.kit.errors import Permanent
from concord.labeling.dialect import STANDARD, Dialect, after, may_quote, plainer, spoken
from concord.labeling.refusal import Trouble
from concord.labeling.reply import Reply
from concord.labeling.spending import Spent
from concord.labeling.wire import Endpoint

log = structlog.get_logger()

# What a harmless question showed holds for so long.
FRESH_S = 5.0

# One try of a request in a dialect; adds to what was spent, raises Trouble.
Try = Callable[[Mapping[str, Any], Dialect, Spent], Awaitable[Reply]]


class Rejected(Exception):
    """The endpoint works, but not for this request: it is refused, or fails again and again where others do not."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.detail)
        self.trouble = trouble


class Negotiation:
    """What is known of one endpoint and model. Belongs to one asyncio loop."""

    def __init__(
        self,
        endpoint: Endpoint,
        harmless: Mapping[str, Any],
        try_: Try,
        turn: Callable[[], bool],
        clock: Callable[[], float],
        who: str = "judge",
    ) -> None:
        """`harmless` is a request that nobody need keep secret; `turn` leads to the other path that the URL may mean, if any."""
        self._endpoint, self._harmless, self._try, self._turn, self._clock = endpoint, harmless, try_, turn, clock
        self._who = who
        self.dialect = STANDARD
        self.path = 0  # how often the endpoint was looked for below another path
        self.proved = False  # a request in the dialect as it is now has been answered
        self._lock = asyncio.Lock()
        self._probed: tuple[float, Trouble | None] | None = None
        self._said = STANDARD.dropped

    async def negotiated(
        self, trouble: Trouble, request: Mapping[str, Any], dialect: Dialect, spent: Spent
    ) -> Reply | None:
        """After a refusal: the answer to the request put otherwise; None where to ask again as things are now.

        Raises Rejected where the endpoint answers other requests as they are, and Permanent where it refuses them all.
        """
        async with self._lock:
            while dialect is self.dialect:
                step = await self._step(trouble, spoken(request, dialect), spent)
                if step is None:
                    return None
                dialect = self._change(step)
                try:
                    return await self._try(request, dialect, spent)
                except Trouble as again:
                    if again.fault != "request":
                        return None
                    trouble = again
        return None

    async def _step(self, trouble: Trouble, sent: Mapping[str, Any], spent: Spent) -> Dialect | None:
        """The dialect to try next; None: the endpoint is in trouble just now."""
        step = after(self.dialect, sent, trouble.words)
        filtered = trouble.words.filtered and not trouble.words.fields
        if filtered or (self.proved and step is None):
            raise Rejected(trouble) from trouble
        if step and (step.room < self.dialect.room or not (self.proved or may_quote(sent, trouble.words))):
            return step
        said = await self.probe(spent)
        if said is None:
            raise Rejected(trouble) from trouble
        if said.fault in ("passing", "limit"):
            return None
        step = after(self.dialect, sent, said.words) or plainer(self.dialect, sent)
        if step is None or said.fault == "endpoint":
            raise self._given_up(said) from said
        return step

    def _change(self, dialect: Dialect) -> Dialect:
        self.dialect, self.proved, self._probed = dialect, False, None
        return dialect

    def answered(self, dialect: Dialect) -> None:
        """A request in this dialect was answered: what it leaves out is said, once."""
        if self.proved or dialect is not self.dialect:
            return
        self.proved = True
        if self._said != dialect.dropped:
            self._said = dialect.dropped
            log.warning("judge_is_asked_otherwise", judge=self._endpoint.model, url=self._endpoint.url, how=self._said)

    def widen(self, dialect: Dialect) -> None:
        """The same with more room for answers."""
        self.dialect = dialect

    async def settle(self, trouble: Trouble, path: int, spent: Spent) -> None:
        """After a refusal, below this path, that looks lasting; returns where asking again makes sense.

        Raises Permanent where a harmless question is refused too, and Rejected where it is not.
        """
        async with self._lock:
            if path != self.path:
                return
            if trouble.status in (404, 405) and not self.proved and await self._elsewhere(spent):
                return
            said = await self.probe(spent)
        if said is None:
            raise Rejected(trouble) from trouble
        if said.fault in ("endpoint", "request"):
            raise self._given_up(said) from trouble

    def _given_up(self, said: Trouble) -> Permanent:
        """Whoever asks again looks anew, also at what was dropped on the way here."""
        if not self.proved:
            self._change(STANDARD)
        return Permanent(self.explain(said, quote=True))

    async def _elsewhere(self, spent: Spent) -> bool:
        """Whether the endpoint answers below the other path that its URL may mean; then it is asked there from now on."""
        if not self._turn():
            return False
        self._probed = None
        said = await self.probe(spent)
        self._probed = None
        if said is None or said.fault == "request":
            self.path += 1
            return True
        self._turn()
        return False

    async def probe(self, spent: Spent) -> Trouble | None:
        """What the endpoint makes now of a harmless question under the same settings; None: it answers it."""
        now = self._clock()
        if self._probed and now - self._probed[0] < FRESH_S:
            return self._probed[1]
        said: Trouble | None = None
        try:
            await self._try(self._harmless, self.dialect, spent)
        except Trouble as trouble:
            said = trouble
        self._probed = (self._clock(), said)
        return said

    def explain(self, trouble: Trouble, quote: bool) -> str:
        """`quote`: the endpoint's words are about a question of ours, so that they can be repeated."""
        where = f"the {self._who} {self._endpoint.model!r} at {self._endpoint.url}: {trouble.detail}"
        if quote and trouble.words.message:
            where += f": {trouble.words.message[:300]}"
        if trouble.status in (401, 403):
            name = self._endpoint.key_name
            held = "is not set or empty" if not self._endpoint.key else "holds a key that it refuses"
            return f"{where}. " + (f"{name} {held}" if name else "Name the variable that holds its key: --api-key-env")
        if trouble.status == 404:
            return f"{where}. Is the model called so there, and does the URL end in /v1, as most do? --judge URL#MODEL"
        if trouble.slow:
            return f"{where}. A longer time can be set: judge_timeout"
        return where
