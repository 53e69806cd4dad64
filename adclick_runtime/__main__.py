"""``python -m adclick_runtime``: the same as ``adclick-detect``."""

from __future__ import annotations

import sys

from adclick_runtime.cli import main

if __name__ == "__main__":
    sys.exit(main())
