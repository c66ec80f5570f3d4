"""Networks as ONNX graphs, and what can be done to their weights."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file
from torch import nn

from hatcnn.inference.graph import InferenceGraph
from hatcnn.models.config import ModelConfig
from hatcnn.models.folder import Stored, stored_tensors

Array = npt.NDArray[Any]

OPSET = 18
"""Of ONNX: the oldest that the exporter writes without conversion."""
FEWEST = 256
"""Values of a weight that is worth storing otherwise; smaller ones stay in the graph."""


def to_onnx(network: nn.Module, config: ModelConfig, *, attributes: bool) -> onnx.ModelProto:
    """A network from `build_model`, with normalisation, for any number of pictures.

    Returns:
        A graph from ``images`` (n, H, W, 3) uint8 to ``vectors`` (n, 2 d) and, where there are
        attributes, ``logits`` (n, 26).
    """
    graph = InferenceGraph(network, config, attributes=attributes).eval()
    # Two pictures: the exporter takes a single one for a constant.
    example = torch.zeros(2, config.height, config.width, 3, dtype=torch.uint8)
    outputs = ["vectors", "logits"] if attributes else ["vectors"]
    with quiet():
        program = torch.onnx.export(
            graph,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["images"],
            output_names=outputs,
            dynamic_shapes={"images": {0: torch.export.Dim("n")}},
            verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    # The exporter notes each node's place in the source, paths of this machine included.
    for node in model.graph.node:
        del node.metadata_props[:]
    del model.graph.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        del value.metadata_props[:]
    return model


def halve(model: onnx.ModelProto) -> None:
    """Store weights as float16; arithmetic stays float32."""
    casts = []
    for weight in _weights(model):
        values = numpy_helper.to_array(weight).astype(np.float16)
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values, f"{name}.half"))
        casts.append(helper.make_node("Cast", [weight.name], [name], to=TensorProto.FLOAT))
    _prepend(model, casts)


def share(model: onnx.ModelProto, weights: Path) -> None:
    """Read weights from the model folder's safetensors file instead of storing them again.

    A folded convolution's weight is the stored one times a factor for each output channel. The
    factors stay in the graph; runtimes multiply once, when they load it. What is not such a
    multiple stays in the graph.

    Args:
        model: of the network whose weights these are.
        weights: the file, which has to lie beside the graph.
    """
    places, values = stored_tensors(weights), load_file(weights)
    nodes = []
    for weight in _weights(model):
        name = weight.name
        key = name.removeprefix("network.")
        # Without attributes, the graph holds the identity part of a HAT-CNN alone.
        key = key if key in places else f"identity.{key}"
        if key not in places or places[key].shape != tuple(weight.dims):
            continue
        factors = _factors(numpy_helper.to_array(weight), values[key].astype(np.float32))
        if factors is None:
            continue
        _refer(weight, f"{name}.stored", places[key], weights.name)
        product = weight.name
        if places[key].dtype == "F16":
            product = f"{name}.single"
            nodes.append(helper.make_node("Cast", [weight.name], [product], to=TensorProto.FLOAT))
        factor = numpy_helper.from_array(factors, f"{name}.factors")
        model.graph.initializer.append(factor)
        nodes.append(helper.make_node("Mul", [product, factor.name], [name]))
    _prepend(model, nodes)


def _weights(model: onnx.ModelProto) -> list[TensorProto]:
    return [
        tensor
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) >= FEWEST
    ]


def _factors(folded: Array, stored: Array) -> Array | None:
    """What each row of `stored` is multiplied by in `folded`, shaped to broadcast."""
    flat_folded, flat = (a.reshape(len(a), -1).astype(np.float64) for a in (folded, stored))
    norms = (flat * flat).sum(axis=1)
    factors = (flat_folded * flat).sum(axis=1) / np.where(norms > 0, norms, 1)
    shaped = factors.reshape(-1, *[1] * (stored.ndim - 1)).astype(np.float32)
    return shaped if np.allclose(stored * shaped, folded, rtol=1e-5, atol=1e-7) else None


def _refer(tensor: TensorProto, name: str, place: Stored, location: str) -> None:
    tensor.Clear()
    tensor.name = name
    tensor.dims.extend(place.shape)
    tensor.data_type = TensorProto.FLOAT16 if place.dtype == "F16" else TensorProto.FLOAT
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {
        "location": location, "offset": place.start, "length": place.length
    }.items():  # fmt: skip
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)


def _prepend(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> None:
    """Put nodes before all others, which read what they give."""
    others = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes + others)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporters' remarks on their own inner life off the terminal."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
