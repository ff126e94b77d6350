"""A network between two processes that can be slow, cut or silent: a TCP relay on loopback, one for each link.

with Wire(port) as wire:      # whoever should go over it connects to wire.port
    wire.slow(0.2)            # every piece takes 0.2 s longer, each way
    wire.hold()               # nothing arrives any more, and nobody is told: what was sent waits
    wire.cut()                # connections end at once, new ones are refused
    wire.mend()               # all well again; what was held goes on
"""

import asyncio
import threading
from contextlib import suppress

PIECE = 65_536
START_S = 10.0


class Wire:
    """A relay from `port` to `target`, a port of this machine; works until `close`, in a thread of its own."""

    def __init__(self, target: int, port: int = 0) -> None:
        self._target, self._wished = target, port
        self.port = 0
        self._delay_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._links: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._run, name=f"wire-{target}", daemon=True)
        self._up = threading.Event()
        self._thread.start()
        if not self._up.wait(START_S) or not self.port:
            raise RuntimeError(f"no relay to port {target} could be opened on port {port}")

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def slow(self, seconds: float) -> None:
        """Every piece arrives so much later."""
        self._delay_s = seconds

    def hold(self) -> None:
        """A network that drops everything: to both sides the other one just says nothing."""
        self._call(self._flows.clear)

    def cut(self) -> None:
        """Connections are reset, and new ones refused."""
        self._call(self._sever)

    def mend(self) -> None:
        """The network works."""
        self._delay_s = 0.0
        self._call(self._flows.set)
        self._wait(self._listen())

    def close(self) -> None:
        """Ends all links and the relay."""
        if self._thread.is_alive():
            self._call(self._sever)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(START_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._flows, self._server = asyncio.Event(), None
        self._flows.set()
        try:
            self._loop.run_until_complete(self._listen())
        finally:
            self._up.set()
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._link, "127.0.0.1", self.port or self._wished)
            self.port = self._server.sockets[0].getsockname()[1]

    def _sever(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._links):
            writer.transport.abort()

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: a link each way, which end together."""
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, back}
        self._links |= ends
        try:
            await asyncio.wait(
                [asyncio.ensure_future(self._carry(reader, back)), asyncio.ensure_future(self._carry(there, writer))],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            self._links -= ends
            for end in ends:
                end.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while piece := await reader.read(PIECE):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                await self._flows.wait()
                writer.write(piece)
                await writer.drain()

    def _call(self, change) -> None:
        """Does it in the relay's thread, and waits until it is done."""
        done = threading.Event()

        def act() -> None:
            change()
            done.set()

        self._loop.call_soon_threadsafe(act)
        done.wait(START_S)

    def _wait(self, coroutine) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(START_S)
