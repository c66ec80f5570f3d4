"""Run a network over packed pictures, on one process or many."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hatcnn.attributes import NUM_ATTRIBUTES
from hatcnn.datasets.pack import PackedSplit
from hatcnn.devices import Fabric
from hatcnn.evaluation.features import Features
from hatcnn.models.build import ModelConfig
from hatcnn.models.embedding import attribute_probabilities, identity_vector
from hatcnn.models.hacnn import Output
from hatcnn.models.preprocessing import normalise
from hatcnn.progress import progress

BATCH_SIZE = 64


@torch.inference_mode()
def embed_batch(
    fabric: Fabric, network: nn.Module, config: ModelConfig, images: npt.NDArray[np.uint8]
) -> tuple[Tensor, Tensor | None]:
    """Embed one batch; `network` is in evaluation mode, on the fabric's device.

    Args:
        fabric: device and precision.
        network: from `build_model`.
        config: it was built from.
        images: (n, H, W, 3) RGB of the network's input size.

    Returns:
        Identity vectors (n, 2 d) and, where the network predicts attributes, their logits
        (n, 26): float32, on the CPU.
    """
    # The copy takes the rows out of a memory-mapped file, which may be read-only.
    pixels = torch.from_numpy(np.array(images)).to(fabric.device, non_blocking=True)
    with fabric.autocast():
        output: Output = network(normalise(pixels))
    logits = output.attribute_logits
    vectors = identity_vector(output, config.norm_epsilon).cpu()
    return vectors, None if logits is None else logits.float().cpu()


def extract(
    fabric: Fabric, network: nn.Module, config: ModelConfig, packed: PackedSplit
) -> Features:
    """Features of a split.

    Whole batches are dealt to the processes, so every picture shares its batch with the same
    pictures however many processes there are, and the result is the same.

    Args:
        fabric, network, config: see `embed_batch`; the fabric's processes share the work.
        packed: pictures of the network's input size.

    Returns:
        Features of all pictures, on every process.
    """
    total = len(packed.split)
    vectors = torch.zeros(total, 2 * config.feature_dim)
    logits = torch.zeros(total, NUM_ATTRIBUTES)
    starts = range(0, total, BATCH_SIZE)[fabric.global_rank :: fabric.world_size]
    with progress("embedding", total, "pictures") as advance:
        for start in starts:
            rows = slice(start, start + BATCH_SIZE)
            vectors[rows], of_attributes = embed_batch(fabric, network, config, packed.images[rows])
            if of_attributes is not None:
                logits[rows] = of_attributes
            advance(len(packed.images[rows]) * fabric.world_size)
    if fabric.world_size > 1:
        # Rows of other processes are zero, so the sum is exact.
        vectors, logits = (
            fabric.all_reduce(fabric.to_device(t), reduce_op="sum").cpu()  # type: ignore[union-attr]
            for t in (vectors, logits)
        )
    has_attributes = config.attributes != "none"
    split = packed.split
    return Features(
        vectors=vectors.numpy(),
        pids=split.pids,
        camids=split.camids,
        names=np.array(split.names, dtype=np.str_),
        attribute_logits=logits.numpy() if has_attributes else None,
        attribute_probabilities=(
            attribute_probabilities(logits, config.colours).numpy() if has_attributes else None
        ),
        attribute_labels=split.attributes if split.labelled.any() else None,
    )
