"""`adclick predict` on a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from adclick_backend.cli import main
from adclick_backend.commands.image_names import names_below
from adclick_backend.store.files.s3 import S3
from tests.adclick_backend.commands.test_predict import draw
from tests.helpers.s3 import S3Server

pytestmark = pytest.mark.cluster


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with S3Server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server.bucket()


def test_images_of_a_bucket_get_masks_and_those_that_have_them_are_passed_over(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ADCLICK_BACKBONE", "lite")
    for seed in range(3):
        draw(tmp_path / f"good/{seed}.png", seed)
        draw(tmp_path / f"new/{seed}.png", 60 + seed, spot=True)
    files = S3(bucket).file_system()
    for path in (tmp_path / "new").iterdir():
        files.pipe_file(f"{bucket}/day/{path.name}", path.read_bytes())
    out = tmp_path / "masks"
    words = ["predict", f"{bucket}/day", "--references", str(tmp_path / "good"), "--out", str(out)]
    assert main(words) == 0
    assert {path.name for path in out.glob("*.png")} == {f"{seed}.defect.png" for seed in range(3)}
    assert f"{bucket}/day/0.png: defect" in capsys.readouterr().out
    assert main(words) == 0
    assert "3 images were judged by the same before" in capsys.readouterr().out
    assert main([words[0], "s3://no-such-bucket/day", *words[2:]]) == 1
    assert "There is no bucket for s3://no-such-bucket" in capsys.readouterr().err


def test_names_come_in_pages(bucket: str) -> None:
    files = S3(bucket).file_system()
    for number in range(1100):  # a page has a thousand
        files.pipe_file(f"{bucket}/many/{number:04d}.png", b"")
    assert len(set(names_below(f"{bucket}/many", []))) == 1100
