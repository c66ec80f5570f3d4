"""A tiny network with weights that a formula gives, the same with every version of everything."""

from functools import cache
from unittest import mock

import numpy as np
import onnx
import torch

from hatcnn.export import export_model, exporting
from hatcnn.export.graphs import to_onnx
from hatcnn.models.build import build_model
from hatcnn.models.checkpoint import save_model
from tests.models.test_network import NARROW


def fixed_state(config=NARROW):
    """A state dict of scrambled sines: no random generator whose stream could change."""
    state = build_model(config).state_dict()
    start = 0
    for name, value in state.items():
        if "num_batches" in name:
            continue
        values = 2 * scrambled(value.numel(), start) - 1
        start += value.numel()
        if "running_var" in name:
            values = 0.5 + 0.3 * values
        elif "norm.weight" in name:
            values = 1 + 0.3 * values
        elif value.ndim > 1:
            # Twice the usual initialisation's range, so that no layer goes silent.
            values = values * 2 / np.sqrt(value[0].numel())
        else:
            values = 0.1 * values
        state[name] = torch.tensor(values.reshape(tuple(value.shape)), dtype=torch.float32)
    return state


def scrambled(count, start=0):
    """Numbers in [0, 1) without a pattern."""
    return np.sin(12.9898 * np.arange(start, start + count)) * 43758.5453 % 1


def save_fixed(folder, config=NARROW, **options):
    save_model(folder, config, fixed_state(config), card="", **options)
    return folder


def pixels(count, config=NARROW):
    """Blocks of colour (n, H, W, 3) uint8 that differ from picture to picture."""
    shape = (count, config.height // 8, config.width // 8, 3)
    blocks = np.floor(256 * scrambled(int(np.prod(shape)))).reshape(shape).astype(np.uint8)
    return blocks.repeat(8, axis=1).repeat(8, axis=2)


@cache
def fixed_graph():
    """The fixed network as an ONNX graph, in bytes; tracing it takes seconds."""
    network = build_model(NARROW).eval()
    network.load_state_dict(fixed_state())
    return to_onnx(network, NARROW, attributes=True).SerializeToString()


def export_fixed(folder, change=lambda _graph: None, **options):
    """Export a folder of `save_fixed`, whose graph may be changed, without tracing it again."""
    graph = onnx.ModelProto.FromString(fixed_graph())
    change(graph)
    with mock.patch.object(exporting, "to_onnx", return_value=graph):
        return export_model(folder, **options)
