"""Work that is made ready in a thread of its own while what was made before is used."""

import threading
from collections.abc import Generator, Iterable
from queue import Queue
from typing import TypeVar

T = TypeVar("T")
# Of a queue in which everything that is made is followed by how it ended.
_END = object()


def ahead(items: Iterable[T], most: int) -> Generator[T, None, None]:
    """The same items in their order, at most `most` of them made and not yet taken; 0: each is made when it is asked for.

    What `items` raises is raised in its place. Who stops asking (`close`, or the end of its generator) ends the thread, after
    the item that is being made.
    """
    if not most:
        yield from items
        return
    ready: Queue[tuple[object, BaseException | None]] = Queue()
    # A place for each that may stand ready, taken before it is made.
    places, over = threading.Semaphore(most), threading.Event()

    def make() -> None:
        ended: BaseException | None = None
        source = iter(items)
        try:
            while places.acquire() and not over.is_set():
                ready.put((next(source), None))
        except StopIteration:
            pass
        except BaseException as error:  # raised where the items are used
            ended = error
        ready.put((_END, ended))

    maker = threading.Thread(target=make, name="made ready ahead", daemon=True)
    maker.start()
    try:
        while (found := ready.get())[0] is not _END:
            # While this one is used the next may be made.
            places.release()
            yield found[0]  # type: ignore[misc]
        if found[1] is not None:
            raise found[1]
    finally:
        over.set()
        places.release()
        maker.join()
