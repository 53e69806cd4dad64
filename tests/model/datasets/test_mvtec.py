"""Products wherever they lie: data sets usually do on another disk, behind symbolic links."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from draw_samples import save_image

from model.commands.products import find_products
from model.datasets.mvtec import (
    Category,
    broken_links,
    find_categories,
    good_split,
    read_mask,
    read_rgb,
    said_broken,
)


def a_product(root: Path) -> Path:
    """Two good images and two defects."""
    pixels = np.full((8, 12, 3), 90, np.uint8)
    for name in ("train/good/0.png", "train/good/1.png", "test/stain/0.png", "test/stain/1.png"):
        save_image(root / name, pixels)
    for number in range(2):
        save_image(root / f"ground_truth/stain/{number}_mask.png", np.full((8, 12), 255, np.uint8))
    return root


def link(path: Path, target: Path | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def replaced_by_link(path: Path, elsewhere: Path) -> None:
    """Move what is there elsewhere, and leave a link."""
    elsewhere.parent.mkdir(parents=True, exist_ok=True)
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def found(folder: Path) -> list[tuple[str, int, int]]:
    """Name, good images and defects of each product; all of them can be read."""
    categories = find_categories([folder])
    for category in categories:
        for image in category.good():
            assert read_rgb(image).shape == (8, 12, 3)
        for image, mask in category.defects():
            assert read_rgb(image).shape[:2] == read_mask(mask).shape
    return [(c.name, len(c.good()), len(c.defects())) for c in categories]


def test_a_linked_data_set_has_the_name_of_the_link(tmp_path: Path) -> None:
    a_product(tmp_path / "disk/mvtec/bottle")
    link(tmp_path / "data/set", tmp_path / "disk/mvtec")
    assert found(tmp_path / "data") == [("set/bottle", 2, 2)]
    assert found(tmp_path / "data/set") == [("set/bottle", 2, 2)]  # the link itself


def test_a_linked_product_is_found(tmp_path: Path) -> None:
    a_product(tmp_path / "disk/one")
    a_product(tmp_path / "data/set/two")
    link(tmp_path / "data/set/flange", "../../disk/one")
    assert found(tmp_path / "data") == [("set/flange", 2, 2), ("set/two", 2, 2)]


@pytest.mark.parametrize(
    "part",
    ["train", "train/good", "test", "test/stain", "ground_truth", "ground_truth/stain",
     "train/good/1.png", "test/stain/0.png", "ground_truth/stain/1_mask.png"],
)  # fmt: skip
def test_any_part_of_a_product_may_be_a_link(tmp_path: Path, part: str) -> None:
    root = a_product(tmp_path / "data/set/flange")
    replaced_by_link(root / part, tmp_path / "disk" / part)
    assert found(tmp_path / "data") == [("set/flange", 2, 2)]


def test_a_product_behind_several_links_counts_once_and_under_its_own_name(tmp_path: Path) -> None:
    a_product(tmp_path / "data/set/flange")
    link(tmp_path / "data/a/flange", tmp_path / "data/set/flange")
    link(tmp_path / "data/b", tmp_path / "data/set")
    assert found(tmp_path / "data") == [("set/flange", 2, 2)]
    both = [tmp_path / "data/b", tmp_path / "data"]
    assert len(find_categories(both)) == 1


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    root = a_product(tmp_path / "data/set/flange")
    link(tmp_path / "data/set/up", "..")
    link(root / "train/again", tmp_path / "data")
    link(tmp_path / "data/x/y", tmp_path / "data/z")
    link(tmp_path / "data/z/x", tmp_path / "data/x")
    assert found(tmp_path / "data") == [("set/flange", 2, 2)]
    assert broken_links([tmp_path / "data"]) == []


def test_a_link_to_itself_is_a_broken_one(tmp_path: Path) -> None:
    a_product(tmp_path / "data/set/flange")
    link(tmp_path / "data/set/self", "self")
    assert found(tmp_path / "data") == [("set/flange", 2, 2)]
    assert broken_links([tmp_path / "data"]) == [tmp_path / "data/set/self"]


def test_broken_links_are_said_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = a_product(tmp_path / "data/set/flange")
    broken = [
        tmp_path / "data/set/gone",
        root / "ground_truth/stain/0_mask.png",
        root / "test/stain/1.png",
        root / "train/good/0.png",
    ]
    for path in broken:
        path.unlink(missing_ok=True)
        link(path, "/nowhere/at/all")
    category = Category(root)
    assert len(category.good()) == 1
    assert len(category.defects()) == 2, "what cannot be read is not passed over in silence"
    assert broken_links([tmp_path / "data"]) == sorted(broken)
    with pytest.raises(ValueError, match=r"1\.png is a link to /nowhere/at/all, which is not there\.$"):
        read_rgb(root / "test/stain/1.png")
    with pytest.raises(ValueError, match=r"0_mask\.png is a link to /nowhere/at/all"):
        read_mask(root / "ground_truth/stain/0_mask.png")
    assert find_products([tmp_path / "data"]) == [], "a training would learn without what is missing"
    assert capsys.readouterr().out.splitlines() == [said_broken(path) for path in sorted(broken)]


def test_products_that_are_left_out_do_not_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_product(tmp_path / "set/bolt")
    a_product(tmp_path / "set/flange")
    assert [c.name for c in find_products([tmp_path], ["set/bolt"])] == ["set/flange"]
    assert find_products([tmp_path], ["set/bolt", "set/flange"]) == []
    assert "No product in MVTec layout" in capsys.readouterr().out


def good_names(root: Path) -> tuple[list[str], list[str]]:
    """The names of the images to learn from, and of those to test with."""
    train, test = good_split(Category(root))
    return [p.name for p in train], [p.name for p in test]


def test_what_is_learned_from_is_never_tested_with(tmp_path: Path) -> None:
    pixels = np.full((8, 12, 3), 90, np.uint8)
    for number in range(5):
        save_image(tmp_path / f"test/good/{number}.png", pixels)
    assert good_names(tmp_path) == (["0.png", "1.png", "2.png"], ["3.png", "4.png"])
    save_image(tmp_path / "train/good/a.png", pixels)
    assert good_names(tmp_path) == (["a.png"], ["0.png", "1.png", "2.png", "3.png", "4.png"])
    link(tmp_path / "train/good/b.png", tmp_path / "nowhere.png")
    assert good_names(tmp_path)[0] == ["a.png"]


def test_a_product_without_good_images_has_none_to_split(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    assert good_names(tmp_path) == ([], [])
