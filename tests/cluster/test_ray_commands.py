"""`adclick predict` and `adclick evaluate` over folders, by workers of a Ray cluster."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from adclick_backend.cluster.shards import SHARD
from tests.helpers.ray_cluster import QUICK, ROOT, RayCluster, ray_cluster

pytestmark = pytest.mark.cluster
IMAGES = 5 * SHARD


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster(2) as started:
        yield started


def adclick(address: str, *words: object) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "ADCLICK_RAY_ADDRESS": address,
        "ADCLICK_BACKBONE": "lite",
    }
    environment["PYTHONPATH"] = f"{QUICK}:{ROOT}"
    command = [sys.executable, "-m", "adclick_backend", *map(str, words)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )


def plates(folder: Path, count: int, *, spots: bool) -> None:
    """Grey plates with noise of their own, and maybe a dark spot at (40, 60)."""
    folder.mkdir()
    for number in range(count):
        image = np.full((96, 96, 3), 140, np.uint8)
        if spots:
            cv2.circle(image, (40, 60), 7, (60, 40, 30), -1)
        noise = np.random.default_rng([number, *str(folder).encode()]).normal(0, 3, image.shape)
        cv2.imwrite(str(folder / f"{number}.png"), np.clip(image + noise, 0, 255).astype(np.uint8))


def test_predict_goes_on_where_it_was_and_a_worker_that_is_killed_costs_no_image(
    cluster: RayCluster, tmp_path: Path
) -> None:
    plates(tmp_path / "good", 3, spots=False)
    plates(tmp_path / "new", IMAGES, spots=True)
    out = tmp_path / "masks"
    words = ["predict", tmp_path / "new", "--references", tmp_path / "good", "--out", out]
    # A program that was started where Ctrl-C is ignored, in the background of a script, ignores it too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with adclick(cluster.address, *words) as stopped:
        _wait_for_masks(out, SHARD + 1, stopped)
        stopped.send_signal(signal.SIGINT)
        stopped.communicate(timeout=120)
    before = len(_stems(out))
    assert before < IMAGES
    with adclick(cluster.address, *words) as again:
        _wait_for_masks(out, before + 1, again)
        os.kill(_worker(cluster), signal.SIGKILL)
        said, complained = again.communicate(timeout=400)
    assert again.returncode == 0, said + complained
    kept = re.findall(r"(\d+) images were judged by the same before", said)
    assert len(kept) == 1 and SHARD <= int(kept[0]) <= before
    assert len(re.findall(r"^/.*png: ", said, re.MULTILINE)) == IMAGES - int(kept[0])
    assert _stems(out) == {str(number) for number in range(IMAGES)}


def test_a_report_on_two_products_is_that_of_one_process(cluster: RayCluster, tmp_path: Path) -> None:
    for product in ("plates", "nuts"):
        root = tmp_path / "data" / product
        for kind, count in (("train/good", 3), ("test/good", 2), ("test/spot", 2)):
            (root / kind).parent.mkdir(parents=True, exist_ok=True)
            plates(root / kind, count, spots=kind == "test/spot")
        (root / "ground_truth/spot").mkdir(parents=True)
        for number in range(2):
            mask = np.zeros((96, 96), np.uint8)
            cv2.circle(mask, (40, 60), 7, 255, -1)
            cv2.imwrite(str(root / f"ground_truth/spot/{number}_mask.png"), mask)
    reports = []
    for address in (cluster.address, ""):
        out = tmp_path / f"report-{len(reports)}.html"
        with adclick(address, "evaluate", tmp_path / "data", "--out", out) as command:
            said, complained = command.communicate(timeout=400)
        assert command.returncode == 0, said + complained
        reports.append(re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "now", out.read_text()))
    assert reports[0] == reports[1]


def test_an_address_where_nothing_listens_is_a_sentence(tmp_path: Path) -> None:
    plates(tmp_path / "good", 3, spots=False)
    words = ["predict", tmp_path / "good", "--references", tmp_path / "good", "--out", tmp_path / "masks"]
    with adclick("127.0.0.1:9", *words) as command:
        complained = command.communicate(timeout=120)[1]
    assert command.returncode == 1
    last = complained.splitlines()[-1]
    assert last.startswith("The Ray cluster at 127.0.0.1:9 (ADCLICK_RAY_ADDRESS) does not answer")


def _stems(out: Path) -> set[str]:
    return {path.name.partition(".")[0] for path in out.glob("*.png")}


def _wait_for_masks(out: Path, count: int, command: subprocess.Popen[str]) -> None:
    while len(_stems(out)) < count:
        assert command.poll() is None, command.communicate()
        time.sleep(0.1)


def _worker(cluster: RayCluster) -> int:
    """A worker of the pool, by process."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        if b"ray::PoolWorker" in entry.read_bytes() and cluster.runs(int(entry.parent.name)):
            return int(entry.parent.name)
    raise AssertionError("There is no worker.")
