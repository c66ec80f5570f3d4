"""Run a network over packed pictures, on one process or many."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

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
def extract(
    fabric: Fabric, network: nn.Module, config: ModelConfig, packed: PackedSplit
) -> Features:
    """Features of a split; `network` is in evaluation mode, on the fabric's device.

    Whole batches are dealt to the processes, so every picture shares its batch with the same
    pictures however many processes there are, and the result is the same.

    Args:
        fabric: device, precision and processes.
        network: from `build_model`.
        config: it was built from.
        packed: pictures of the network's input size.

    Returns:
        Features of all pictures, on every process.
    """
    total = len(packed.split)
    width = 2 * config.feature_dim
    vectors = torch.zeros(total, width)
    logits = torch.zeros(total, packed.split.attributes.shape[1])
    starts = range(0, total, BATCH_SIZE)[fabric.global_rank :: fabric.world_size]
    with progress("embedding", total, "pictures") as advance:
        for start in starts:
            rows = slice(start, start + BATCH_SIZE)
            images = normalise(_to_device(packed.images[rows], fabric))
            with fabric.autocast():
                output: Output = network(images)
            vectors[rows] = identity_vector(output, config.norm_epsilon).cpu()
            if output.attribute_logits is not None:
                logits[rows] = output.attribute_logits.float().cpu()
            advance(len(images) * fabric.world_size)
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


def _to_device(images: npt.NDArray[np.uint8], fabric: Fabric) -> Tensor:
    # The copy takes the rows out of the memory-mapped file, which is read-only.
    return torch.from_numpy(np.array(images)).to(fabric.device, non_blocking=True)
