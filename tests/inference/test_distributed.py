"""Embedding on a local cluster of two workers, one of which is killed in the middle."""

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hatcnn.cli.main import run
from hatcnn.errors import ImageError
from hatcnn.gallery import Gallery, store
from hatcnn.inference import Embedder, Embeddings
from hatcnn.inference.distributed import embed_on_cluster, joined
from tests.gallery.people import crowd

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")

N, BLOCK = 60, 5


@pytest.fixture(scope="module")
def cluster():
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crops")
    random = np.random.default_rng(0)
    for i in range(N):
        Image.fromarray(random.integers(0, 255, (64, 32, 3), np.uint8)).save(folder / f"{i:02}.png")
    (folder / "17.png").write_bytes(b"no picture")
    return folder


def slow_network(notes):
    """A stand-in for a network, which says in `notes` which process embeds what."""

    def load():
        class Network:
            def embed(self, files):
                block = files[0][0].rsplit("/", 1)[-1]
                (notes / f"{os.getpid()}-{block}-{time.time_ns()}").touch()
                time.sleep(0.4)
                good = [(n, d) for n, d in files if d != b"no picture"]
                bad = tuple((n, "broken") for n, d in files if d == b"no picture")
                seeds = [np.frombuffer(d[-64:], np.uint8).astype(np.float32) for _, d in good]
                vectors = np.stack(seeds)
                vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
                return Embeddings(vectors, None, tuple(n for n, _ in good), bad, None, "model-a")

        return Network()

    return load


def expected_vectors(crops):
    found = {}
    for path in sorted(crops.iterdir()):
        data = path.read_bytes()
        if data != b"no picture":
            vector = np.frombuffer(data[-64:], np.uint8).astype(np.float32)
            found[str(path)] = vector / np.linalg.norm(vector)
    return found


def kill_one(notes: Path, killed: list[int]) -> None:
    """Kill the first process that has begun its second block."""
    # A busy machine takes a minute to start the workers.
    for _ in range(6000):
        pids = [int(note.name.split("-")[0]) for note in notes.iterdir()]
        busy = [pid for pid in pids if pids.count(pid) >= 2]
        if busy:
            os.kill(busy[0], signal.SIGKILL)
            killed.append(busy[0])
            return
        time.sleep(0.05)


@pytest.mark.usefixtures("cluster")
def test_a_killed_worker_loses_and_doubles_nothing(crops, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    killed: list[int] = []
    killer = threading.Thread(target=kill_one, args=(notes, killed))
    killer.start()
    gallery = Gallery.open(tmp_path / "gallery", precision="float32")
    parts, added = [], 0
    files = sorted(crops.iterdir())
    for people, data in embed_on_cluster(
        slow_network(notes), files, with_bytes=True, part=20, block=BLOCK
    ):
        assert data == [Path(name).read_bytes() for name in people.names]
        added += gallery.add(people, pictures=data).added
        parts.append(people)
    killer.join()
    # It was killed at work, and its block was embedded again.
    assert len(killed) == 1
    blocks = [note.name.split("-")[1] for note in notes.iterdir()]
    assert len(set(blocks)) == N // BLOCK
    assert len(blocks) > N // BLOCK
    people, expected = joined(parts), expected_vectors(crops)
    assert people.names == tuple(expected)
    np.testing.assert_array_equal(people.vectors, np.stack(list(expected.values())))
    assert people.skipped == ((str(crops / "17.png"), "broken"),)
    assert people.fingerprint == gallery.model == "model-a"
    assert added == len(gallery) == N - 1
    assert sorted(e.name for e in gallery.entries()) == sorted(expected)


@pytest.mark.usefixtures("cluster")
def test_strict_stops_at_an_unreadable_picture(crops, tmp_path):
    with pytest.raises(ImageError, match="broken"):
        list(embed_on_cluster(slow_network(tmp_path), sorted(crops.iterdir()), strict=True))


@pytest.mark.usefixtures("cluster")
def test_the_commands_give_what_one_process_gives(crops, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # A part of the real network's inputs: small enough to be quick.
    chosen = [str(crops / f"{i:02}.png") for i in (3, 17, 1, 5)]
    run(["embed", *chosen, "--model", "hatcnn-plus", "--backend", "onnx", "--quality",
         "--out", "cluster.npz", "--ray", "auto"])  # fmt: skip
    people = Embeddings.load("cluster.npz")
    alone = Embedder.load("hatcnn-plus", backend="onnx").embed(chosen, quality=True)
    assert people.names == alone.names
    assert [name for name, _ in people.skipped] == [chosen[1]]
    assert people.flags == alone.flags
    assert people.fingerprint == alone.fingerprint
    np.testing.assert_allclose(people.vectors, alone.vectors, atol=1e-4)
    np.testing.assert_allclose(people.attributes, alone.attributes, atol=1e-4)
    for _ in range(2):
        run(["gallery", "add", "town", *chosen, "--model", "hatcnn-plus", "--backend", "onnx",
             "--ray", "auto", "--camera", "4"])  # fmt: skip
    gallery = Gallery.open("town")
    assert {(e.name, e.camera) for e in gallery.entries()} == {(n, "4") for n in alone.names}
    assert gallery.model == alone.fingerprint


@pytest.mark.usefixtures("cluster")
def test_the_index_is_built_by_two_workers(tmp_path, monkeypatch):
    pytest.importorskip("lance_ray")
    monkeypatch.setattr(store, "EXACT_BYTES", 0)
    people = crowd(3000, dimension=64)
    gallery = Gallery.open(tmp_path / "town")
    # Four files, of which each worker takes two.
    gallery.add(people, camera=[i % 10 for i in range(3000)], batch_size=750, index=False)
    assert gallery.stats(recall_queries=0).index == "exact"
    run(["gallery", "index", str(tmp_path / "town"), "--ray", "auto"])
    said = gallery.stats()
    assert (said.index, said.indexed) == ("IVF_RQ", 3000)
    assert said.recall_at_10 > 0.9
    segments = gallery._store.snapshot().table.index_stats(store.VECTOR_INDEX).num_indices
    assert segments == 2
    found = gallery.search(people.vectors[7], where="camera = 7")
    assert not found.exact
    assert found[0].entry.name == people.names[7]
    # What one process does afterwards fits to it.
    gallery.add(crowd(1500, dimension=64, seed=3))
    assert gallery.stats(recall_queries=0).indexed == 4500
    gallery.forget(where="camera = 7")
    assert {m.entry.camera for m in gallery.search(people.vectors[7], top_k=500)} == {
        None, *"012345689"
    }  # fmt: skip
