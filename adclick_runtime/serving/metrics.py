"""What ``/metrics`` reports, in Prometheus' text format 0.0.4; the names are those of the backend where both count."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.5, 5.0, 10.0, 30.0, 100.0)


class Metrics:
    """Counters and timings of a server. Safe to share between threads.

    Args:
        waiting: tells how many images are being looked at or wait.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        self._waiting = waiting
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._images: Counter[str] = Counter()
        self._phases = {"decode": _Histogram(), "detect": _Histogram()}

    def request(self, route: str, method: str, status: int) -> None:
        """Count an answer; route and method are "" where the server has none of that name."""
        with self._lock:
            self._requests[route, method, status] += 1

    def image(self, outcome: str) -> None:
        """Count an image by what came of it: ``defect``, ``nothing`` or ``refused``."""
        with self._lock:
            self._images[outcome] += 1

    def took(self, phase: str, seconds: float) -> None:
        """Add the time of a phase, ``decode`` or ``detect``."""
        with self._lock:
            self._phases[phase].add(seconds)

    def exposition(self) -> str:
        """All of it as text."""
        with self._lock:
            lines = [
                "# HELP adclick_requests_total Requests answered.",
                "# TYPE adclick_requests_total counter",
                *(
                    f'adclick_requests_total{{route="{route}",method="{method}",status="{status}"}} {count}'
                    for (route, method, status), count in sorted(self._requests.items())
                ),
                "# HELP adclick_detections_total Images looked at, by what came of them: defect, nothing or refused.",
                "# TYPE adclick_detections_total counter",
                *(
                    f'adclick_detections_total{{outcome="{outcome}"}} {count}'
                    for outcome, count in sorted(self._images.items())
                ),
                "# HELP adclick_phase_seconds Time spent in one phase of looking at an image.",
                "# TYPE adclick_phase_seconds histogram",
                *(line for phase, times in self._phases.items() for line in times.lines(phase)),
                "# HELP adclick_detections_waiting Images that are being looked at or wait.",
                "# TYPE adclick_detections_waiting gauge",
                f"adclick_detections_waiting {self._waiting()}",
            ]
        return "\n".join(lines) + "\n"


class _Histogram:
    def __init__(self) -> None:
        self._counts = [0] * (len(_SECONDS) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        self._counts[sum(seconds > limit for limit in _SECONDS)] += 1
        self._sum += seconds

    def lines(self, phase: str) -> list[str]:
        name, label = "adclick_phase_seconds", f'phase="{phase}"'
        found, total = [], 0
        for limit, count in zip((*_SECONDS, float("inf")), self._counts, strict=True):
            total += count
            shown = "+Inf" if limit == float("inf") else repr(limit)
            found.append(f'{name}_bucket{{{label},le="{shown}"}} {total}')
        return [*found, f"{name}_sum{{{label}}} {self._sum!r}", f"{name}_count{{{label}}} {total}"]
