"""Started where something else is called ``model``: our own package is found, whichever way it is started."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from draw_samples import main as draw_samples

import adclick_backend
from adclick_backend.store import Store
from tests.helpers.references import wait_for
from tests.helpers.served import free_port, running, wait_until_up

BIN = Path(sys.executable).parent
WSGI = Path(adclick_backend.__file__).with_name("_wsgi.py")
HOSTILE = 'raise SystemExit("This is the model of somebody else.")\n'


def a_file(folder: Path) -> None:
    """What `label-studio-ml create` makes."""
    (folder / "model.py").write_text(HOSTILE)


def a_package(folder: Path) -> None:
    (folder / "model").mkdir()
    (folder / "model" / "__init__.py").write_text(HOSTILE)


def an_older_checkout(folder: Path) -> None:
    a_package(folder)
    (folder / "adclick_backend").mkdir()
    (folder / "adclick_backend" / "__init__.py").write_text(HOSTILE)


@pytest.mark.parametrize(
    ("words", "lie_there"),
    [
        ([BIN / "adclick", "serve", "--host", "127.0.0.1", "--port"], an_older_checkout),
        ([sys.executable, "-m", "adclick_backend", "serve", "--host", "127.0.0.1", "--port"], a_file),
        ([BIN / "gunicorn", "--threads", "2", "adclick_backend._wsgi:app", "-b"], a_package),
        ([sys.executable, WSGI, "--host", "127.0.0.1", "-p"], a_file),
    ],
    ids=["adclick", "-m", "gunicorn", "label-studio-ml"],
)
def test_it_serves_and_its_jobs_start(
    words: list[str | Path], lie_there: Callable[[Path], None], tmp_path: Path
) -> None:
    lie_there(tmp_path)
    port = free_port()
    command = [*map(str, words), f"127.0.0.1:{port}" if words[-1] == "-b" else str(port)]
    with running(command, tmp_path) as process:
        wait_until_up(port, process)
        event = {
            "action": "START_TRAINING",
            "project": {"id": 1, "title": "Screws", "label_config": "<View/>"},
        }
        assert requests.post(f"http://127.0.0.1:{port}/webhook", json=event, timeout=30).status_code == 201
        store = Store(tmp_path / "data")
        try:
            assert wait_for(lambda: store.jobs.of_project("1")[0].state == "failed")
            # The job found its modules: it knows what it lacks.
            assert "missing.json of the weights cannot be read" in store.jobs.of_project("1")[0].message
        finally:
            store.close()


def call(folder: Path, *words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*map(str, words)],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(
    "words",
    [
        [BIN / "adclick"],
        [sys.executable, "-m", "adclick_backend"],
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--no-python", BIN / "adclick"],
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "-m", "adclick_backend"],
    ],
    ids=["adclick", "-m", "torchrun-adclick", "torchrun"],
)
def test_commands_find_the_package(words: list[str | Path], tmp_path: Path) -> None:
    a_file(tmp_path)
    done = call(tmp_path, *words, "train", "click", "--help", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "--preset" in done.stdout


def test_the_bench_finds_the_package(tmp_path: Path) -> None:
    a_file(tmp_path)
    done = call(tmp_path, sys.executable, "-m", "adclick_backend.latency.bench", "--help")
    assert done.returncode == 0, done.stderr
    assert "--quick" in done.stdout


def test_the_processes_of_a_benchmark_find_the_package(tmp_path: Path) -> None:
    a_file(tmp_path)
    drawn = ["--products", "cloth", "--good", "1", "--per-defect", "1", "--size", "64"]
    assert draw_samples([str(tmp_path / "set"), *drawn]) == 0
    words = ["benchmark", "set", "--limit", "2", "--clicks", "1", "--jobs", "2", "--peers", "--only-peers"]
    done = call(tmp_path, sys.executable, "-m", "adclick_backend", *words, "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "| GrabCut |" in done.stdout


@pytest.mark.parametrize("lie_there", [a_file, a_package])
def test_one_sentence_names_a_model_that_was_there_first(
    lie_there: Callable[[Path], None], tmp_path: Path
) -> None:
    lie_there(tmp_path)
    (found,) = tmp_path.rglob("*.py")
    found.write_text("")
    done = call(tmp_path, sys.executable, "-c", "import model\nimport adclick_backend")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    ours = WSGI.resolve().parents[1]
    assert re.fullmatch(
        rf"ImportError: ADClick needs the name `model` for its own package in {re.escape(str(ours))}, but "
        rf"{re.escape(str(found))} has it in this process: rename that, or .*\.",
        last,
    ), last


def test_the_module_path_is_left_as_it_was(tmp_path: Path) -> None:
    a_file(tmp_path)
    program = "import sys\nbefore = [*sys.path]\nimport adclick_backend\nassert sys.path == before, sys.path"
    assert call(tmp_path, sys.executable, "-c", program).returncode == 0
