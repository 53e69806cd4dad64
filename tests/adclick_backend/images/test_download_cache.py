"""Downloads on disk: each once, each project for itself, the oldest go."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from adclick_backend.errors import ImageError
from adclick_backend.images.download_cache import DownloadCache


class Download:
    """Counts its calls, which take a moment."""

    def __init__(self, data: bytes = b"image", seconds: float = 0.0) -> None:
        self.data = data
        self.seconds = seconds
        self.calls = 0

    def __call__(self) -> bytes:
        self.calls += 1
        time.sleep(self.seconds)
        return self.data


def files(folder: Path) -> set[str]:
    return {path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_second_request_is_answered_from_disk(tmp_path: Path) -> None:
    download = Download()
    for _ in range(2):
        assert DownloadCache(tmp_path, 1000).get("1", "http://a/b.png", download) == b"image"
    assert download.calls == 1


def test_concurrent_requests_for_one_url_download_it_once(tmp_path: Path) -> None:
    """reliability row 5."""
    cache, download = DownloadCache(tmp_path, 1000), Download(seconds=0.1)
    threads = [threading.Thread(target=cache.get, args=("1", "http://a/b.png", download)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert download.calls == 1


def test_different_urls_download_side_by_side(tmp_path: Path) -> None:
    cache, together = DownloadCache(tmp_path, 1000), threading.Barrier(4, timeout=5)

    def download() -> bytes:
        together.wait()  # passes only if all four are inside at once
        return b"image"

    threads = [
        threading.Thread(target=cache.get, args=("1", f"http://a/{i}.png", download)) for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not together.broken


def test_failed_download_leaves_nothing_and_is_tried_again(tmp_path: Path) -> None:
    """reliability row 5: no half file, and those who waited get a try of their own."""
    cache = DownloadCache(tmp_path, 1000)

    def fail() -> bytes:
        raise ImageError("gone")

    with pytest.raises(ImageError, match="gone"):
        cache.get("1", "http://a/b.png", fail)
    assert files(tmp_path) == set()
    assert cache.get("1", "http://a/b.png", Download()) == b"image"


def test_copies_never_cross_projects(tmp_path: Path) -> None:
    """reliability row 24: project 2 may not see what project 1 was allowed to download."""
    cache = DownloadCache(tmp_path, 1000)
    assert cache.get("1", "http://a/b.png", Download(b"one")) == b"one"
    assert cache.get("2", "http://a/b.png", Download(b"two")) == b"two"
    assert cache.get("1", "http://a/b.png", Download(b"never")) == b"one"
    assert {path.parent.name for path in tmp_path.glob("*/*")} == {"1", "2"}


@pytest.mark.parametrize("project", ["../x", "1/../2", "", "1.5", "-1", "1\n", "x", "١"])
def test_project_id_is_digits(project: str, tmp_path: Path) -> None:
    """reliability row 24: the id becomes a path."""
    download = Download()
    with pytest.raises(ImageError, match="is not a number"):
        DownloadCache(tmp_path / "cache", 1000).get(project, "http://a/b.png", download)
    assert download.calls == 0
    assert list(tmp_path.iterdir()) == []


def test_old_copy_is_downloaded_again_where_content_may_change(tmp_path: Path) -> None:
    cache = DownloadCache(tmp_path, 1000)
    cache.get("1", "http://a/b.png", Download(b"old"), max_age_s=60)
    (path,) = tmp_path.glob("1/*")
    assert cache.get("1", "http://a/b.png", Download(b"new"), max_age_s=60) == b"old"
    os.utime(path, (time.time(), time.time() - 61))
    assert cache.get("1", "http://a/b.png", Download(b"new")) == b"old"
    assert cache.get("1", "http://a/b.png", Download(b"new"), max_age_s=60) == b"new"


def test_use_does_not_make_a_copy_younger(tmp_path: Path) -> None:
    cache = DownloadCache(tmp_path, 1000)
    cache.get("1", "http://a/b.png", Download())
    (path,) = tmp_path.glob("1/*")
    os.utime(path, (1000.0, 2000.0))
    cache.get("1", "http://a/b.png", Download())
    assert path.stat().st_mtime == 2000.0
    assert path.stat().st_atime > time.time() - 60


def test_least_recently_used_copies_go_first(tmp_path: Path) -> None:
    cache = DownloadCache(tmp_path, 400)
    for i in range(4):
        cache.get(str(i), "http://a/b.png", Download(b"%d" % i * 100))
        (path,) = tmp_path.glob(f"{i}/*")
        os.utime(path, (1000.0 + i, 1000.0))
    cache.get("0", "http://a/b.png", Download())  # used again, so 1 is the oldest now
    cache.get("4", "http://a/b.png", Download(b"4" * 100))
    assert {content[0] for content in files(tmp_path)} == {"0", "2", "3", "4"}


def test_file_larger_than_the_cache_is_served_and_not_kept(tmp_path: Path) -> None:
    assert DownloadCache(tmp_path, 10).get("1", "http://a/b.png", Download(b"x" * 11)) == b"x" * 11
    assert files(tmp_path) == set()


def test_disk_that_cannot_be_written_costs_the_copy_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """reliability row 5: a full disk."""

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    download = Download()
    cache = DownloadCache(tmp_path, 1000)
    assert cache.get("1", "http://a/b.png", download) == b"image"
    assert cache.get("1", "http://a/b.png", download) == b"image"
    assert download.calls == 2
    assert files(tmp_path) == set()
    assert "No space left on device" in caplog.text


def test_empty_file_after_a_power_cut_counts_as_none(tmp_path: Path) -> None:
    cache = DownloadCache(tmp_path, 1000)
    cache.get("1", "http://a/b.png", Download())
    (path,) = tmp_path.glob("1/*")
    path.write_bytes(b"")
    assert cache.get("1", "http://a/b.png", Download(b"again")) == b"again"
