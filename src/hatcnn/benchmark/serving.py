"""Embedding as its users run it, from a model folder and without torch in the process."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from hatcnn.benchmark.workers import Work
from hatcnn.inference.backends import Backend, BackendName, Pixels, load_backend
from hatcnn.inference.embedder import Embedder
from hatcnn.models.config import ModelConfig


def random_pixels(config: ModelConfig, count: int) -> Pixels:
    """Random pixels (count, height, width, 3) of the network's input size."""
    random = np.random.default_rng(0)
    return random.integers(0, 255, (count, config.height, config.width, 3), np.uint8)


def batches(backend: Backend, count: int) -> Work:
    """One batch of pixels to vectors and attribute logits."""
    pixels = random_pixels(backend.config, count)

    def work() -> int:
        backend(pixels)
        return count

    return work


def jpeg_files(count: int) -> tuple[tempfile.TemporaryDirectory[str], list[Path]]:
    """Files of 64 x 128, in a folder that goes when it is let go."""
    kept = tempfile.TemporaryDirectory(prefix="hatcnn-bench-")
    random = np.random.default_rng(0)
    paths = [Path(kept.name) / f"{i:05d}.jpg" for i in range(count)]
    for path in paths:
        # Smooth pictures: noise would make longer files than crops do.
        coarse = random.integers(0, 255, (16, 8, 3), np.uint8)
        Image.fromarray(coarse).resize((64, 128), Image.Resampling.BICUBIC).save(path)
    return kept, paths


def files(backend: Backend, count: int) -> Work:
    """JPEG files to a file of embeddings."""
    kept, paths = jpeg_files(count)
    embedder = Embedder(backend)

    def work() -> int:
        # Naming the folder through `kept` keeps it as long as the work.
        embedder.embed(paths).save(Path(kept.name) / "embeddings.npz")
        return count

    return work


def exported_batches(folder: Path, runtime: BackendName, count: int) -> Work:
    """`batches` of an exported network."""
    return batches(load_backend(folder, backend=runtime), count)


def exported_files(folder: Path, runtime: BackendName, count: int) -> Work:
    """`files` by an exported network."""
    return files(load_backend(folder, backend=runtime), count)
