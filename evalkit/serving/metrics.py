"""What Prometheus reads: counts, times and sizes, never a text or a name that a client chose."""

from __future__ import annotations

import sys
from collections.abc import Callable

_REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_BATCH_PAIRS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """The numbers of one service, in a registry of its own.

    Attributes:
        cut: Counter of pairs that were longer than the model reads.
        content_type: What an exposition is sent as.
    """

    def __init__(self) -> None:
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram
        from prometheus_client.process_collector import ProcessCollector

        self.registry = registry = CollectorRegistry()
        # Its own memory, processor time and open files, where the system tells.
        ProcessCollector(registry=registry)
        self.content_type = CONTENT_TYPE_LATEST
        self._requests = Counter(
            "evalkit_requests", "Requests by route and status.", ["route", "status"], registry=registry
        )
        self._request_s = Histogram(
            "evalkit_request_seconds", "From a request to its answer.", ["route"], buckets=_REQUEST_S, registry=registry
        )
        self._model_s = Histogram(
            "evalkit_model_seconds", "One pass of the model.", buckets=_REQUEST_S, registry=registry
        )
        self._pairs = Counter(
            "evalkit_pairs", "Pairs that the model scored, without those of the start.", registry=registry
        )
        self._batch = Histogram("evalkit_batch_pairs", "Pairs of a pass.", buckets=_BATCH_PAIRS, registry=registry)
        self.cut = Counter("evalkit_cut_pairs", "Pairs that are longer than the model reads.", registry=registry)
        self._queue_pairs = Gauge("evalkit_queue_pairs", "Pairs that wait for the model.", registry=registry)
        self._queue_requests = Gauge("evalkit_queue_requests", "Requests that wait for the model.", registry=registry)
        Gauge(
            "evalkit_device_memory_bytes", "GPU memory that torch has reserved; 0 without one.", registry=registry
        ).set_function(_device_memory)

    def watch(self, pairs: Callable[[], int], requests: Callable[[], int]) -> None:
        """Ask these for the queue's length whenever somebody looks."""
        self._queue_pairs.set_function(pairs)
        self._queue_requests.set_function(requests)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(route, str(status)).inc()
        self._request_s.labels(route).observe(seconds)

    def passed(self, pairs: int, seconds: float) -> None:
        """Count a pass of the model."""
        self._pairs.inc(pairs)
        self._batch.observe(pairs)
        self._model_s.observe(seconds)

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)


def _device_memory() -> float:
    """Of all GPUs of this process; torch is not loaded for it."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return 0.0
    return float(sum(torch.cuda.memory_reserved(device) for device in range(torch.cuda.device_count())))
