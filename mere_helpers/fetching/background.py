"""Work on several items at the same time, in threads that nobody has to wait for."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event as Flag
from threading import Thread
from typing import TypeVar

from .patience import TICK

#: Seconds that the threads have to end in after a stop: enough to end the programs that they have started.
_GRACE = 1.0

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(
    work: Callable[[Item], Result], items: Sequence[Item], workers: int, stop: Flag
) -> Generator[tuple[Item, Future[Result]], None, None]:
    """Do the work for each item; the results come as they are ready.

    The interpreter does not wait for these threads when it exits, as it does for those of a ThreadPoolExecutor: one
    that sleeps in a system call, for instance in a look-up of a host name, would hold up Ctrl-C.

    Parameters
    ----------
    work : callable
    items : sequence
        Begun in this order.
    workers : int
        How many threads.
    stop : threading.Event
        Set when the iterator is closed; the work should look at it.
    """
    waiting: SimpleQueue[Item] = SimpleQueue()
    done: SimpleQueue[tuple[Item, Future[Result]]] = SimpleQueue()
    for item in items:
        waiting.put(item)

    def run() -> None:
        while not stop.is_set():
            try:
                item = waiting.get_nowait()
            except Empty:
                return
            future: Future[Result] = Future()
            try:
                future.set_result(work(item))
            except BaseException as error:
                future.set_exception(error)
            done.put((item, future))

    threads = [Thread(target=run, daemon=True) for _ in range(min(workers, len(items)))]
    for thread in threads:
        thread.start()
    left = len(items)
    try:
        while left:
            # With a time-out, because Ctrl-C in the moment before a wait is noticed only after it.
            with suppress(Empty):
                result = done.get(timeout=TICK)
                left -= 1
                yield result
    finally:
        stop.set()
        end = time.monotonic() + _GRACE
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
