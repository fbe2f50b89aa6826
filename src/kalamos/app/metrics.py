"""What the server counts, as Prometheus reads it at `/metrics`.

Names, addresses and contents of requests are counted nowhere: labels are routes, statuses and outcomes.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.exposition import choose_encoder

from kalamos._version import __version__
from kalamos.app.schema import error_code
from kalamos.predictions import Prediction

__all__ = ["OTHER_ROUTE", "Metrics", "outcome"]

OTHER_ROUTE: Final = "other"
"""Stands for all that is no route of the API: the page, and what was refused before it had a route."""

SECONDS_BUCKETS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""From one crop, a few milliseconds, to the time that a request has by default."""


class Metrics:
    """The figures of one server. Safe to share between threads.

    Args:
        waiting: tells how many images wait or are being read.
        queue: how many may.

    >>> metrics = Metrics(waiting=lambda: 3, queue=1024)
    >>> metrics.count_request("/v1/predict", 200, 0.004)
    >>> metrics.count_images("/v1/predict", ["read", "read", "no_ink"])
    >>> text = metrics.exposition("text/plain")[0].decode()
    >>> [line for line in text.splitlines() if line.startswith("kalamos_images_total")]
    ['kalamos_images_total{outcome="read",route="/v1/predict"} 2.0', \
'kalamos_images_total{outcome="no_ink",route="/v1/predict"} 1.0']
    """

    def __init__(self, waiting: Callable[[], float], queue: int) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "kalamos_requests", "Requests that were answered.", ("route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "kalamos_request_seconds",
            "Seconds from a request's head to the beginning of its answer.",
            ("route",),
            buckets=SECONDS_BUCKETS,
            registry=registry,
        )
        self._images = Counter(
            "kalamos_images",
            "Images, pages or forms that were answered: read, withheld, a form's status, or an error's code.",
            ("route", "outcome"),
            registry=registry,
        )
        Gauge(
            "kalamos_queue_images", "Images and files that wait or are being read.", registry=registry
        ).set_function(waiting)
        Gauge("kalamos_queue_limit", "How many may.", registry=registry).set(queue)
        Info("kalamos", "The version of kalamos.", registry=registry).info({"version": __version__})

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Count one answer."""
        self._requests.labels(route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def count_images(self, route: str, outcomes: Iterable[str]) -> None:
        """Count what became of the images, pages or forms of one request."""
        for told, number in Tally(outcomes).items():
            self._images.labels(route, told).inc(number)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return all figures in the text format that `accept` asks for, and its media type."""
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type


def outcome(prediction: Prediction) -> str:
    """Return the word that an answer is counted under.

    >>> outcome(Prediction("7", 0.99, ()))
    'read'
    """
    return error_code(prediction.error) or ("withheld" if prediction.label is None else "read")
