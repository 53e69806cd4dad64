"""Names of images in folders and in a bucket, and the images behind them."""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from adclick_backend.commands.image_names import Images, names_below
from adclick_backend.errors import FilesError
from adclick_backend.store.files.s3 import S3


class Bucket:
    """Two objects on a page."""

    def __init__(self, *keys: str) -> None:
        self.keys = sorted(keys)

    def isfile(self, path: str) -> bool:
        return path.partition("/")[2] in self.keys

    def call_s3(
        self, method: str, *, Bucket: str, Prefix: str, ContinuationToken: str = "0"
    ) -> dict[str, Any]:
        assert (method, Bucket) == ("list_objects_v2", "line")
        found, begin = [key for key in self.keys if key.startswith(Prefix)], int(ContinuationToken)
        page: dict[str, Any] = {"Contents": [{"Key": key} for key in found[begin : begin + 2]]}
        if begin + 2 < len(found):
            page |= {"IsTruncated": True, "NextContinuationToken": str(begin + 2)}
        return page

    def cat_file(self, name: str) -> bytes:
        if name.removeprefix("s3://line/") not in self.keys:
            raise FileNotFoundError(name)
        return name.encode()


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client of object stores is an extra: these tests never call it, and hold without it."""
    monkeypatch.setitem(sys.modules, "s3fs", ModuleType("s3fs"))


def below(path: object) -> tuple[set[str], set[str]]:
    left_out: list[str] = []
    names = list(names_below(str(path), left_out))
    assert len(set(names)) == len(names)
    return set(names), set(left_out)


def test_folders_are_searched_and_files_are_taken(tmp_path: Path) -> None:
    for name in ("a.PNG", "b/c.jpg", "b/d/e.tif", "b/f.gif", "notes.txt", "._a.png", ".hidden/x.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    taken = {str(tmp_path / name) for name in ("a.PNG", "b/c.jpg", "b/d/e.tif")}
    assert below(tmp_path) == (taken, {str(tmp_path / "b/f.gif")})
    assert below(tmp_path / "notes.txt") == ({str(tmp_path / "notes.txt")}, set())
    assert Images().read(str(tmp_path / "b/c.jpg")) == b"b/c.jpg"


@pytest.mark.usefixtures("client")
def test_a_bucket_is_read_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ("day/1.png", "day/2.png", "day/3.gif", "day/4.jpg", "day/.x/5.png", "days/6.png", "day/raw.bin")
    monkeypatch.setattr(S3, "file_system", staticmethod(lambda: Bucket(*keys)))
    taken = {f"s3://line/day/{name}" for name in ("1.png", "2.png", "4.jpg")}
    assert below("s3://line/day") == below("s3://line/day/") == (taken, {"s3://line/day/3.gif"})
    assert len(below("s3://line")[0]) == 4
    assert below("s3://line/day/raw.bin") == ({"s3://line/day/raw.bin"}, set())
    assert Images().read("s3://line/day/1.png") == b"s3://line/day/1.png"


@pytest.mark.usefixtures("client")
def test_what_is_wrong_with_a_bucket_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(S3, "file_system", staticmethod(lambda: Bucket("a.png")))
    monkeypatch.setattr(Bucket, "call_s3", refuse)
    with pytest.raises(FilesError, match="s3://line"):
        below("s3://line")


def test_a_bucket_without_its_client_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    said = r"^s3://line/day is in an object store.* pip install 'adclick-backend\[many-machines\]'\.$"
    with pytest.raises(FilesError, match=said):
        below("s3://line/day")
    with pytest.raises(FilesError, match="is not installed: pip install"):
        Images().read("s3://line/day/1.png")


def test_many_names_take_no_memory(tmp_path: Path) -> None:
    for number in range(20_000):
        (tmp_path / f"{number}.png").touch()
    tracemalloc.start()
    try:
        found = sum(1 for _ in names_below(str(tmp_path), []))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == 20_000
    assert peak < 500_000  # their names alone are 2 MB
