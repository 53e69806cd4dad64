"""Image files of every kind: the pixels that Chromium shows, or words.

`python -m tests.helpers.image_files` prints what becomes of each.
"""

from __future__ import annotations

import pytest

from tests.helpers.image_files import FILES, ImageFile
from tests.helpers.image_files.outcome import outcome, recorded

SHOWN = recorded()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's, about the file whose EXIF data is damaged
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.kind)
def test_every_kind_is_shown_as_chromium_does_or_refused(file: ImageFile) -> None:
    """reliability row 6."""
    _, words, case = outcome(file, SHOWN[file.kind])
    assert case != "wrong", words
    if not file.refused and not file.differs:
        assert case == ("equal" if SHOWN[file.kind] is not None else "decoded, not shown by Chromium")


def test_every_kind_was_shown_to_chromium() -> None:
    assert sorted(SHOWN) == sorted(file.kind for file in FILES)
    assert len(SHOWN) == len(FILES)
    assert sum(pixels is not None for pixels in SHOWN.values()) >= 60


def test_what_differs_from_chromium_is_counted() -> None:
    """Whoever adds to it should know a reason."""
    assert sum(bool(file.differs) for file in FILES) == 11
