"""References that the tests of a module share."""

from __future__ import annotations

import pytest

from tests.helpers.shelf import Shelf, draw


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    shelf = Shelf(tmp_path_factory.mktemp("data"))
    for seed in range(5):
        shelf.add(draw(seed))
    return shelf
