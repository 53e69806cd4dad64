"""*Update all predictions* by workers of a Ray cluster that are killed."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.ray_cluster import RayCluster, ray_cluster
from tests.helpers.ray_push import SECONDS, Push, push_of

pytestmark = pytest.mark.cluster
TASKS = 320


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster(2, **{SECONDS: "0.05"}) as started:
        yield started


def wait_for(condition: Callable[[], bool], push: Push, seconds: float = 180.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, (
            push.jobs.of_project("1"),
            push.log(push.jobs.of_project("1")[0]),
        )
        time.sleep(0.1)


def test_every_task_gets_one_prediction_though_a_worker_and_a_node_are_killed(
    cluster: RayCluster, tmp_path: Path
) -> None:
    with push_of(tmp_path, TASKS, cluster.address) as push:
        job = push.begin()
        wait_for(lambda: push.served() > TASKS // 4, push)
        workers = [int(pid) for pid in re.findall(r"worker is ready on \S+ \(process (\d+)\)", push.log(job))]
        assert len(workers) == 2, push.log(job)
        os.kill(workers[0], signal.SIGKILL)
        wait_for(lambda: push.served() > TASKS // 2, push)
        cluster.kill_node_of(workers[1])
        wait_for(lambda: not push.now(job).active, push)
        assert (
            push.now(job).message == f"{TASKS} predictions brought to Label Studio, {TASKS} tasks looked at."
        )
        assert push.versions() == [["fake-1+p1-v1"]] * TASKS
        assert push.log(job).count("A worker was lost") == 2


def test_a_cancelled_push_goes_on_where_it_stopped(cluster: RayCluster, tmp_path: Path) -> None:
    cluster.add_node()
    with push_of(tmp_path, TASKS, cluster.address, workers=1) as push:
        job = push.begin()
        wait_for(lambda: push.served() > 0, push)
        assert push.jobs.cancel("1", job.id)
        wait_for(lambda: not push.now(job).active, push)
        assert push.now(job).state == "cancelled"
        kept = push.served()
        assert kept < TASKS
        job = push.begin()
        wait_for(lambda: not push.now(job).active, push)
        assert push.now(job).message.startswith(f"{TASKS - kept} predictions")
        assert push.versions() == [["fake-1+p1-v1"]] * TASKS
