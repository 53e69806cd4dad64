"""The folder of the runtime as a distribution of its own, which `.ci/package` builds and installs."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys

import adclick_backend
import adclick_runtime
from tests.helpers.documents import ROOT

FOLDER = ROOT / "adclick_runtime"
PROJECT = (FOLDER / "pyproject.toml").read_text("utf-8")


def test_every_room_is_packed() -> None:
    (block,) = re.findall(r"(?ms)^packages = \[$(.*?)^\]$", PROJECT)
    rooms = {"adclick_runtime"} | {
        f"adclick_runtime.{file.parent.relative_to(FOLDER).as_posix().replace('/', '.')}"
        for file in FOLDER.rglob("__init__.py")
        if file.parent != FOLDER and "build" not in file.parts
    }
    assert set(re.findall(r'"([\w.]+)"', block)) == rooms


def test_it_has_the_version_of_the_backend() -> None:
    assert 'dynamic = ["version"]' in PROJECT and 'attr = "adclick_runtime.__version__"' in PROJECT
    assert adclick_backend.__version__ == adclick_runtime.__version__
    assert "version = attr: adclick_runtime.__version__" in (ROOT / "setup.cfg").read_text("utf-8")


def test_its_command_exists() -> None:
    ((name, module, function),) = re.findall(r'(?m)^([\w-]+) = "([\w.]+):(\w+)"$', PROJECT)
    assert name == "adclick-detect"
    assert callable(getattr(importlib.import_module(module), function))


def test_it_starts_without_an_engine_or_any_package_of_the_backend() -> None:
    """The engine is imported when a bundle is opened; everything else is not there."""
    script = (
        "import sys, contextlib; from adclick_runtime.cli import main\n"
        "with contextlib.suppress(SystemExit): main(['serve', '--help'])\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert "Answer images over HTTP" in done.stdout
    foreign = {
        "PIL",
        "flask",
        "model",
        "onnxruntime",
        "openvino",
        "pydantic",
        "requests",
        "safetensors",
        "torch",
    }
    assert not foreign & set(done.stdout.splitlines()[-1].split())
