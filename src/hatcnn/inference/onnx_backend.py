"""ONNX Runtime: what serves where nothing else is installed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime

from hatcnn.errors import CheckpointError, ConfigError
from hatcnn.inference.backends import Floats, Pixels, Precision
from hatcnn.inference.forms import Form
from hatcnn.models.config import ModelConfig


class ONNXBackend:
    """Runs an exported network by ONNX Runtime on the CPU.

    Args:
        session: of the graph.
        config: of the network; with attributes "none", the graph's are not returned. They are
            computed all the same: what an ONNX graph computes was decided when it was exported.
        fingerprint: of the model.
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, config: ModelConfig, fingerprint: str = ""
    ) -> None:
        self.session, self.config, self.fingerprint = session, config, fingerprint

    @classmethod
    def from_form(
        cls, form: Form, precision: Precision = "auto", *, attributes: bool = True, threads: int = 0
    ) -> ONNXBackend:
        """Load an ONNX form.

        Args:
            form: to load.
            precision: the form's, or "auto".
            attributes: whether attributes are wanted.
            threads: at most so many; 0 takes all cores.

        Raises:
            ConfigError: when the form has another precision.
            CheckpointError: when ONNX Runtime cannot read it.
        """
        if precision not in ("auto", form.precision):
            raise ConfigError(
                f"{form.graph} was exported in {form.precision}, not {precision}: run "
                f"'hatcnn export' with --precision {precision}, or use another --backend"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # It warns of constants that it folds.
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(
                str(form.graph), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its errors share no narrower base
            raise CheckpointError(f"ONNX Runtime cannot load {form.graph}: {error}") from None
        config = form.config if attributes else replace(form.config, attributes="none")
        return cls(session, config, form.fingerprint)

    def __call__(self, images: Pixels) -> tuple[Floats, Floats | None]:
        """See `Backend`."""
        outputs = self.session.run(None, {"images": np.ascontiguousarray(images)})
        if self.config.attributes == "none":
            return outputs[0], None
        return outputs[0], outputs[1]
