"""Existing HA-CNN and HAT-CNN checkpoints (``.pth``, ``.pth.tar``) to our networks.

The key names of such checkpoints are an interface that many files out there share; the rules
below are the only place that knows them.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hatcnn.attributes import NUM_ATTRIBUTES
from hatcnn.errors import CheckpointError, ConfigError
from hatcnn.models.build import ModelConfig, build_model
from hatcnn.models.checkpoint import load_state

# Applied in order, each to the result of those before.
_RULES: tuple[tuple[str, str], ...] = (
    (r"^module\.", ""),
    (r"^conv\.", "stem."),
    (r"^inception(\d)\.", r"levels.\1.body."),
    (r"^local_conv(\d)\.", r"levels.\1.local.block."),
    (r"^ha(\d)\.soft_attn\.spatial_attn\.conv1\.", r"levels.\1.soft.spatial.reduce."),
    (r"^ha(\d)\.soft_attn\.spatial_attn\.conv2\.", r"levels.\1.soft.spatial.scale."),
    (r"^ha(\d)\.soft_attn\.channel_attn\.conv1\.", r"levels.\1.soft.channel.squeeze."),
    (r"^ha(\d)\.soft_attn\.channel_attn\.conv2\.", r"levels.\1.soft.channel.excite."),
    (r"^ha(\d)\.soft_attn\.conv\.", r"levels.\1.soft.blend."),
    (r"^ha(\d)\.hard_attn\.fc\.", r"levels.\1.hard.linear."),
    (r"^fc_(global|local)\.0\.", r"\1_head.linear."),
    (r"^fc_(global|local)\.1\.", r"\1_head.norm."),
    (r"^classifier_(global|local)\.", r"\1_head.classifier."),
    (r"^att\.0\.", "attributes.body.0."),
    (r"^fc_att\.0\.", "attributes.linear."),
    (r"^fc_att\.1\.", "attributes.norm."),
    (r"^classifier_att\.", "attributes.classifier."),
    (r"\.bn\.", ".norm."),
)


def convert_checkpoint(path: str | Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Read an existing checkpoint; its sizes are read off its weights.

    The input size is not stored in such files; it is taken as 160 x 64.

    Returns:
        The published network's config with those sizes, and the state dict under our names, the
        identity classifiers included.

    Raises:
        CheckpointError: when the file is missing, would run code when unpickled, is none of
            these networks, or its weights do not fit together.
    """
    state = _rename(_read(Path(path)))
    try:
        config = ModelConfig(
            num_identities=len(state["global_head.classifier.weight"]),
            attributes="separate" if "attributes.linear.weight" in state else "none",
            stem_channels=len(state["stem.conv.weight"]),
            channels=(
                len(state["levels.0.soft.blend.conv.weight"]),
                len(state["levels.1.soft.blend.conv.weight"]),
                len(state["levels.2.soft.blend.conv.weight"]),
            ),
            feature_dim=len(state["global_head.linear.weight"]),
            attribute_dim=len(state.get("attributes.linear.weight", range(100))),
        )
    except KeyError as missing:
        raise CheckpointError(
            f"{path} is no HA-CNN or HAT-CNN checkpoint: it lacks {missing.args[0]} "
            f"(our name for it); its keys begin with {sorted(state)[:3]}"
        ) from None
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from None
    attributes = state.get("attributes.classifier.weight")
    if attributes is not None and len(attributes) != NUM_ATTRIBUTES:
        raise CheckpointError(
            f"{path} predicts {len(attributes)} attributes, expected {NUM_ATTRIBUTES}"
        )
    if attributes is not None:
        state = {
            name if name.startswith("attributes.") else f"identity.{name}": tensor
            for name, tensor in state.items()
        }
    load_state(build_model(config), state, source=str(path))
    return config, state


def _read(path: Path) -> Mapping[str, Any]:
    try:
        with warnings.catch_warnings():
            # It warns of pickle protocols; what matters here is whether it refuses.
            warnings.simplefilter("ignore", UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"no checkpoint at {path}") from None
    except IsADirectoryError:
        raise CheckpointError(f"{path} is a folder: pass a checkpoint file") from None
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{path} was refused: it holds something other than tensors, and reading that could "
            "run code. Save its state_dict alone, on a machine where you trust the file"
        ) from None
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} is no checkpoint or is cut short: {error}") from None
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise CheckpointError(f"{path} holds no state dict of tensors")
    return state


def _rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for key, tensor in state.items():
        name = str(key)
        for pattern, replacement in _RULES:
            name = re.sub(pattern, replacement, name)
        # Checkpoints count levels from 1; their attribute blocks 1 to 6 are A, B of our levels.
        name = re.sub(r"^levels\.(\d)", lambda m: f"levels.{int(m[1]) - 1}", name)
        name = re.sub(
            r"^att\.(\d)\.",
            lambda m: f"attributes.body.{(int(m[1]) + 1) // 2}.{(int(m[1]) + 1) % 2}.",
            name,
        )
        renamed[name] = tensor
    return renamed
