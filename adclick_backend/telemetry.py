"""What `/metrics` reports, for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from adclick_backend.store import Store

_SECONDS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.5, 5.0, 10.0, 30.0, 100.0)


class Telemetry:
    """Counters and timings of one process; with several, Prometheus' own shared folder adds them up.

    Args:
        store: where references and projects are counted when somebody asks.
        multiprocess_dir: the folder shared by all workers (``PROMETHEUS_MULTIPROC_DIR``); None
            with one worker.
    """

    CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self, store: Store, multiprocess_dir: Path | None = None) -> None:
        self._store = store
        self._multiprocess_dir = multiprocess_dir
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "adclick_requests", "Requests answered.", ("route", "method", "status"), registry=self._registry
        )
        self.request_seconds = Histogram(
            "adclick_request_seconds",
            "Time to answer a request.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.phase_seconds = Histogram(
            "adclick_phase_seconds",
            "Time spent in one phase of preparing an image or answering a click.",
            ("phase",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.clicks = Counter(
            "adclick_clicks",
            "Interactive requests, by what came of them: mask, empty or problem.",
            ("outcome",),
            registry=self._registry,
        )
        self.images = Counter(
            "adclick_images",
            "Images asked for by a click: warm when they were prepared before, cold when not.",
            ("state",),
            registry=self._registry,
        )
        self.waiting = Gauge(
            "adclick_images_waiting",
            "Opened tasks whose image waits to be prepared.",
            multiprocess_mode="livesum",
            registry=self._registry,
        )
        self.in_flight = Gauge(
            "adclick_clicks_in_flight",
            "Clicks being answered right now.",
            multiprocess_mode="livesum",
            registry=self._registry,
        )

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time the block as one phase."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.phase_seconds.labels(name).observe(time.perf_counter() - started)

    def phases(self, milliseconds: dict[str, float]) -> None:
        """Add the timings that the engine took."""
        for name, value in milliseconds.items():
            self.phase_seconds.labels(name).observe(value / 1000)

    def exposition(self) -> bytes:
        """The metrics of all workers as text."""
        registry = self._registry
        if self._multiprocess_dir is not None:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, str(self._multiprocess_dir))  # type: ignore[no-untyped-call]
        stored = CollectorRegistry()
        stored.register(_StoredCounts(self._store))
        return generate_latest(registry) + generate_latest(stored)


class _StoredCounts(Collector):
    """Numbers that live in the database and are the same whichever worker is asked."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The references by project, product and state."""
        references = GaugeMetricFamily(
            "adclick_references", "Reference images.", labels=("project", "product", "state")
        )
        for project, product, state, number in self._store.references.counts():
            references.add_metric((project, product, state), number)
        yield references
