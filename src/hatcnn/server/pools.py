"""Threads with a bounded queue before them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from hatcnn.server.refusals import Busy

_T = TypeVar("_T")


class Pool:
    """Runs what blocks beside the event loop, and refuses rather than queue without end.

    Args:
        name: of what it does, for messages and threads.
        threads: that work.
        waiting: calls that may wait for a thread.
    """

    def __init__(self, name: str, *, threads: int, waiting: int) -> None:
        self.name = name
        self.pending = 0
        self._most = threads + waiting
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)

    def check(self) -> None:
        """Raise `Busy` when another call would not be taken."""
        if self.pending >= self._most:
            raise Busy(self.name)

    async def run(self, work: Callable[[], _T]) -> _T:
        """Result of `work`; once begun it goes on to its end, even where nobody waits any longer.

        Raises:
            Busy: when too many calls are waiting.
        """
        self.check()
        self.pending += 1
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_T] = loop.create_future()

        def finish(done: Future[_T]) -> None:
            self.pending -= 1
            if answer.done():
                return
            error = done.exception()
            if error is None:
                answer.set_result(done.result())
            else:
                answer.set_exception(error)

        def wake(done: Future[_T]) -> None:
            # The loop may be closed when a thread ends late.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(finish, done)

        future = self._executor.submit(work)
        future.add_done_callback(wake)
        try:
            return await answer
        except asyncio.CancelledError:
            # Nobody waits: what has not begun need not.
            future.cancel()
            raise

    def close(self) -> None:
        """Finish what was taken."""
        self._executor.shutdown(wait=True)
