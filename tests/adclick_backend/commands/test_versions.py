"""``adclick versions`` and ``adclick train project``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from adclick_backend.cli import main
from adclick_backend.jobs import queue as jobs
from adclick_backend.store import Store
from adclick_backend.store.thresholds import Thresholds
from adclick_backend.store.versions import Registry
from tests.helpers.versions import publish


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Two versions, the second of which serves."""
    made = Registry(tmp_path / "data", "adclick-lite-2")
    publish(made, tmp_path)
    publish(made, tmp_path)
    return made


@pytest.fixture
def versions(registry: Registry, tmp_path: Path) -> Callable[..., int]:
    def run(action: str, *words: str, project: str = "3") -> int:
        return main(["versions", action, *words, "--project", project, "--data-dir", str(tmp_path / "data")])

    return run


def test_versions_are_listed_with_the_one_that_serves(
    versions: Callable[..., int], registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.list("3")[1].weights.write_bytes(b"cut")
    assert versions("list") == 0
    newer, older = capsys.readouterr().out.splitlines()
    assert newer.split()[:2] == ["v2", "serves"]
    assert older.split()[:2] == ["v1", "damaged"] and "sha256" in older
    assert versions("list", project="4") == 0
    assert "Nothing was trained yet" in capsys.readouterr().out


def test_thresholds_that_somebody_set_stand_beside_their_version(
    versions: Callable[..., int], registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    Thresholds(registry).choose("3", "v2", "trained", {"defect": 0.125})
    assert versions("list") == 0
    newer, older = capsys.readouterr().out.splitlines()
    assert newer.endswith(", thresholds: a defect 12 %") and "threshold" not in older


def test_versions_are_activated_rolled_back_and_deleted(
    versions: Callable[..., int], registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert versions("roll-back") == 0
    assert registry.serving_name("3").endswith("p3-v1")
    said = capsys.readouterr().out
    assert "Version v1 serves project 3 now" in said
    assert "Tasks keep the predictions that they have" in said
    assert versions("activate", "v2") == 0
    assert registry.serving_name("3").endswith("p3-v2")
    assert "Version v2 serves project 3 now" in capsys.readouterr().out
    assert versions("delete", "v2") == 1
    assert "Version v2 serves project 3" in capsys.readouterr().err
    assert versions("delete", "v1") == 0
    assert [version.name for version in registry.list("3")] == ["v2"]
    assert versions("roll-back") == 0
    assert "The packaged network serves project 3 now, under the name adclick-" in capsys.readouterr().out


def test_what_is_not_there_is_said_in_a_sentence(
    versions: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert versions("activate", "v9") == 1
    assert versions("roll-back", project="4") == 1
    assert versions("list", project="../x") == 2
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0][:22] for line in said] == [
        "Project 3 has no versi",
        "No trained version ser",
        "A project id is a numb",
    ]


def test_a_comparison_is_printed_with_its_pictures(
    versions: Callable[..., int], registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert versions("compare", "v2") == 1
    assert "was not compared" in capsys.readouterr().err
    folder = registry.list("3")[0].folder
    (folder / "pictures").mkdir()
    cv2.imwrite(str(folder / "pictures" / "01.png"), np.zeros((4, 4, 3), np.uint8))
    scores = {"iou": 0.712, "ap": None}
    comparison = {"reason": "It serves.", "candidate": scores, "serving": {"iou": 0.5}, "against": "v1"}
    (folder / "comparison.json").write_text(json.dumps(comparison))
    assert versions("compare", "v2") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "It serves."
    assert lines[1].split() == ["v2", "IoU", "71.2%"]
    assert lines[2].split() == ["v1", "IoU", "50.0%"]
    assert lines[3].endswith("01.png")


# --- adclick train project


def test_a_training_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "project", "--project", "3", "--data-dir", str(tmp_path)]
    assert main(words) == 0
    assert "A serving backend starts it at once" in capsys.readouterr().out
    store = Store(tmp_path)
    assert [(job.kind, job.state, job.trigger) for job in store.jobs.of_project("3")] == [
        ("train", "queued", "command line")
    ]
    store.close()
    assert main(["train", "project", "--project", "x", "--data-dir", str(tmp_path)]) == 2


@pytest.mark.parametrize(("state", "status"), [("done", 0), ("failed", 1)])
def test_waiting_runs_the_training_from_here(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    state: str,
    status: int,
) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom adclick_backend.store import Store\n"
        f"Store(Path({str(tmp_path)!r})).jobs.end(int(sys.argv[2]), {state!r}, 'As it had to be.')\n"
    )
    runner = jobs.JobRunner

    def other_program(**given: object) -> jobs.JobRunner:
        return runner(**{**given, "program": (sys.executable, "-c", program)})  # type: ignore[arg-type]

    monkeypatch.setattr(jobs, "JobRunner", other_program)
    words = ["train", "project", "--project", "3", "--wait", "--data-dir", str(tmp_path)]
    assert main(words) == status
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"{state}: As it had to be.")


def test_asking_for_a_training_loads_no_torch(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom adclick_backend.cli import main\n"
        f"main(['train', 'project', '--project', '3', '--data-dir', {str(tmp_path)!r}])\n"
        "assert not {'torch', 'flask'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
