"""Local files: what lies in the folder is read, and nothing that lies anywhere else."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import pytest

from adclick_backend.errors import ImageError
from adclick_backend.images.local_files import LocalFiles, is_local_files_path

SECRET = b"secret"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A served folder, with secrets beside it and above it."""
    root = tmp_path / "served"
    (root / "set 1").mkdir(parents=True)
    (root / "set 1" / "bild_ü.png").write_bytes(b"image")
    (root / "%2e%2e").mkdir()
    (tmp_path / "served-private").mkdir()
    for name in ("secret.png", "served-private/secret.png"):
        (tmp_path / name).write_bytes(SECRET)
    return root


def read(root: Path | None, name: str, max_bytes: int = 1000) -> bytes | None:
    return LocalFiles(root, max_bytes=max_bytes).read(f"/data/local-files/?d={name}")


@pytest.mark.parametrize(
    "name",
    [
        "set%201/bild_%C3%BC.png",
        "set+1/bild_%C3%BC.png",
        "set 1/bild_ü.png",
        "/set%201/bild_%C3%BC.png",
        "set%201/../set%201/./bild_%C3%BC.png",
        "ignored.png&d=set%201/bild_%C3%BC.png",
    ],
)
def test_file_in_the_folder_is_read(name: str, root: Path) -> None:
    assert read(root, name) == b"image"


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png",
        "set%201/../../secret.png",
        "%2e%2e/secret.png",
        "%2e%2e%2fsecret.png",
        "..%5csecret.png/../../secret.png",
        "../served-private/secret.png",  # shares its first letters with the folder
        "../served/../secret.png",
    ],
)
def test_traversal_is_refused(name: str, root: Path) -> None:
    """reliability row 3."""
    with pytest.raises(ImageError, match="leads out of"):
        read(root, name)


@pytest.mark.parametrize("name", ["%252e%252e/secret.png", "..%252fsecret.png"])
def test_double_encoding_is_decoded_once(name: str, root: Path) -> None:
    """reliability row 3: what is left is an odd name inside the folder, and there is no such file."""
    assert read(root, name) is None


def test_absolute_path_is_taken_below_the_folder(root: Path) -> None:
    """reliability row 3: as Label Studio takes it."""
    assert read(root, str(root.parent / "secret.png")) is None
    assert read(root, "/etc/passwd") is None
    assert read(root, quote("//etc/passwd", safe="")) is None


@pytest.mark.parametrize("name", ["", "set%201/bild.png%00.jpg", "%00"])
def test_name_without_a_file_in_it_is_refused(name: str, root: Path) -> None:
    """reliability row 3: NUL ends a path for the operating system, not for Python."""
    with pytest.raises(ImageError, match="names no file"):
        read(root, name)


def test_symbolic_link_out_of_the_folder_is_refused(root: Path) -> None:
    """reliability row 3: of a file, of a folder, and of a link to a link."""
    (root / "file.png").symlink_to(root.parent / "secret.png")
    (root / "folder").symlink_to(root.parent)
    (root / "twice.png").symlink_to("file.png")
    for name in ("file.png", "folder/secret.png", "twice.png"):
        with pytest.raises(ImageError, match="leads out of"):
            read(root, name)


def test_symbolic_link_inside_the_folder_is_followed(root: Path) -> None:
    (root / "same.png").symlink_to("set 1/bild_ü.png")
    assert read(root, "same.png") == b"image"


def test_folder_may_itself_be_a_symbolic_link(root: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(root)
    assert read(link, "set%201/bild_%C3%BC.png") == b"image"
    with pytest.raises(ImageError, match="leads out of"):
        read(link, "../secret.png")


def test_loop_of_symbolic_links_is_an_error(root: Path) -> None:
    """reliability row 3."""
    (root / "a.png").symlink_to("b.png")
    (root / "b.png").symlink_to("a.png")
    assert_no_file(root, "a.png")


def test_name_that_is_too_long_is_an_error(root: Path) -> None:
    """reliability row 3."""
    assert_no_file(root, "x" * 5000)


def assert_no_file(root: Path, name: str) -> None:
    """An ImageError or None, by the version of Python; anything else is a failure."""
    try:
        assert read(root, name) is None
    except ImageError as error:
        assert "cannot be read" in str(error)


@pytest.mark.parametrize("root", [None, Path("/")])
def test_no_folder_means_no_local_reads(root: Path | None) -> None:
    """reliability row 3: and the root of the file system is no folder of images."""
    assert read(root, "etc/hostname") is None


def test_folder_or_pipe_is_no_file(root: Path) -> None:
    """reliability row 3: a pipe would be waited for for ever."""
    os.mkfifo(root / "pipe.png")
    assert read(root, "pipe.png") is None
    assert read(root, "set%201") is None


def test_file_over_the_limit_is_refused(root: Path) -> None:
    assert read(root, "set%201/bild_%C3%BC.png", max_bytes=5) == b"image"
    with pytest.raises(ImageError, match="larger than"):
        read(root, "set%201/bild_%C3%BC.png", max_bytes=4)


def test_only_the_local_files_path_is_one() -> None:
    assert is_local_files_path("/data/local-files/?d=a.png")
    assert is_local_files_path("/data/local-files?d=a.png")
    assert not is_local_files_path("/data/upload/1/a.png?d=a.png")
    assert not is_local_files_path("/data/local-files/a.png")
