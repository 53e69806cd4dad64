"""What Prometheus reads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.helpers.backend import Backend, point, task
from tests.helpers.fake_engine import BROKEN


def lines(backend: Backend) -> dict[str, float]:
    answer = backend.client.get("/metrics")
    assert answer.content_type.startswith("text/plain")
    found = (line.rpartition(" ") for line in answer.text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in found}


def test_requests_are_counted_by_route_and_status(backend: Backend) -> None:
    backend.client.get("/health")
    backend.client.get("/health")
    backend.client.post("/predict", json={})
    backend.client.get("/some/where/else")
    found = lines(backend)
    assert found['adclick_requests_total{method="GET",route="/health",status="200"}'] == 2
    assert found['adclick_requests_total{method="POST",route="/predict",status="400"}'] == 1
    assert found['adclick_requests_total{method="",route="unknown",status="404"}'] == 1
    assert found['adclick_request_seconds_count{route="/health"}'] == 2


def test_every_phase_of_a_click_is_timed(backend: Backend) -> None:
    image = backend.draw("a.png", [(20, 20, 250)])
    backend.open_tasks([task(image)])
    assert backend.services.prewarmer.join(5)
    backend.click(task(image), [point(20, 20)])
    backend.click(task(image, 2), [point(50, 40, positive=False)])
    backend.engine.error = BROKEN
    backend.click(task(image), [point(20, 20)])
    found = lines(backend)
    counts = {
        phase: found[f'adclick_phase_seconds_count{{phase="{phase}"}}']
        for phase in ("fetch", "decode", "features", "match", "network", "encode")
    }
    assert counts == {"fetch": 3, "decode": 1, "features": 1, "match": 1, "network": 1, "encode": 1}
    assert found['adclick_images_total{state="warm"}'] == 1
    assert 'adclick_images_total{state="cold"}' not in found
    for outcome in ("mask", "empty", "problem"):
        assert found[f'adclick_clicks_total{{outcome="{outcome}"}}'] == 1
    assert found["adclick_clicks_in_flight"] == 0
    assert found["adclick_images_waiting"] == 0


def test_references_are_counted_by_state(backend: Backend) -> None:
    backend.services.references.add("1", b"no image", source="upload", name="bad")
    assert lines(backend)['adclick_references{product="",project="1",state="pending"}'] == 1
    backend.work()
    assert lines(backend)['adclick_references{product="",project="1",state="failed"}'] == 1


def test_counting_starts_anew_with_each_app(backend: Backend) -> None:
    assert not [name for name in lines(backend) if name.startswith("adclick_requests_total")]


WORKERS = """
import os, sys
from pathlib import Path
from types import SimpleNamespace
from adclick_backend.web.server import _forget_worker
from adclick_backend.settings import Settings
from adclick_backend.store import Store
from adclick_backend.telemetry import Telemetry

folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
store = Store(Path(sys.argv[1]))
child = os.fork()
telemetry = Telemetry(store, folder)
telemetry.requests.labels("/health", "GET", "200").inc(2)
telemetry.waiting.set(5)
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
print(telemetry.exposition().decode())
_forget_worker(Settings(prometheus_multiproc_dir=folder))(None, SimpleNamespace(pid=child))
print(telemetry.exposition().decode())
"""


def test_several_workers_are_added_up(tmp_path: Path) -> None:
    shared = tmp_path / "metrics"
    shared.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", WORKERS, str(tmp_path)],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(shared)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    counted = [line for line in done.stdout.splitlines() if line.startswith("adclick_requests_total")]
    assert [line.rpartition(" ")[2] for line in counted] == ["4.0", "4.0"]
    waiting = [line for line in done.stdout.splitlines() if line.startswith("adclick_images_waiting")]
    assert [line.rpartition(" ")[2] for line in waiting] == ["10.0", "5.0"]
