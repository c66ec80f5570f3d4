"""What lies in a model folder and which model it is; readable without torch."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from hatcnn.errors import CheckpointError, ConfigError, nearest_names
from hatcnn.models.config import ModelConfig

SHIPPED = Path(__file__).parents[1] / "weights"
"""Model folders that come with the package."""
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
CARD = "README.md"
CALIBRATION = "calibration.json"
"""Where somebody has fitted one (`hatcnn.evaluation.thresholds`)."""


def of_identities(name: str) -> bool:
    """Whether a tensor is an identity classifier's, which only training needs.

    The attributes' head has a classifier too, which stays.
    """
    return "global_head.classifier." in name or "local_head.classifier." in name


def find_model(name: str | Path) -> Path:
    """A model folder by its path or, where the package brings it, by its name.

    Raises:
        CheckpointError: when there is neither.
    """
    folder = Path(name)
    if folder.is_dir():
        return folder
    shipped = sorted(p.name for p in SHIPPED.iterdir() if p.is_dir()) if SHIPPED.is_dir() else []
    if str(name) in shipped:
        return SHIPPED / name
    known = f", or one of: {', '.join(shipped)}" if shipped else ""
    raise CheckpointError(f"no model folder at {folder}: pass a folder with {CONFIG}{known}")


def read_config(folder: Path) -> ModelConfig:
    """The config of a model folder.

    Raises:
        CheckpointError: when it is missing, or not one of ours.
    """
    path = folder / CONFIG
    try:
        values = json.loads(path.read_text())
    except FileNotFoundError:
        raise CheckpointError(f"{folder} is no model folder: it has no {CONFIG}") from None
    except ValueError as error:
        raise CheckpointError(f"{path} is no JSON: {error}") from None
    return parse_config(values, source=str(path))


def parse_config(values: Any, *, source: str) -> ModelConfig:
    """A config from its JSON.

    Raises:
        CheckpointError: naming `source`, for what is no config.
    """
    if not isinstance(values, dict) or values.get("model_type", "hatcnn") != "hatcnn":
        raise CheckpointError(f"{source} describes another kind of model than hatcnn")
    values = {name: value for name, value in values.items() if name != "model_type"}
    known = [f.name for f in fields(ModelConfig)]
    for name in values:
        if name not in known:
            raise CheckpointError(f"{source}: unknown field {name!r}{nearest_names(name, known)}")
    if isinstance(values.get("channels"), list):
        values["channels"] = tuple(values["channels"])
    try:
        return ModelConfig(**values)
    except (ConfigError, TypeError) as error:
        raise CheckpointError(f"{source}: {error}") from None


def config_to_json(config: ModelConfig) -> dict[str, Any]:
    """What `parse_config` reads."""
    return {"model_type": "hatcnn", **asdict(config)}


@dataclass(frozen=True)
class Stored:
    """Where a tensor lies in a safetensors file.

    Attributes:
        dtype: in safetensors' words: "F32", "F16", "BF16".
        shape: of the tensor.
        start, length: its bytes in the file.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    length: int


def stored_tensors(path: Path) -> Mapping[str, Stored]:
    """Where the tensors of a safetensors file lie, by name.

    Raises:
        CheckpointError: when it is missing or no safetensors file.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            # Longer headers are refused by safetensors itself.
            header = json.loads(file.read(min(length, 100_000_000)))
        header.pop("__metadata__", None)
        return {
            name: Stored(
                entry["dtype"],
                tuple(entry["shape"]),
                8 + length + entry["data_offsets"][0],
                entry["data_offsets"][1] - entry["data_offsets"][0],
            )
            for name, entry in header.items()
        }
    except FileNotFoundError:
        raise CheckpointError(f"{path.parent} holds no {path.name}") from None
    except (struct.error, ValueError, KeyError, TypeError, AttributeError):
        raise CheckpointError(f"{path} is broken (no safetensors header): copy it anew") from None


def fingerprint(folder: Path, config: ModelConfig) -> str:
    """Which model this is: 16 hexadecimal digits of a hash.

    Vectors of models with different fingerprints must not be compared. Identity classifiers do
    not count, nor fields of the config that have their default value, so that a field that is
    added later changes no fingerprint.

    Args:
        folder: a model folder with weights.
        config: of the model.

    Raises:
        CheckpointError: when the weights are missing or broken.
    """
    path = folder / WEIGHTS
    stored = stored_tensors(path)
    special = {
        f.name: getattr(config, f.name)
        for f in fields(config)
        if getattr(config, f.name) != f.default and f.name != "num_identities"
    }
    digest = hashlib.sha256(json.dumps(special, sort_keys=True).encode())
    content = memoryview(path.read_bytes())
    for name in sorted(stored):
        if not of_identities(name):
            tensor = stored[name]
            digest.update(f"{name} {tensor.dtype} {tensor.shape}".encode())
            digest.update(content[tensor.start : tensor.start + tensor.length])
    return digest.hexdigest()[:16]
