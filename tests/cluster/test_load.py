"""What measures how long annotators wait does so, and nobody gets an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.load import row, served, unopened

pytestmark = pytest.mark.cluster


def test_a_row_of_two_backends_and_two_annotators(tmp_path: Path) -> None:
    with served(tmp_path, 2, shared=True) as backends:
        cells = row(backends, unopened(), 2, 2, seconds=8.0, pace=4.0, name="shared").split(" | ")
    assert cells[:3] == ["| shared", "2", "2"]
    assert int(cells[5]) >= 8 and cells[6:] == ["0", "0 |"]
