"""The jobs: plain forms and ours. Each `prepare` makes a portion of work in a fresh process."""

from __future__ import annotations

import atexit
import functools
import importlib.util
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import nn

from hatcnn.benchmark.arrays import (
    GALLERY,
    IDENTITIES,
    QUERIES,
    crowd,
    plain_ranking,
    plain_reranking,
    plain_search,
)
from hatcnn.benchmark.ceilings import synchronise
from hatcnn.benchmark.plain import PlainBackend, plain_training_step, source_tree
from hatcnn.benchmark.serving import (
    batches,
    exported_batches,
    exported_files,
    files,
    jpeg_files,
    random_pixels,
)
from hatcnn.benchmark.workers import Form, Work
from hatcnn.devices import make_fabric, multiplies_bfloat16, supported_precision
from hatcnn.evaluation import distance_blocks, rank, reranked_blocks, top_k
from hatcnn.export import export_model
from hatcnn.inference.backends import Backend, BackendName
from hatcnn.inference.torch_backend import TorchBackend
from hatcnn.models.build import ModelConfig, build_model
from hatcnn.models.checkpoint import save_model
from hatcnn.training.augmentation import Augment
from hatcnn.training.losses import losses
from hatcnn.training.recipe import Recipe
from hatcnn.training.recipes import recipe_named

Job = Literal["train", "embed", "latency", "files", "evaluate", "rerank", "search"]


def forms(job: Job) -> list[Form]:
    """The forms of a job, the plain ones first; those only in a source tree."""
    made = _FORMS[job]()
    return made if source_tree() else [form for form in made if not form.plain]


def training_step(recipe: Recipe, batch_size: int, *, plain: bool) -> Work:
    """One step of a recipe on random pixels: augmentation, network, losses, optimiser."""
    recipe = replace(recipe, model=replace(recipe.model, num_identities=IDENTITIES))
    if plain:
        return plain_training_step(recipe, batch_size)
    fabric = make_fabric(precision=supported_precision(recipe.precision), devices=1)
    torch.manual_seed(0)
    network: nn.Module = build_model(recipe.model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.SGD(
        network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, fused=True
    )
    if fabric.device.type == "cuda":
        network = torch.compile(network, mode="reduce-overhead")  # type: ignore[assignment]
    wrapped, optimiser = fabric.setup(network, optimiser)
    pixels = torch.from_numpy(random_pixels(recipe.model, batch_size)).to(fabric.device)
    classes = (torch.arange(batch_size, device=fabric.device) // 4) % IDENTITIES
    labels = torch.randint(0, 2, (batch_size, 26), device=fabric.device)
    augment = Augment(recipe.augmentation, seed=0)
    rows = slice(0, batch_size)

    def step() -> int:
        images = augment(pixels, 0, rows=rows, batch_size=batch_size)
        terms = losses(wrapped(images), classes, labels, recipe.loss, recipe.model.colours)
        fabric.backward(terms["total"])
        optimiser.step()
        optimiser.zero_grad()
        synchronise()
        return batch_size

    wrapped.train()
    return step


def embedding_batch(config: ModelConfig, batch_size: int, *, plain: bool) -> Work:
    """One batch of pixels to vectors and attribute logits, by torch."""
    return batches(_backend(config, plain=plain), batch_size)


def files_to_file(config: ModelConfig, count: int, *, plain: bool) -> Work:
    """JPEG files to a file of embeddings, by torch."""
    backend = _backend(config, plain=plain)
    if not plain:
        return files(backend, count)
    kept, paths = jpeg_files(count)

    def work() -> int:
        vectors = []
        for start in range(0, count, 16):
            pixels = []
            for path in paths[start : start + 16]:
                with Image.open(path) as picture:
                    size = (config.width, config.height)
                    pixels.append(np.asarray(picture.convert("RGB").resize(size)))
            vectors.append(backend(np.stack(pixels))[0])
        np.savez(Path(kept.name) / "embeddings.npz", vectors=np.concatenate(vectors))
        return count

    return work


def ranking(queries: int, gallery: int, *, plain: bool) -> Work:
    """Distances, ranks and scores of random vectors."""
    query, others = crowd(queries, gallery)

    def work() -> int:
        if plain:
            plain_ranking(query, others)
        else:
            rank(distance_blocks(query.vectors, others.vectors), query, others)
        return queries

    return work


def reranking(queries: int, gallery: int, *, plain: bool) -> Work:
    """k-reciprocal re-ranking of random vectors."""
    query, others = crowd(queries, gallery)

    def work() -> int:
        if plain:
            plain_reranking(query.vectors, others.vectors)
        else:
            for _ in reranked_blocks(query.vectors, others.vectors):
                pass
        return queries

    return work


def searching(queries: int, gallery: int, *, plain: bool) -> Work:
    """The ten nearest of the gallery for each query, by the protocol's camera rule."""
    query, others = crowd(queries, gallery)

    def work() -> int:
        if plain:
            plain_search(query, others, 10)
        else:
            top_k(distance_blocks(query.vectors, others.vectors), query, others, 10)
        return queries

    return work


def _backend(config: ModelConfig, *, plain: bool) -> Backend:
    torch.manual_seed(0)
    if plain:
        return PlainBackend(config)
    built = build_model(config).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fabric = make_fabric(precision=supported_precision("bf16-mixed"), devices=1)
    return TorchBackend(built, config, fabric)


def _half() -> str:
    """Our fast arithmetic on this machine: bf16 unless it is a CPU that only emulates it."""
    return "bf16" if supported_precision("bf16-mixed") == "bf16-mixed" else "fp32"


@functools.cache
def _exported(recipe: str) -> Path:
    """A folder with the recipe's network, fresh weights, exported to ONNX; gone at the end."""
    kept = tempfile.TemporaryDirectory(prefix="hatcnn-bench-")
    atexit.register(kept.cleanup)
    folder = Path(kept.name)
    torch.manual_seed(0)
    config = recipe_named(recipe).model
    save_model(folder, config, build_model(config).state_dict(), card="")
    export_model(folder, to="onnx")
    return folder


def _training_forms() -> list[Form]:
    paper, plus = recipe_named("hatcnn-paper"), recipe_named("hatcnn-plus")
    plain, ours = partial(training_step, plain=True), partial(training_step, plain=False)
    half = _half()
    recipes = [("hatcnn-paper", paper, "fp32"), (f"hatcnn-plus, {half}", plus, half)]
    if half == "bf16":
        halved = replace(paper, precision="bf16-mixed")
        recipes.insert(1, ("hatcnn-paper, bf16", halved, half))
    return [
        *(
            Form(
                name=f"plain, batch {size}",
                prepare=plain,
                arguments=(paper, size),
                plain=True,
                counted="plain",
            )
            for size in (16, 64)
        ),
        *(
            Form(
                name=f"{name}, batch 64",
                prepare=ours,
                arguments=(recipe, 64),
                precision=precision,
                counted=recipe.name,
            )
            for name, recipe, precision in recipes
        ),
    ]


def _network_forms(by_torch: object, exported: object, ours: int, *sizes: int) -> list[Form]:
    """Plain, then the published network and hatcnn-plus through each back end."""
    assert callable(by_torch)
    assert callable(exported)
    paper, plus, half = "hatcnn-paper", "hatcnn-plus", _half()
    on_cpu = "bf16" if multiplies_bfloat16(torch.device("cpu")) else "fp32"
    fast: list[tuple[str, str, BackendName]] = [("hatcnn-plus, ONNX Runtime", plus, "onnx")]
    if importlib.util.find_spec("openvino"):
        fast += [
            ("HAT-CNN, OpenVINO", paper, "openvino"),
            ("hatcnn-plus, OpenVINO", plus, "openvino"),
        ]
    return [
        *(
            Form(
                name=f"plain, {size}",
                prepare=partial(by_torch, plain=True),
                arguments=(recipe_named(paper).model, size),
                plain=True,
                counted="plain",
            )
            for size in sizes
        ),
        Form(
            name=f"hatcnn-plus, torch, {half}, {ours}",
            prepare=partial(by_torch, plain=False),
            arguments=(recipe_named(plus).model, ours),
            precision=half,
            counted=plus,
        ),
        *(
            Form(
                name=f"{name}, {'fp32' if runtime == 'onnx' else on_cpu}, {ours}",
                prepare=exported,
                arguments=(_exported(recipe), runtime, ours),
                precision="fp32" if runtime == "onnx" else on_cpu,
                counted=recipe,
            )
            for name, recipe, runtime in fast
        ),
    ]


def _array_forms(prepare: object, plain: tuple[int, int], ours: tuple[int, int]) -> list[Form]:
    assert callable(prepare)
    return [
        Form(
            name=f"plain, {plain[0]:,} x {plain[1]:,}",
            prepare=partial(prepare, plain=True),
            arguments=plain,
            plain=True,
        ),
        Form(
            name=f"ours, {ours[0]:,} x {ours[1]:,}",
            prepare=partial(prepare, plain=False),
            arguments=ours,
        ),
    ]


_FORMS: dict[Job, Callable[[], list[Form]]] = {
    "train": _training_forms,
    "embed": lambda: _network_forms(embedding_batch, exported_batches, 32, 16, 64),
    "latency": lambda: _network_forms(embedding_batch, exported_batches, 1, 1),
    "files": lambda: _network_forms(files_to_file, exported_files, 256, 256),
    # A plain ranking of all queries takes a minute and more; it does some of them.
    "evaluate": lambda: _array_forms(ranking, (60, GALLERY), (QUERIES, GALLERY)),
    "rerank": lambda: _array_forms(reranking, *2 * ((QUERIES // 4, GALLERY // 4),)),
    "search": lambda: _array_forms(searching, (10, 100_000), (500, 100_000)),
}
