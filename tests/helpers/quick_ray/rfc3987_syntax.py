"""In the place of a package that jsonschema imports where it is installed, and that takes seconds of every process."""

from __future__ import annotations

raise ImportError("not needed for Ray")
