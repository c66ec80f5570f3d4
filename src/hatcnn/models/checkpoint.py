"""Model folders: ``config.json``, ``model.safetensors`` and, where one was written, a model card.

The layout is that of the Hugging Face hub. Loading never unpickles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from hatcnn.errors import CheckpointError
from hatcnn.files import atomic_path, write_json, write_text
from hatcnn.models.build import build_model
from hatcnn.models.config import ModelConfig
from hatcnn.models.folder import (
    CARD,
    CONFIG,
    WEIGHTS,
    config_to_json,
    find_model,
    of_identities,
    read_config,
)
from hatcnn.models.hacnn import HACNN
from hatcnn.models.hatcnn import HATCNN


def save_model(
    folder: str | Path,
    config: ModelConfig,
    state: Mapping[str, Tensor],
    *,
    card: str,
    classifiers: bool = False,
    half: bool = False,
) -> None:
    """Write a model folder; each file is written beside and renamed.

    Args:
        folder: made when missing.
        config: shape and arithmetic of the network.
        state: its state dict.
        card: text of ``README.md``.
        classifiers: keep the identity classifiers, which only training needs.
        half: store weights of two and more dimensions as float16, for half the size. Statistics
            and biases stay: small variances would not survive.
    """
    folder = Path(folder)
    if not classifiers:
        config = replace(config, num_identities=0)
        state = {k: v for k, v in state.items() if not of_identities(k)}
    tensors = {k: v.detach().cpu().contiguous() for k, v in state.items() if "num_batches" not in k}
    if half:
        tensors = {k: v.half() if v.ndim > 1 else v for k, v in tensors.items()}
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    write_text(folder / CARD, card)
    write_json(folder / CONFIG, config_to_json(config))


def load_model(folder: str | Path) -> tuple[HACNN | HATCNN, ModelConfig]:
    """Read a model folder; the network comes in evaluation mode, on the CPU, in float32.

    Args:
        folder: a model folder, or the name of a model that comes with the package.

    Raises:
        CheckpointError: when the folder or one of its files is missing, broken or of another
            shape than its config says.
    """
    folder = find_model(folder)
    config = read_config(folder)
    model = build_model(config)
    try:
        state = load_file(folder / WEIGHTS)
    except FileNotFoundError:
        raise CheckpointError(f"{folder} holds no {WEIGHTS}") from None
    except SafetensorError as error:
        raise CheckpointError(f"{folder / WEIGHTS} is broken ({error}): copy it anew") from None
    load_state(model, {k: v.float() for k, v in state.items()}, source=str(folder))
    return model.eval(), config


def start_from(network: torch.nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Start a network from weights; identity classifiers of others stay as they are.

    Args:
        network: to be trained.
        state: weights, with classifiers for as many identities, for other ones, or without.
        source: where they are from, for the error.

    Raises:
        CheckpointError: when they are another network's.
    """
    kept = {k: v for k, v in network.state_dict().items() if of_identities(k)}
    same = all(k in state and state[k].shape == v.shape for k, v in kept.items())
    others = {k: v for k, v in state.items() if not of_identities(k)}
    load_state(network, state if same else {**kept, **others}, source=source)


def load_state(model: torch.nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Load weights, every one of them, of the right shape; batch counters may be missing.

    Raises:
        CheckpointError: naming the first differences between the weights and the network.
    """
    expected = {k: v for k, v in model.state_dict().items() if "num_batches" not in k}
    given = {k: v for k, v in state.items() if "num_batches" not in k}
    problems = [f"{k} is missing" for k in expected if k not in given]
    problems += [f"{k} is unknown" for k in given if k not in expected]
    problems += [
        f"{k} is {tuple(given[k].shape)}, expected {tuple(v.shape)}"
        for k, v in expected.items()
        if k in given and given[k].shape != v.shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more differences" if len(problems) > 3 else ""
        raise CheckpointError(
            f"the weights of {source} do not fit the network: {'; '.join(problems[:3])}{more}"
        )
    model.load_state_dict(given, strict=False)
