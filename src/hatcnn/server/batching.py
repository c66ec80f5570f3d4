"""Pictures of concurrent requests, gathered into one forward pass."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hatcnn.images import Pixels
from hatcnn.server.refusals import LONGEST_RETRY_S, Busy

Floats = npt.NDArray[np.float32]
Row = tuple[Floats, Floats | None]
"""Vector (d) and attributes (26), or none, of one picture."""
Forward = Callable[[Pixels], tuple[Floats, Floats | None]]
"""(n, H, W, 3) to vectors (n, d) and attributes (n, 26), or none."""


@dataclass(eq=False, slots=True)
class _Waiting:
    """Pictures of one caller; several batches may share them."""

    pictures: Sequence[Pixels]
    answer: asyncio.Future[list[Row]]
    taken: int = 0
    rows: list[Row] = field(default_factory=list)


class Batcher:
    """Runs a network for many callers; one forward pass at a time, in a thread of its own.

    While one batch runs the next one gathers, so the busier it is the fuller batches are. A batch
    that is not full waits only while pictures that are announced have not arrived.

    Args:
        forward: the network.
        max_batch: pictures of one pass.
        max_wait_s: longest that a batch waits to be filled.
        max_waiting: pictures announced and not answered; more are refused.
    """

    def __init__(
        self, forward: Forward, *, max_batch: int, max_wait_s: float, max_waiting: int
    ) -> None:
        self._forward = forward
        self._max_batch, self._max_wait_s, self._max_waiting = max_batch, max_wait_s, max_waiting
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="network")
        self._task: asyncio.Task[None] | None = None
        self.seconds_each = 0.01
        """Of a picture in a full batch, as far as is known."""
        self.announced = 0
        self.on_batch: Callable[[int, float], None] = lambda _size, _seconds: None
        """Told the size of every batch and the seconds it took."""

    def start(self) -> None:
        """Begin, in the running event loop."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop; the caller has seen to it that nothing is waiting."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._thread.shutdown(wait=True)

    def check(self, count: int = 1) -> None:
        """Raise `Busy` when so many more pictures would not be taken."""
        if self.announced + count > self._max_waiting:
            wait = math.ceil(self.announced * self.seconds_each)
            raise Busy("pictures", retry_after=min(LONGEST_RETRY_S, max(1, wait)))

    @contextlib.contextmanager
    def announce(self, count: int) -> Iterator[None]:
        """Keep places for pictures before they are decoded.

        Raises:
            Busy: when too many are waiting.
        """
        self.check(count)
        self.announced += count
        try:
            yield
        finally:
            self.announced -= count

    async def __call__(self, pictures: Sequence[Pixels]) -> list[Row]:
        """Run pictures (H, W, 3) that were announced."""
        if not pictures:
            return []
        waiting = _Waiting(pictures, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._arrived.set()
        return await waiting.answer

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._gather()
            if not batch:
                continue
            began = loop.time()
            try:
                pixels = np.stack([one for _, part in batch for one in part])
                vectors, attributes = await loop.run_in_executor(
                    self._thread, self._forward, pixels
                )
            except Exception as error:
                for waiting, _ in batch:
                    if not waiting.answer.done():
                        waiting.answer.set_exception(error)
                continue
            seconds = loop.time() - began
            # Small batches cost more a picture and say less of what a full queue takes.
            weight = 0.3 * len(pixels) / self._max_batch
            self.seconds_each += weight * (seconds / len(pixels) - self.seconds_each)
            self.on_batch(len(pixels), seconds)
            at = 0
            for waiting, part in batch:
                waiting.rows += [
                    (vectors[i], None if attributes is None else attributes[i])
                    for i in range(at, at + len(part))
                ]
                at += len(part)
                if len(waiting.rows) == len(waiting.pictures) and not waiting.answer.done():
                    waiting.answer.set_result(waiting.rows)

    async def _gather(self) -> list[tuple[_Waiting, Sequence[Pixels]]]:
        """Callers with those of their pictures that the next pass takes; none where all left."""
        batch: list[tuple[_Waiting, Sequence[Pixels]]] = []
        size = 0
        await self._arrival(None)
        until = asyncio.get_running_loop().time() + self._max_wait_s
        while size < self._max_batch:
            if not self._waiting and (size >= self.announced or not await self._arrival(until)):
                break
            first = self._waiting[0]
            part = first.pictures[first.taken : first.taken + self._max_batch - size]
            first.taken += len(part)
            left = first.answer.done()
            if left or first.taken == len(first.pictures):
                self._waiting.popleft()
            if not left:
                batch.append((first, part))
                size += len(part)
        return batch

    async def _arrival(self, until: float | None) -> bool:
        """Wait for pictures; whether there are any."""
        if not self._waiting:
            self._arrived.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._arrived.wait()
        return bool(self._waiting)
