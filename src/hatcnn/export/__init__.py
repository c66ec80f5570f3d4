"""Networks for other runtimes: ONNX and OpenVINO, checked against torch before they are kept."""

from hatcnn.export.exporting import Exported, export_model

__all__ = ["Exported", "export_model"]
