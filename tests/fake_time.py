"""A clock that passes only when somebody sleeps."""

import asyncio


class FakeTime:
    """Called, it is the clock; `sleep` moves it on at once."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)
