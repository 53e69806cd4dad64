"""``python -m adclick_backend``: the same as ``adclick``."""

from __future__ import annotations

import sys

from adclick_backend.cli import main

sys.exit(main())
