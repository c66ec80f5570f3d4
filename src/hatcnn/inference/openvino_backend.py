"""OpenVINO: the network compiled for the CPU at hand, several times as fast as torch there."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino

from hatcnn.errors import CheckpointError, ConfigError
from hatcnn.inference.backends import BATCH_SIZE, Floats, Pixels, Precision
from hatcnn.inference.forms import Form
from hatcnn.models.config import ModelConfig

if TYPE_CHECKING:
    from torch import nn


class OpenVINOBackend:
    """Runs a network by OpenVINO on the CPU.

    Args:
        model: pixels to vectors and, unless the config says none, attribute logits.
        config: of the network.
        precision: ``"auto"`` is bfloat16 where the CPU has instructions for it.
        threads: at most so many; 0 takes all cores.
        fingerprint: of the model folder it comes from.
    """

    def __init__(
        self,
        model: openvino.Model,
        config: ModelConfig,
        precision: Precision = "auto",
        *,
        threads: int = 0,
        fingerprint: str = "",
    ) -> None:
        self.config, self.fingerprint = config, fingerprint
        self._core, self._model = openvino.Core(), model
        if precision == "auto":
            capable = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
            precision = "bf16" if capable else "fp32"
        self._settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "PERFORMANCE_HINT": "LATENCY",
        }
        if threads:
            self._settings["INFERENCE_NUM_THREADS"] = str(threads)
        self._compiled: dict[int, Any] = {}

    @classmethod
    def from_network(
        cls,
        network: nn.Module,
        config: ModelConfig,
        precision: Precision = "auto",
        *,
        attributes: bool = True,
        threads: int = 0,
        fingerprint: str = "",
    ) -> OpenVINOBackend:
        """Convert a network from `build_model`, without its attributes where none are wanted."""
        if precision in ("fp16", "int8"):
            raise ConfigError(
                f"OpenVINO runs {precision} from an exported form: run 'hatcnn export' with "
                f"--to openvino --precision {precision}"
            )
        model = convert(network, config, attributes=attributes)
        config = config if attributes else replace(config, attributes="none")
        return cls(model, config, precision, threads=threads, fingerprint=fingerprint)

    @classmethod
    def from_form(
        cls, form: Form, precision: Precision = "auto", *, attributes: bool = True, threads: int = 0
    ) -> OpenVINOBackend:
        """Load a form that was exported for OpenVINO, or for ONNX.

        Raises:
            ConfigError: when the form's weights have another precision.
            CheckpointError: when OpenVINO cannot read it.
        """
        try:
            model = openvino.Core().read_model(form.graph)
        except RuntimeError as error:
            raise CheckpointError(f"OpenVINO cannot read {form.graph}: {error}") from None
        chosen_at_load = form.runtime == "onnx" and precision in ("fp32", "bf16")
        if precision not in ("auto", form.precision) and not chosen_at_load:
            raise ConfigError(
                f"{form.graph} was exported in {form.precision}, not {precision}: run "
                f"'hatcnn export' with --precision {precision}"
            )
        if form.precision == "int8":
            # What is not of integers may as well be bfloat16.
            precision = "auto"
        elif form.runtime == "openvino":
            precision = form.precision
        config = form.config if attributes else replace(form.config, attributes="none")
        if config.attributes == "none":
            for result in model.get_results()[1:]:
                model.remove_result(result)
        return cls(model, config, precision, threads=threads, fingerprint=form.fingerprint)

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


def convert(network: nn.Module, config: ModelConfig, *, attributes: bool = True) -> openvino.Model:
    """A network from `build_model` in OpenVINO's form: pixels to vectors and attribute logits.

    `openvino.convert_model` would do the same, and report its use to a statistics service.
    """
    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    from hatcnn.inference.graph import InferenceGraph

    graph = InferenceGraph(network, config, attributes=attributes).eval()
    example = torch.zeros(2, config.height, config.width, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        # Of the tracer's age, and of constants that are meant to be constants.
        warnings.simplefilter("ignore")
        traced = TorchScriptPythonDecoder(
            graph, example_input=example, trace_kwargs={"check_trace": False}
        )
    front_end = FrontEndManager().load_by_framework("pytorch")
    return front_end.convert(front_end.load(traced))
