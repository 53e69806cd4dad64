"""A server in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], folder: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A server process with its data in `folder`; without weights, so that it is a light one."""
    env = {
        **os.environ,
        "ADCLICK_DATA_DIR": str(folder / "data"),
        "ADCLICK_CHECKPOINT": str(folder / "missing.safetensors"),
        **environment,
    }
    process = subprocess.Popen(
        command, env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            assert process.stdout
            process.stdout.close()


def wait_until_up(port: int, process: subprocess.Popen[str], **options: object) -> requests.Response:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return requests.get(f"http://127.0.0.1:{port}/health", timeout=30, **options)  # type: ignore[arg-type]
        except requests.ConnectionError:
            time.sleep(0.1)
    raise AssertionError(
        process.stdout.read() if process.stdout and process.poll() is not None else "no answer"
    )
