"""Callers of one function that come at the same moment share one call of it: what a transaction costs is paid once for all."""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Told = TypeVar("Told")


class Together(Generic[Asked, Told]):
    """Thread-safe. Nobody is waited for: whoever comes first goes at once, those who come meanwhile go together after that."""

    def __init__(self, do: Callable[[Sequence[Asked]], Sequence[Told]], most: int) -> None:
        """`do` answers each of up to `most` in their order; what it raises, all of these hear."""
        self._do, self._most = do, most
        self._waiting: list[_Caller[Asked, Told]] = []
        self._adding, self._doing = threading.Lock(), threading.Lock()

    def __call__(self, asked: Asked) -> Told:
        """What `do` says of it. Raises what `do` raises."""
        mine = _Caller[Asked, Told](asked)
        with self._adding:
            self._waiting.append(mine)
        while not mine.over:
            with self._doing:
                if not mine.over:
                    self._next()
        if mine.error is not None:
            raise mine.error
        return mine.told[0]

    def _next(self) -> None:
        with self._adding:
            now, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        try:
            for caller, told in zip(now, self._do([caller.asked for caller in now]), strict=True):
                caller.told.append(told)
        except BaseException as error:
            for caller in now:
                caller.error = error
        finally:
            for caller in now:
                caller.over = True


class _Caller(Generic[Asked, Told]):
    def __init__(self, asked: Asked) -> None:
        self.asked, self.over = asked, False
        self.told: list[Told] = []
        self.error: BaseException | None = None
