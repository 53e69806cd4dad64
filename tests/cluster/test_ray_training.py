"""The base preset trained by two processes on two nodes of a Ray cluster, as with ``torchrun``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.helpers.ray_cluster import QUICK, ROOT, RayCluster, ray_cluster
from tests.model.commands.test_train_click_base import HELPER, published_backbone, told, write_product

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster(2) as started:
        yield started


def on_ray(cluster: RayCluster, *words: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ADCLICK_RAY_ADDRESS": cluster.address}
    environment["PYTHONPATH"] = f"{QUICK}:{ROOT}"
    command = [sys.executable, "-m", "adclick_backend", "on-ray", *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, cwd="/")


def test_two_processes_on_two_nodes_train_one_network(cluster: RayCluster, tmp_path: Path) -> None:
    write_product(tmp_path / "data" / "photographs" / "plate")
    published_backbone(tmp_path / "backbone.pth")
    words = ["train", "click", tmp_path / "data", "--preset", "base", "--backbone", tmp_path / "backbone.pth"]
    words += ["--run", tmp_path / "run", "--drawn", "0", "--learning-rate", "0.01", "--steps", "2"]
    done = on_ray(cluster, "--processes", 2, "--program", HELPER, "--", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Runs on" in done.stdout
    (first, about), (second, other) = told(tmp_path, 0), told(tmp_path, 1)
    assert about["processes"] == other["processes"] == 2
    assert about["losses"] != other["losses"]
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_what_one_of_them_says_as_it_fails_is_shown(cluster: RayCluster) -> None:
    done = on_ray(cluster, "--processes", 2, "--", "train", "click", "/nowhere", "--preset", "base")
    assert done.returncode != 0
    assert "/nowhere" in done.stdout + done.stderr or "no product" in (done.stdout + done.stderr).lower()


def test_more_processes_than_there_is_room_for_are_refused(cluster: RayCluster) -> None:
    done = on_ray(cluster, "--processes", 3, "--", "train", "click", "DATA")
    assert done.returncode == 1
    assert "3 processes were asked for, and the Ray cluster has room for 2 of them" in done.stderr
