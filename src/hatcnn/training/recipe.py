"""What a training run is made of: a `Recipe`. Its fields are the flags of ``hatcnn train``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from hatcnn.errors import ConfigError
from hatcnn.models.build import ModelConfig

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Which pictures a batch holds."""

    batch_size: int = 16
    """Pictures in one step, over all processes together."""
    pictures_per_identity: int = 0
    """0 shuffles pictures freely. K draws batch_size / K identities and K pictures of each, which
    triplet losses need."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of a training picture; each is drawn for every picture anew."""

    flip: float = 0.0
    """Probability of a left-right flip."""
    shift: tuple[int, int] = (0, 0)
    """Largest shift up or down and left or right, pixels; what comes in is black."""
    erase: float = 0.0
    """Probability that one rectangle is replaced by the mean colour."""
    erase_area: tuple[float, float] = (0.02, 0.3)
    """Smallest and largest share of the picture that is erased."""


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What is minimised: identity + triplet_weight * triplet + attribute_weight * attributes."""

    label_smoothing: float = 0.1
    """Of the identity cross-entropies."""
    triplet_weight: float = 0.0
    """Weight of the batch-hard triplet losses of the global and the local feature."""
    triplet_scale: float = 10.0
    """Distances of unit vectors are multiplied by this before the soft margin."""
    attribute_weight: float = 1.0
    """Weight of the attribute loss, where the network predicts attributes."""
    balance_attributes: bool = False
    """Weigh a label by e to the share of training labels that say otherwise, so that rare
    attributes count more (Li et al., 2015)."""


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """Stochastic gradient descent with momentum, and its learning rate over time."""

    lr: float = 0.03
    """Highest learning rate."""
    momentum: float = 0.9
    """Of the gradient."""
    nesterov: bool = False
    """Look-ahead momentum."""
    weight_decay: float = 5e-4
    """On all parameters, as published."""
    schedule: Literal["step", "cosine"] = "step"
    """Divide by ten at the milestones, or follow half a cosine down to zero."""
    milestones: tuple[float, ...] = (150 / 240, 225 / 240)
    """Shares of the schedule after which "step" divides by ten."""
    warmup: float = 0.0
    """Share of the schedule in which the learning rate rises linearly from near zero."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole training run; derive one from another with `dataclasses.replace`."""

    name: str
    """Its name, which run folders and results carry."""
    epochs: int = 240
    """Length of the schedule."""
    seed: int = 0
    """Of weights, order and augmentation."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The network; its number of identities comes from the data."""
    sampling: Sampling = field(default_factory=Sampling)
    """Which pictures a batch holds."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    """Random changes of the pictures."""
    loss: Loss = field(default_factory=Loss)
    """What is minimised."""
    optimiser: Optimiser = field(default_factory=Optimiser)
    """How."""
    start_from: str = ""
    """Run folder, model folder, or name of a model that comes with the package, whose weights
    training starts from. Only a run has identity classifiers, taken over where it knew as many
    identities; otherwise they start fresh. Empty starts from random weights."""
    averaging: float = 0.0
    """Decay of the moving average of the weights that is evaluated and saved; 0 keeps none."""
    freeze_batch_norm: bool = False
    """Keep batch norm at its running statistics, for tuning on few pictures."""
    accumulate: int = 1
    """Split a step's batch into this many forward and backward passes, to save memory. Batch
    norm and triplets then see one part at a time."""
    precision: Precision = "32-true"
    """Arithmetic of forward and backward pass; weights stay float32."""
    compile: Literal["auto", "always", "never"] = "auto"
    """Compile the network, which takes minutes at the start. auto compiles on a GPU, where it
    pays; on a CPU the steps do not get faster by it (docs/performance.md)."""
    evaluate_every: int = 20
    """Epochs between evaluations; the last epoch is always evaluated. 0 evaluates at the end."""
    checkpoint_every: int = 1
    """Epochs between checkpoints; the last epoch is always saved."""

    def __post_init__(self) -> None:
        sampling = self.sampling
        for name, value in (
            ("epochs", self.epochs),
            ("sampling.batch_size", sampling.batch_size),
            ("accumulate", self.accumulate),
            ("checkpoint_every", self.checkpoint_every),
        ):
            if value < 1:
                raise ConfigError(f"{name} must be at least 1, not {value}")
        if sampling.pictures_per_identity and sampling.batch_size % sampling.pictures_per_identity:
            raise ConfigError(
                f"sampling.batch_size {sampling.batch_size} is no multiple of "
                f"sampling.pictures_per_identity {sampling.pictures_per_identity}"
            )
        if self.loss.triplet_weight and sampling.pictures_per_identity < 2:
            raise ConfigError(
                "loss.triplet_weight needs sampling.pictures_per_identity of at least 2: "
                "a triplet is two pictures of one person and one of another"
            )
        if self.model.reduced_dim:
            raise ConfigError(
                "model.reduced_dim cannot be trained: train with 0, then run 'hatcnn reduce'"
            )
        if not 0 <= self.averaging < 1:
            raise ConfigError(f"averaging must be at least 0 and below 1, not {self.averaging}")


def with_identities(recipe: Recipe, num_identities: int) -> Recipe:
    """The recipe for data with so many training identities."""
    return replace(recipe, model=replace(recipe.model, num_identities=num_identities))


def resolved(written: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe read back from JSON, by dotted field as in flags.

    A field that came after the recipe was written has its default, which is what the run did.
    """
    return _flat(_as_json(Recipe(name=""))) | _flat(written)


def differences(written: Mapping[str, Any], recipe: Recipe) -> dict[str, tuple[Any, Any]]:
    """Fields, dotted as in flags, in which a recipe read back from JSON and another differ."""
    old, new = resolved(written), _flat(_as_json(recipe))
    return {key: (old.get(key), new.get(key)) for key in old | new if old.get(key) != new.get(key)}


def _as_json(recipe: Recipe) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))
    return values


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
