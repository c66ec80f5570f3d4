"""Many at once: one forward pass for several, a clear no beyond the limit, and recovery."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hatcnn.server import Client
from hatcnn.server.batching import Batcher
from hatcnn.server.client import ServerError
from hatcnn.server.pools import Pool
from hatcnn.server.refusals import Busy


class Network:
    """Says of each picture its first number; counts its passes."""

    def __init__(self, seconds=0.0):
        self.sizes, self.seconds = [], seconds

    def __call__(self, pixels):
        self.sizes.append(len(pixels))
        time.sleep(self.seconds)
        return pixels[:, 0, 0, :1].astype(np.float32), None


def picture(value):
    return np.full((2, 2, 3), value, np.uint8)


def batcher(network, **limits):
    return Batcher(network, **{"max_batch": 8, "max_wait_s": 1.0, "max_waiting": 64, **limits})


async def ask(b, *values):
    with b.announce(len(values)):
        await asyncio.sleep(0)
        rows = await b([picture(v) for v in values])
    return [float(vector[0]) for vector, _ in rows]


def run(b, *requests):
    async def main():
        b.start()
        try:
            return await asyncio.gather(*(ask(b, *r) for r in requests), return_exceptions=True)
        finally:
            await b.close()

    return asyncio.run(main())


def test_concurrent_requests_share_a_pass_and_get_their_own_answers():
    network = Network()
    answers = run(batcher(network), *([i, 100 + i] for i in range(10)))
    assert answers == [[i, 100 + i] for i in range(10)]
    assert network.sizes == [8, 8, 4]


def test_one_alone_does_not_wait_for_others():
    began = time.monotonic()
    assert run(batcher(Network(), max_wait_s=20.0), [7]) == [[7]]
    assert time.monotonic() - began < 5


def test_a_failing_pass_fails_its_own_requests_only():
    class Failing(Network):
        def __call__(self, pixels):
            vectors = super().__call__(pixels)
            if pixels.max() == 13:
                raise ValueError("thirteen")
            return vectors

    answers = run(batcher(Failing(), max_batch=1), [1], [13], [2])
    assert answers[0] == [1]
    assert isinstance(answers[1], ValueError)
    assert answers[2] == [2]


def test_more_pictures_than_may_wait_are_refused():
    answers = run(batcher(Network(0.05), max_waiting=4), [1, 2], [3, 4], [5])
    assert answers[:2] == [[1, 2], [3, 4]]
    assert isinstance(answers[2], Busy)
    assert int(answers[2].headers["Retry-After"]) >= 1


def test_a_caller_that_has_left_costs_no_pass():
    async def main():
        network = Network(0.1)
        b = batcher(network, max_batch=1)
        b.start()
        tasks = [asyncio.create_task(ask(b, i)) for i in (1, 2, 3)]
        await asyncio.sleep(0.05)
        tasks[1].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        await b.close()
        return network.sizes, found, b.announced

    sizes, found, announced = asyncio.run(main())
    assert sizes == [1, 1]
    assert (found[0], found[2]) == ([1], [3])
    assert announced == 0


def test_a_pool_takes_so_much_and_no_more():
    async def main():
        go = threading.Event()
        pool = Pool("things", threads=1, waiting=1)
        taken = [asyncio.create_task(pool.run(go.wait)) for _ in range(2)]
        await asyncio.sleep(0.05)
        with pytest.raises(Busy, match="things"):
            await pool.run(go.wait)
        go.set()
        assert await asyncio.gather(*taken) == [True, True]
        await asyncio.sleep(0.05)
        assert await pool.run(lambda: 5) == 5
        pool.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "limits",
    [
        {"max_waiting_pictures": 4},
        {"max_requests": 2},
        {"requests_per_second": 5, "burst": 3},
    ],
)
def test_beyond_the_limit_it_refuses_and_recovers(listen, crops, limits):
    address, app = listen(**limits)
    slow = app.state.service.batcher._forward

    def forward(pixels):
        time.sleep(0.05)
        return slow(pixels)

    app.state.service.batcher._forward = forward

    def one(crop):
        with Client(address) as client:
            try:
                return len(client.embed([crop])["pictures"])
            except ServerError as error:
                return error

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(one, crops * 8))
    refused = [answer for answer in answers if answer != 1]
    assert refused
    assert {error.status for error in refused} <= {429, 503}
    assert min(error.retry_after for error in refused) >= 1
    assert len(answers) - len(refused) >= 2
    time.sleep(1)
    assert one(crops[0]) == 1
    with Client(address) as client:
        assert "hatcnn_pictures_waiting 0.0" in client.metrics()
        assert "hatcnn_upload_bytes_held 0.0" in client.metrics()
