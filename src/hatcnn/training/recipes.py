"""The recipes that ``hatcnn train`` knows by name. Each is a function that returns a `Recipe`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hatcnn.errors import ConfigError, nearest_names
from hatcnn.models.build import ModelConfig
from hatcnn.training.recipe import Augmentation, Loss, Optimiser, Recipe, Sampling


def hatcnn_paper() -> Recipe:
    """HAT-CNN as the authors' code trains it.

    SGD with momentum 0.9, batches of 16, no augmentation, 240 epochs, evaluated every 20. The
    learning rate starts at 0.03: the paper's text prints 0.3, which its own code and README
    contradict (0.03), as does the recipe of the network it builds on.
    """
    return Recipe(name="hatcnn-paper")


def hacnn_paper() -> Recipe:
    """HA-CNN, the paper's baseline: the same schedule without the attribute network."""
    return replace(hatcnn_paper(), name="hacnn-paper", model=ModelConfig(attributes="none"))


def hatcnn_local_joint() -> Recipe:
    """The local branch predicts identities and attributes (the paper's Figure 4)."""
    return replace(
        hatcnn_paper(), name="hatcnn-local-joint", model=ModelConfig(attributes="local-joint")
    )


def hatcnn_local_attributes() -> Recipe:
    """The local branch predicts attributes only; identities are the global branch's."""
    return replace(
        hatcnn_paper(), name="hatcnn-local-attributes", model=ModelConfig(attributes="local-only")
    )


def hatcnn_plus() -> Recipe:
    """Ours: the same network class under a modern schedule.

    Attributes from a small head on the features of both branches, instead of a network of their
    own; attention that can suppress; regions that tile the picture at the start, stay near their
    strip of it and are sampled straight into their grid; colours as one choice among several with
    "other". Batches of 16 people x 4 pictures with a batch-hard triplet loss beside the
    cross-entropies; shift, flip and erasing; warm-up and cosine; a moving average of the weights.
    What each part is worth: docs/results.md.
    """
    return Recipe(
        name="hatcnn-plus",
        epochs=120,
        model=ModelConfig(
            attributes="shared",
            suppressing_attention=True,
            tiling_regions=True,
            region_reach=0.2,
            direct_sampling=True,
            shared_region_statistics=True,
            norm_epsilon=1e-12,
            colours="exclusive",
        ),
        sampling=Sampling(batch_size=64, pictures_per_identity=4),
        augmentation=Augmentation(flip=0.5, shift=(10, 6), erase=0.5),
        loss=Loss(triplet_weight=0.5),
        optimiser=Optimiser(lr=0.1, nesterov=True, schedule="cosine", warmup=0.15),
        averaging=0.999,
        precision="bf16-mixed",
        evaluate_every=10,
    )


def smoke() -> Recipe:
    """Seconds: a narrow network on small pictures, to see that everything runs and learns."""
    plus = hatcnn_plus()
    return replace(
        plus,
        name="smoke",
        epochs=20,
        model=replace(
            plus.model,
            height=96,
            width=48,
            channels=(32, 64, 96),
            stem_channels=16,
            feature_dim=128,
            attribute_dim=64,
            # On so few pictures the neck helps; on Market-1501 it does not.
            bn_neck=True,
        ),
        sampling=Sampling(batch_size=32, pictures_per_identity=4),
        augmentation=Augmentation(flip=0.5, shift=(6, 4), erase=0.3),
        optimiser=replace(plus.optimiser, lr=0.05),
        averaging=0.9,
        precision="32-true",
        # Compiling would take longer than it saves, and needs a C compiler on a GPU.
        compile="never",
        evaluate_every=0,
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    "hatcnn-plus": hatcnn_plus,
    "hatcnn-paper": hatcnn_paper,
    "hacnn-paper": hacnn_paper,
    "hatcnn-local-joint": hatcnn_local_joint,
    "hatcnn-local-attributes": hatcnn_local_attributes,
    "smoke": smoke,
}


def recipe_named(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ConfigError: when there is none; the message lists the nearest names.
    """
    if name not in RECIPES:
        raise ConfigError(f"unknown recipe {name!r}{nearest_names(name, RECIPES)}")
    return RECIPES[name]()
