"""Losses of identities and attributes, exact over several processes.

Each function takes the batch of this process. Where the mean of the processes' gradients would
not be the gradient of the whole batch (triplets across processes, unequal numbers of labelled
pictures), the function corrects for it, so that N processes step like one.
"""

from __future__ import annotations

import functools

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_gather
from torch.nn import functional as F

from hatcnn.attributes import BINARY, LOWER_COLOURS, UNKNOWN, UPPER_COLOURS
from hatcnn.models.build import ColourModel
from hatcnn.models.embedding import with_other
from hatcnn.models.hacnn import Output
from hatcnn.training.recipe import Loss


def losses(
    output: Output,
    classes: Tensor,
    attributes: Tensor,
    weights: Loss,
    colours: ColourModel,
    shares: Tensor | None = None,
) -> dict[str, Tensor]:
    """All losses of a batch, each a scalar, with their weighted sum as ``"total"``.

    Args:
        output: of the network in training mode.
        classes: (N,) int64 training classes, from 0.
        attributes: (N, 26) labels: 0, 1 or `UNKNOWN`.
        weights: of the terms. Triplets of weight 0 are not computed; attributes are, so that
            every parameter has a gradient.
        colours: how attribute logits read.
        shares: `positive_shares` of the training labels, where attributes are to be balanced.
    """
    terms = {}
    logits = [o for o in (output.global_logits, output.local_logits) if o is not None]
    terms["identity"] = _mean(
        [
            F.cross_entropy(o.float(), classes, label_smoothing=weights.label_smoothing)
            for o in logits
        ]
    )
    total = terms["identity"]
    if weights.triplet_weight:
        everyone = gather(classes)
        terms["triplet"] = _mean(
            [
                batch_hard_triplet(gather(feature.float()), everyone, weights.triplet_scale)
                for feature in (output.global_metric, output.local_metric)
            ]
        )
        total = total + weights.triplet_weight * terms["triplet"]
    if output.attribute_logits is not None:
        terms["attributes"] = attribute_loss(
            output.attribute_logits.float(), attributes, colours, shares
        )
        total = total + weights.attribute_weight * terms["attributes"]
    return {"total": total, **terms}


def batch_hard_triplet(features: Tensor, classes: Tensor, scale: float) -> Tensor:
    """Soft-margin triplet loss of each picture's farthest positive and nearest negative.

    ``softplus(scale * (d_positive - d_negative))`` of Euclidean distances of unit vectors, mean
    over the pictures that have both (Hermans et al., 2017); 0 when none has.

    Args:
        features: (N, d), not normalised.
        classes: (N,).
        scale: sharpness of the margin.
    """
    unit = F.normalize(features)
    # The floor keeps the square root's gradient finite where two vectors are equal.
    distance = (2 - 2 * unit @ unit.T).clamp_min(1e-8).sqrt()
    same = classes[:, None] == classes[None, :]
    itself = torch.eye(len(classes), dtype=torch.bool, device=classes.device)
    positive = distance.masked_fill(~same | itself, -1).amax(dim=1)
    negative = distance.masked_fill(same, 3).amin(dim=1)
    complete = (positive >= 0) & (negative <= 2.5)
    loss = F.softplus(scale * (positive - negative))
    return (loss * complete).sum() / complete.sum().clamp_min(1)


def attribute_loss(
    logits: Tensor, labels: Tensor, colours: ColourModel, shares: Tensor | None = None
) -> Tensor:
    """Cross-entropy of the attributes, mean over the known labels of all processes.

    Independent: binary cross-entropy of 26 logits, the published loss. Exclusive: binary
    cross-entropy of the nine that are no colours, and softmax cross-entropy of the upper and of
    the lower colour with "other" (logit 0), eleven terms a picture.

    Args:
        logits: (N, 26).
        labels: (N, 26): 0, 1 or `UNKNOWN`, which takes no part.
        colours: see above.
        shares: (26,) of the training labels that are 1. With them a term counts by e to the share
            of labels that say otherwise.
    """
    if colours == "independent":
        return _masked_mean(*_binary_terms(logits, labels, shares))
    binary, *groups = (_columns(g, logits.device) for g in (BINARY, UPPER_COLOURS, LOWER_COLOURS))
    of_binary = None if shares is None else shares[binary]
    values, known = _binary_terms(logits[:, binary], labels[:, binary], of_binary)
    for group in groups:
        group_labels = labels[:, group]
        # Colours are at most one-hot; a column of zeros in front makes "none" the class "other".
        choice = F.pad(group_labels.clamp_min(0), (1, 0)).argmax(dim=1)
        term = F.cross_entropy(with_other(logits[:, group]), choice, reduction="none")
        if shares is not None:
            of_group = shares[group]
            of_choice = torch.cat((1 - of_group.sum(dim=0, keepdim=True), of_group))
            term = term * torch.exp(1 - of_choice[choice])
        values = torch.cat((values, term[:, None]), dim=1)
        # One colour that is there settles the others, labelled or not.
        settled = (group_labels != UNKNOWN).all(dim=1) | (group_labels == 1).any(dim=1)
        known = torch.cat((known, settled[:, None]), dim=1)
    return _masked_mean(values, known)


def positive_shares(labels: Tensor) -> Tensor:
    """Of each attribute's known labels the share that is 1; 0.5 where none is known.

    Args:
        labels: (n, 26) of the training pictures.

    Returns:
        (26,) float32 in [0, 1].
    """
    known = (labels != UNKNOWN).sum(dim=0)
    return torch.where(known > 0, (labels == 1).sum(dim=0) / known.clamp_min(1), 0.5)


def gather(x: Tensor) -> Tensor:
    """The batches of all processes, (N, …) to (processes * N, …), with gradients back to each."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return x
    if x.requires_grad:
        return torch.cat(all_gather(x))
    parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, x.contiguous())
    return torch.cat(parts)


@functools.cache
def _columns(columns: tuple[int, ...], device: torch.device) -> Tensor:
    """Indices on the device: sent there in every step, they would make it wait."""
    return torch.tensor(columns, device=device)


def _binary_terms(logits: Tensor, labels: Tensor, shares: Tensor | None) -> tuple[Tensor, Tensor]:
    terms = F.binary_cross_entropy_with_logits(
        logits, labels.clamp_min(0).to(logits.dtype), reduction="none"
    )
    if shares is not None:
        terms = terms * torch.exp(torch.where(labels == 1, 1 - shares, shares))
    return terms, labels != UNKNOWN


def _masked_mean(values: Tensor, known: Tensor) -> Tensor:
    """Mean of the known values of all processes, scaled so that averaging gradients is right."""
    count = known.sum().to(values.dtype)
    processes = 1
    if dist.is_initialized():
        processes = dist.get_world_size()
        dist.all_reduce(count)
    return processes * torch.where(known, values, 0).sum() / count.clamp_min(1)


def _mean(terms: list[Tensor]) -> Tensor:
    return torch.stack(terms).mean()
