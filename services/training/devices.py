"""The devices of this machine, handed to trainings: none to two at once."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from concord.kit.errors import InvalidInput
from concord.kit.loop.units import Stop

# How often one that waits looks whether it was stopped.
LOOK_S = 0.2
VISIBLE = "CUDA_VISIBLE_DEVICES"


def found(environment: Mapping[str, str], dev: Path = Path("/dev")) -> tuple[str, ...]:
    """The GPUs that this process may use, by the names that CUDA takes; none on a machine without."""
    if VISIBLE in environment:
        names = [name.strip() for name in environment[VISIBLE].split(",")]
        return tuple(name for name in names if name and name != "-1")
    return tuple(sorted(path.name.removeprefix("nvidia") for path in dev.glob("nvidia[0-9]*")))


class Devices:
    """GPUs, `each` of them for one training; without any GPU one training at a time has the CPU. Thread-safe."""

    def __init__(self, names: tuple[str, ...], each: int) -> None:
        """Raises InvalidInput where one training is to have more than there are."""
        if names and each > len(names):
            raise InvalidInput(
                f"CONCORD_UNIT_DEVICES={each}: there are {len(names)} GPUs here; say {len(names)} or fewer, or show more of them "
                f"in {VISIBLE}"
            )
        self.each = each if names else 1
        self._changed = threading.Condition()
        self._free = list(names) if names else [""]

    @contextmanager
    def taken(self, stop: Stop) -> Iterator[Mapping[str, str]]:
        """What a training's environment says of its devices; waits for them. Raises CancelledError where it is stopped before."""
        mine = self._take(stop)
        try:
            yield {VISIBLE: ",".join(mine)}
        finally:
            with self._changed:
                self._free += mine
                self._changed.notify_all()

    def _take(self, stop: Stop) -> list[str]:
        with self._changed:
            while len(self._free) < self.each:
                stop.check()
                self._changed.wait(LOOK_S)
            mine, self._free = self._free[: self.each], self._free[self.each :]
            return mine
