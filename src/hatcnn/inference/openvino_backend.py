"""OpenVINO: the network compiled for the CPU at hand, several times as fast as torch there."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import openvino
import torch
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

from hatcnn.inference.backends import BATCH_SIZE, Floats, InferenceGraph, Pixels, Precision
from hatcnn.models.build import ModelConfig
from hatcnn.models.hacnn import HACNN
from hatcnn.models.hatcnn import HATCNN


class OpenVINOBackend:
    """Runs a network by OpenVINO on the CPU.

    Args:
        network: from `build_model`.
        config: it was built from.
        precision: ``"auto"`` is bfloat16 where the CPU has instructions for it.
        threads: at most so many; 0 takes all cores.
        attributes: whether attributes are wanted.
    """

    def __init__(
        self,
        network: HACNN | HATCNN,
        config: ModelConfig,
        precision: Precision = "auto",
        *,
        threads: int = 0,
        attributes: bool = True,
    ) -> None:
        self.config = config if attributes else replace(config, attributes="none")
        self._core = core = openvino.Core()
        if precision == "auto":
            capable = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
            precision = "bf16" if capable else "fp32"
        self._model = _convert(
            InferenceGraph(network, config, attributes=attributes).eval(), config
        )
        self._settings = {
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
            "PERFORMANCE_HINT": "LATENCY",
        }
        if threads:
            self._settings["INFERENCE_NUM_THREADS"] = str(threads)
        self._compiled: dict[int, Any] = {}

    def __call__(self, images: Pixels) -> tuple[Floats, Floats | None]:
        """See `Backend`."""
        outputs = self._compile(len(images))(np.ascontiguousarray(images))
        vectors = np.array(outputs[0])
        return vectors, np.array(outputs[1]) if len(outputs) > 1 else None

    def _compile(self, count: int) -> Any:
        """The network for so many pictures.

        Compiled for one size it is up to a third faster, so the two that matter, a single picture
        and a full batch, have their own; all others share one.
        """
        size = count if count in (1, BATCH_SIZE) else -1
        if size not in self._compiled:
            model = self._model.clone()
            height, width = self.config.height, self.config.width
            model.reshape({0: openvino.PartialShape([size, height, width, 3])})
            self._compiled[size] = self._core.compile_model(model, "CPU", self._settings)
        return self._compiled[size]


def _convert(graph: InferenceGraph, config: ModelConfig) -> openvino.Model:
    """The graph in OpenVINO's form.

    `openvino.convert_model` would do the same, and report its use to a statistics service.
    """
    example = torch.zeros(2, config.height, config.width, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        # Of the tracer's age, and of constants that are meant to be constants.
        warnings.simplefilter("ignore")
        traced = TorchScriptPythonDecoder(
            graph, example_input=example, trace_kwargs={"check_trace": False}
        )
    front_end = FrontEndManager().load_by_framework("pytorch")
    return front_end.convert(front_end.load(traced))
