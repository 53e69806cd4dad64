"""Which images a command is through with, over several starts of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from adclick_backend.commands.done_images import DoneImages


def keep(done: DoneImages, image: Path, *suffixes: str) -> list[str]:
    stem = done.begin(str(image))
    files = [f"{stem}.{suffix}" for suffix in suffixes]
    for name in files:
        (image.parents[1] / "out" / name).write_bytes(b"mask")
    done.add(str(image), stem, files)
    return files


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    made = [tmp_path / name for name in ("one/a.png", "two/a.png", "two/b.png")]
    for image in made:
        image.parent.mkdir(exist_ok=True)
        image.write_bytes(b"pixels")
    return made


def test_what_was_saved_is_known_at_the_next_start_and_nothing_else(
    tmp_path: Path, images: list[Path]
) -> None:
    done = DoneImages(tmp_path / "out", "v1")
    keep(done, images[0], "scratch.png")
    done.save()
    keep(done, images[1], "scratch.png")
    done.close()  # killed before it was saved
    done = DoneImages(tmp_path / "out", "v1")
    assert [done.has(str(image)) for image in images] == [True, False, False]
    done.close()


def test_images_of_one_name_have_results_of_different_names(tmp_path: Path, images: list[Path]) -> None:
    done = DoneImages(tmp_path / "out", "v1")
    assert [keep(done, image, "x.png") for image in images] == [["a.x.png"], ["a-2.x.png"], ["b.x.png"]]
    assert keep(done, images[1], "y.png") == ["a-2.y.png"]
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"a.x.png", "a-2.y.png", "b.x.png"}
    done.close()


def test_another_judge_and_a_new_image_begin_anew(tmp_path: Path, images: list[Path]) -> None:
    done = DoneImages(tmp_path / "out", "v1")
    keep(done, images[0], "x.png")
    keep(done, images[2], "x.png")
    done.save()
    images[2].write_bytes(b"other pixels")
    assert [done.has(str(image)) for image in (images[0], images[2])] == [True, False]
    done.close()
    done = DoneImages(tmp_path / "out", "v2")
    assert not done.has(str(images[0]))
    done.close()
