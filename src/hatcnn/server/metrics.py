"""Counters for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 24, 32, 64)


class Metrics:
    """What a server counts; one registry a server, so that several live in one process."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = Counter(
            "hatcnn_requests", "Requests answered.", ["method", "route", "status"],
            registry=registry,
        )  # fmt: skip
        self.latency = Histogram(
            "hatcnn_request_seconds", "From the first byte to the answer.", ["route"],
            buckets=_LATENCY, registry=registry,
        )  # fmt: skip
        self.refused = Counter(
            "hatcnn_refused", "Requests refused to protect the server.", ["reason"],
            registry=registry,
        )  # fmt: skip
        self.in_hand = Gauge("hatcnn_requests_in_hand", "Requests.", registry=registry)
        self.held_bytes = Gauge("hatcnn_upload_bytes_held", "In memory.", registry=registry)
        self.waiting = Gauge("hatcnn_pictures_waiting", "Not yet embedded.", registry=registry)
        self.pictures = Counter("hatcnn_pictures", "Pictures embedded.", registry=registry)
        self.unreadable = Counter("hatcnn_unreadable", "Pictures skipped.", registry=registry)
        self.batches = Histogram(
            "hatcnn_batch_pictures", "Of one forward pass.", buckets=_SIZES, registry=registry
        )
        self.forward = Histogram(
            "hatcnn_forward_seconds", "Of one forward pass.", buckets=_LATENCY, registry=registry
        )
        self.entries = Gauge("hatcnn_gallery_entries", "In the gallery.", registry=registry)

    def batch(self, size: int, seconds: float) -> None:
        """Count a forward pass."""
        self.pictures.inc(size)
        self.batches.observe(size)
        self.forward.observe(seconds)

    def text(self) -> bytes:
        """All of it in Prometheus' format."""
        return generate_latest(self.registry)
