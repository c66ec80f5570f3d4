"""Convolutions of 8-bit integers, with ranges as they occur in pictures.

Weights use seven of the eight bits: without VNNI, an x86 processor sums two products in 16 bits,
which eight bits overflow, and the vectors would depend on the machine.

Only convolutions are quantised: regions are cut out by matrix products whose positions eight bits
would blur, and the rest is too small to matter. Each runtime has its own library, for each fuses
only what its own library writes: OpenVINO reads ONNX Runtime's int8 graphs at a cosine similarity
of 0.86 and below.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import onnx

from hatcnn.export.graphs import quiet
from hatcnn.inference.backends import Pixels

COLOURS = 3
"""Channels of a picture."""


def quantise_onnx(model: onnx.ModelProto, folder: Path, pixels: Pixels) -> onnx.ModelProto:
    """An ONNX graph whose convolutions are of integers.

    Args:
        model: in float32.
        folder: for temporary files, which ONNX Runtime works with.
        pixels: (n, H, W, 3) of the network's input size.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """One picture after the other, in a form that the library asks for."""

        def __init__(self) -> None:
            self.remaining = iter(pixels)

        def get_next(self) -> dict[str, Pixels] | None:
            picture = next(self.remaining, None)
            return None if picture is None else {"images": picture[None]}

    names = ("plain", "prepared", "quantised")
    plain, prepared, quantised = files = [folder / f"{name}.onnx" for name in names]
    onnx.save(model, plain)
    with quiet():
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            quantised,
            Reader(),
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=True,
        )
    result = onnx.load(quantised)
    for file in files:
        file.unlink()
    return result


def quantise_openvino(model: Any, pixels: Pixels) -> Any:
    """An OpenVINO model whose convolutions are of integers, but for the sensitive ones.

    Args:
        model: an `openvino.Model` in float32.
        pixels: (n, H, W, 3) of the network's input size.
    """
    # Unless told that a machine is testing it, NNCF reports its use over the network.
    os.environ.setdefault("NNCF_CI", "1")
    with quiet():
        import nncf

        kept = {node.get_type_name() for node in model.get_ops()} - {"Convolution"}
        return nncf.quantize(
            model,
            nncf.Dataset(list(pixels), lambda picture: picture[None]),
            subset_size=len(pixels),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                overflow_fix=nncf.OverflowFix.ENABLE
            ),
            ignored_scope=nncf.IgnoredScope(
                names=_sensitive(model), types=sorted(kept), validate=False
            ),
        )


def _sensitive(model: Any) -> list[str]:
    """Names of the convolutions by which integers lose most.

    Those of the attention, whose errors multiply every map and move the regions; and the first,
    which sees the picture.
    """
    found = []
    for node in model.get_ops():
        if node.get_type_name() != "Convolution":
            continue
        _, channels, height, width = node.output(0).get_partial_shape()
        # Spatial attention has one channel, channel attention one position.
        attends = 1 in (channels.get_length(), height.get_length() * width.get_length())
        if attends or node.input(1).get_partial_shape()[1].get_length() == COLOURS:
            found.append(node.get_friendly_name())
    return found
