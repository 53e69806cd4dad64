"""The record of what Chromium shows is still what Chromium shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.shown import shown_by
from tests.helpers.image_files import FILES
from tests.helpers.image_files.outcome import distance, outcome, recorded, table

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.e2e

STEADY = 2  # grey levels that another version of Chromium may round differently


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's, about the file whose EXIF data is damaged
def test_chromium_shows_what_it_showed(page: Page) -> None:
    """reliability row 6: and what becomes of every file here agrees with it."""
    shown, before = shown_by(page, FILES), recorded()
    print(table(FILES, shown))
    for file in FILES:
        now, then = shown[file.kind], before[file.kind]
        assert (now is None) == (then is None), file.kind
        if now is not None and then is not None:
            known = [then, file.pixels] if file.varies and file.pixels is not None else [then]
            assert min(distance(now, one) for one in known) <= STEADY, file.kind
        assert outcome(file, now)[2] != "wrong", file.kind
