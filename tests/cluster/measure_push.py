"""*Update all predictions* with one and with two workers of a Ray cluster: images a second, memory, a kill half way.

    python -m tests.cluster.measure_push --tasks 2000 --seconds 0.1
    python -m tests.cluster.measure_push --tasks 200 --real

An image takes so many seconds in which the engine sleeps, so that what is measured is what handing out costs and not
who else uses the machine; or the packaged networks look at it.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import tempfile
import time
from pathlib import Path

from tests.helpers.ray_cluster import RayCluster, ray_cluster
from tests.helpers.ray_push import SECONDS, Push, push_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=0.1)
    parser.add_argument("--real", action="store_true")
    args = parser.parse_args()
    with ray_cluster(2, **{SECONDS: str(args.seconds)}) as cluster:
        speeds = [_measured(cluster, args, workers, kill=False) for workers in (1, 2)]
        print(f"two workers are {speeds[1] / speeds[0]:.2f} times as fast as one", flush=True)
        _measured(cluster, args, 2, kill=True)


def _measured(cluster: RayCluster, args: argparse.Namespace, workers: int, *, kill: bool) -> float:
    """Push to all tasks and say how that went; images a second, from the first ready worker on."""
    with (
        tempfile.TemporaryDirectory(prefix="push-") as folder,
        push_of(Path(folder), args.tasks, cluster.address, workers, real=args.real) as push,
    ):
        job, asked = push.begin(), time.monotonic()
        while len(_processes(push)) < workers:
            time.sleep(0.05)
        began, before, killed, peaks = time.monotonic(), push.served(), 0, dict[int, float]()
        while push.now(job).active:
            time.sleep(0.2)
            peaks |= {pid: _peak_mb(pid) or peaks.get(pid, 0.0) for pid in _processes(push)}
            peaks[0] = max(peaks.get(0, 0.0), _peak_mb(push.now(job).pid or 0))
            if kill and not killed and push.served() >= args.tasks / 2:
                killed = _processes(push)[0]
                os.kill(killed, signal.SIGKILL)
        seconds = time.monotonic() - began
        counts = [len(versions) for versions in push.versions()]
        speed = (args.tasks - before) / seconds
        how = f"{workers} workers" + ", one killed half way" * kill
        print(
            f"{how}: {speed:.1f} images/s ({seconds:.0f} s after {began - asked:.0f} s to begin), load "
            f"{os.getloadavg()[0]:.0f}; of {args.tasks} tasks {sum(map(bool, counts))} have a prediction and "
            f"{sum(count > 1 for count in counts)} two; peak MB of the job {peaks.pop(0):.0f}, of workers "
            f"{', '.join(f'{peak:.0f}' for peak in peaks.values())}. {push.now(job).message}",
            flush=True,
        )
        return speed


def _processes(push: Push) -> list[int]:
    """The workers that began, by process."""
    return [
        int(pid)
        for pid in re.findall(r"is ready on \S+ \(process (\d+)\)", push.log(push.jobs.of_project("1")[0]))
    ]


def _peak_mb(pid: int) -> float:
    try:
        (line,) = [
            one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmHWM")
        ]
    except (OSError, ValueError):
        return 0.0
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
