"""The script for machines with a GPU, which seldom runs: that it runs at all, on the processor and small."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_script_runs_to_its_table(tmp_path: Path) -> None:
    command = [str(ROOT / "tests/gpu/run.sh"), "--tiny", "--minutes", "0.001", "--out", str(tmp_path)]
    environment = {**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=550, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert rows[0] == "| what | on | memory | time | result |"
    wide, vit, *served = rows[1:5]
    assert "WideResNet-50" in wide
    assert "s a step" in wide
    assert "mIoU@1..5 of 1 images: " in vit
    assert len(served) == 2
    assert all("| cpu |" in row and "click" in row for row in served)
    trained, *used = rows[5:]
    assert "s a step of 2 crops" in trained and "loss" in trained
    assert len(used) == (2 if find_spec("diffusers") and find_spec("transformers") else 1)
    assert all("a type in " in row and "boxes painted" in row for row in used)
