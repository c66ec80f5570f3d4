"""Run a network over packed pictures, on one process or many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hatcnn.attributes import NUM_ATTRIBUTES
from hatcnn.datasets.pack import PackedSplit
from hatcnn.evaluation.features import Features
from hatcnn.inference.backends import BATCH_SIZE, Backend
from hatcnn.inference.probabilities import attribute_probabilities
from hatcnn.progress import progress

if TYPE_CHECKING:
    from hatcnn.devices import Fabric


def extract(backend: Backend, packed: PackedSplit, fabric: Fabric | None = None) -> Features:
    """Features of a split.

    Whole batches are dealt to the processes, so every picture shares its batch with the same
    pictures however many processes there are, and the result is the same.

    Args:
        backend: the network.
        packed: pictures of the network's input size.
        fabric: its processes share the work; none for this process alone.

    Returns:
        Features of all pictures, on every process.
    """
    config = backend.config
    rank, processes = (fabric.global_rank, fabric.world_size) if fabric else (0, 1)
    total = len(packed.split)
    vectors = np.zeros((total, config.vector_dim), np.float32)
    logits = np.zeros((total, NUM_ATTRIBUTES), np.float32)
    with progress("embedding", total, "pictures") as advance:
        for start in range(0, total, BATCH_SIZE)[rank::processes]:
            rows = slice(start, start + BATCH_SIZE)
            vectors[rows], of_attributes = backend(packed.images[rows])
            if of_attributes is not None:
                logits[rows] = of_attributes
            advance(len(packed.images[rows]) * processes)
    if fabric and processes > 1:
        import torch

        # Rows of other processes are zero, so the sum is exact.
        vectors, logits = (
            fabric.all_reduce(fabric.to_device(torch.from_numpy(a)), reduce_op="sum").cpu().numpy()  # type: ignore[union-attr]
            for a in (vectors, logits)
        )
    has_attributes = config.attributes != "none"
    split = packed.split
    return Features(
        vectors=vectors,
        pids=split.pids,
        camids=split.camids,
        names=np.array(split.names, dtype=np.str_),
        attribute_logits=logits if has_attributes else None,
        attribute_probabilities=(
            attribute_probabilities(logits, config.colours) if has_attributes else None
        ),
        attribute_labels=split.attributes if split.labelled.any() else None,
    )
