"""What a model folder knows beside its weights: card, calibration, and reasons for a match."""

from __future__ import annotations

import importlib
import importlib.util
import io
import logging
from pathlib import Path
from typing import Any, Literal

from hatcnn import images
from hatcnn.evaluation.thresholds import Calibration
from hatcnn.models.folder import CALIBRATION, find_model
from hatcnn.server.refusals import Refusal

log = logging.getLogger("hatcnn.server")

ImageKind = Literal["png", "svg"]


class Reasons:
    """Card, calibration and explanations of a model.

    Args:
        model: name or folder; without one there is nothing to tell.
        fingerprint: of the network. A calibration of another one is not used.
    """

    def __init__(self, model: str | Path | None, fingerprint: str | None = None) -> None:
        self.name = None if model is None else Path(model).name
        self.folder = None if model is None else find_model(model)
        self.calibration = self._read_calibration(fingerprint)
        self._explainer: Any = None

    @property
    def card(self) -> str | None:
        """Text of the model card."""
        path = self.folder / "README.md" if self.folder else None
        return path.read_text(encoding="utf-8") if path and path.is_file() else None

    def check(self) -> None:
        """Raise `Refusal` (501) where explanations are not to be had."""
        needed = ("torch", "matplotlib", "hatcnn.inference.explanation")
        missing = [name for name in needed if importlib.util.find_spec(name) is None]
        if missing or self.folder is None:
            what = missing[0] if missing else "a model folder"
            hint = ': pip install "hatcnn[train]"' if missing else ""
            raise Refusal(501, f"this server cannot explain: it has no {what}{hint}")

    def draw(self, uploads: list[tuple[str, bytes]], kind: ImageKind, max_pixels: int) -> bytes:
        """A figure of what the network saw in one picture, or of what makes two alike.

        Raises:
            ImageError: when a picture cannot be read.
        """
        pixels = [images.decode(data, name, max_pixels=max_pixels) for name, data in uploads]
        explained = importlib.import_module("hatcnn.visualize.explained")
        if self._explainer is None:
            module = importlib.import_module("hatcnn.inference.explanation")
            self._explainer = module.Explainer.load(self.folder)
        if len(pixels) == 1:
            figure = explained.explanation_figure(self._explainer.explain(pixels[0]))
        else:
            figure = explained.comparison_figure(self._explainer.compare(*pixels))
        file = io.BytesIO()
        figure.savefig(file, format=kind, dpi=150)
        return file.getvalue()

    def _read_calibration(self, fingerprint: str | None) -> Calibration | None:
        path = self.folder / CALIBRATION if self.folder else None
        if path is None or not path.is_file():
            return None
        found = Calibration.load(path)
        if not found.fits(fingerprint):
            fields = {"calibration": found.fingerprint, "model": fingerprint}
            log.warning("calibration of another model", extra={"fields": fields})
            return None
        return found
