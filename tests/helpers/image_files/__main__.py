"""``python -m tests.helpers.image_files``: the table of all kinds; with ``record``, Chromium is asked anew before."""

from __future__ import annotations

import sys

from tests.helpers.image_files import FILES
from tests.helpers.image_files.outcome import record, recorded, table

if "record" in sys.argv[1:]:
    from tests.e2e.browser import chromium
    from tests.e2e.shown import shown_by

    with chromium() as page:
        record(shown_by(page, FILES))
print(table(FILES, recorded()))
