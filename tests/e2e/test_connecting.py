"""``adclick connect`` against a real Label Studio."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import requests

from adclick_backend.cli import main
from tests.e2e import servers
from tests.e2e.project import Project

pytestmark = pytest.mark.e2e


def connect(label_studio: str, api_key: str, backend: str, *words: str) -> int:
    common = ["--label-studio", label_studio, "--api-key", api_key, "--backend", backend]
    return main(["connect", *common, *words])


def test_a_new_project_is_created_connected_and_checked(
    label_studio: str,
    api_key: str,
    backend: str,
    person: requests.Session,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from draw_samples import draw

    words = ("--create", "Caps", "--label", "scratch", "--label", "dent")
    assert connect(label_studio, api_key, backend, *words) == 0
    assert "no image yet" in capsys.readouterr().out
    (project,) = Project.titled(person, label_studio, "Caps")
    project.upload([draw("cap", "scratch", seed=1).image])
    for _ in range(2):
        assert connect(label_studio, api_key, backend, "--project", str(project.id)) == 0
        out = capsys.readouterr().out
        assert f"Label Studio reaches the backend at {backend}" in out
        assert "The backend reads the project's images" in out
    assert len(project.models()) == 1


def test_the_refusal_of_private_addresses_is_explained(
    label_studio: str,
    label_studio_folder: Path,
    api_key: str,
    backend: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A Label Studio as it is installed: same users and projects, none of the settings it needs."""
    folder = tmp_path / "as-installed"
    shutil.copytree(label_studio_folder, folder)
    with servers.label_studio(folder, settings={}) as strict:
        assert connect(strict, api_key, backend, "--create", "Refused") == 1
    out = capsys.readouterr().out
    assert "URL resolves to a reserved network address (block: 127.0.0.0/8)" in out
    assert "USE_DEFAULT_BANNED_SUBNETS=false" in out


def test_a_legacy_token_is_told_from_a_personal_one(
    label_studio: str, backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert connect(label_studio, "0123456789abcdef0123456789abcdef01234567", backend, "--project", "1") == 1
    assert "personal access token" in capsys.readouterr().out
