"""The products that a command is given, or why there are none."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from model.datasets.mvtec import NO_PRODUCT, Category, broken_links, find_categories, said_broken


def find_products(folders: Sequence[Path], left_out: Collection[str] = ()) -> list[Category]:
    """The products at or below some folders; none, having said why, if there are none or a link leads nowhere.

    What a link should lead to would be missing without anybody noticing.

    Args:
        folders: in MVTec layout.
        left_out: names of products.
    """
    broken = broken_links(folders)
    for link in broken:
        print(said_broken(link))
    if broken:
        return []
    found = [category for category in find_categories(folders) if category.name not in left_out]
    if not found:
        print(NO_PRODUCT)
    return found
