from __future__ import annotations

from pathlib import Path

import pytest

from adclick_backend.cli import main
from adclick_backend.store import Store


def references(data_dir: Path, *words: str) -> int:
    return main(["references", words[0], "--data-dir", str(data_dir), "--project", "3", *words[1:]])


def names(data_dir: Path) -> list[tuple[str, str, str]]:
    store = Store(data_dir)
    try:
        return [
            (row.name, row.source, row.product)
            for row in store.references.of_project("3")
            if row.state != "removed"
        ]
    finally:
        store.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "good"
    (folder / "monday").mkdir(parents=True)
    for name in ("a.png", "monday/b.JPG", "monday/c.tif"):
        (folder / name).write_bytes(name.encode())
    (folder / "notes.txt").write_text("not an image")
    return folder


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_a_folder_is_added_with_what_lies_below_it(data_dir: Path, folder: Path) -> None:
    assert references(data_dir, "add", str(folder), "--product", "flange") == 0
    expected = [(name, "folder", "flange") for name in ("a.png", "b.JPG", "c.tif")]
    assert sorted(names(data_dir)) == expected


def test_hidden_files_are_passed_over(data_dir: Path, folder: Path) -> None:
    """macOS writes ._x.png beside x.png on disks that are not its own; it holds no picture."""
    (folder / "._a.png").write_bytes(b"\0\5\x16\7")
    (folder / ".thumbnails").mkdir()
    (folder / ".thumbnails" / "a.png").write_bytes(b"small")
    assert references(data_dir, "add", str(folder)) == 0
    assert sorted(name for name, _, _ in names(data_dir)) == ["a.png", "b.JPG", "c.tif"]


def test_images_that_a_folder_is_not_searched_for_are_named(
    data_dir: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And taken when they are named; a text file is no surprise."""
    for name in ("d.gif", "monday/e.JFIF", "._f.gif"):
        (folder / name).write_bytes(name.encode())
    assert references(data_dir, "add", str(folder)) == 0
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(" was passed over: ")[0] for line in said if "passed over" in line] == [
        str(folder / "d.gif"),
        str(folder / "monday" / "e.JFIF"),
    ]
    assert len(names(data_dir)) == 3
    assert references(data_dir, "add", str(folder / "d.gif")) == 0
    assert len(names(data_dir)) == 4


def test_named_files_are_added_whatever_their_suffix(data_dir: Path, folder: Path) -> None:
    (folder / "image").write_bytes(b"no suffix")
    assert references(data_dir, "add", str(folder / "image")) == 0
    assert names(data_dir) == [("image", "command line", "")]


def test_adding_twice_adds_once(data_dir: Path, folder: Path) -> None:
    for _ in range(2):
        assert references(data_dir, "add", str(folder)) == 0
    assert len(names(data_dir)) == 3


def test_a_missing_file_is_named_and_the_others_are_added(
    data_dir: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert references(data_dir, "add", str(folder), str(folder / "gone.png")) == 1
    assert "gone.png: No such file" in capsys.readouterr().err
    assert len(names(data_dir)) == 3


def test_a_folder_without_images_is_an_error(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert references(data_dir, "add", str(tmp_path / "empty")) == 1
    assert "There is no image in" in capsys.readouterr().err


def test_list_shows_the_numbers_that_remove_takes(
    data_dir: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    references(data_dir, "add", str(folder))
    capsys.readouterr()
    assert references(data_dir, "list") == 0
    _, first, *_ = capsys.readouterr().out.splitlines()
    assert "pending" in first and first.endswith("a.png")
    assert references(data_dir, "remove", first.split()[0]) == 0
    assert "a.png" not in {name for name, *_ in names(data_dir)}
    assert references(data_dir, "remove", "--all") == 0
    assert names(data_dir) == []


def test_removing_what_is_not_there_is_said(
    data_dir: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    references(data_dir, "add", str(folder))
    assert references(data_dir, "remove", "4711") == 1
    assert "has no reference 4711" in capsys.readouterr().err
    assert len(names(data_dir)) == 3


def test_a_product_is_listed_and_removed_alone(data_dir: Path, folder: Path) -> None:
    references(data_dir, "add", str(folder), "--product", "cap")
    references(data_dir, "add", str(folder / "a.png"), "--product", "flange")
    assert references(data_dir, "remove", "--all", "--product", "cap") == 0
    assert names(data_dir) == [("a.png", "command line", "flange")]


def test_check_names_the_odd_one(data_dir: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    references(data_dir, "add", str(folder))
    store = Store(data_dir)
    shas = {row.name: row.sha for row in store.references.of_project("3")}
    scores = {shas["a.png"]: (0.1, 0.2), shas["b.JPG"]: (0.9, 8.0)}
    store.references.save_scores("3", "", scores)
    store.close()
    capsys.readouterr()
    assert references(data_dir, "check") == 1
    out = capsys.readouterr().out
    assert "b.JPG does not look like the others (8.0 deviations)." in out
    assert "2 checked, 1 odd, 1 not checked yet." in out


@pytest.mark.parametrize("project", ["../x", "1/2", ""])
def test_project_ids_are_numbers(
    project: str, data_dir: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Project ids become paths."""
    words = ["references", "add", "--data-dir", str(data_dir), f"--project={project}", str(folder)]
    assert main(words) == 2
    assert repr(project) in capsys.readouterr().err
    assert not (data_dir / "projects").exists()
