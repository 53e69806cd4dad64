"""What changes between two labeling configs, line by line, however each of them is laid out."""

from __future__ import annotations

import difflib
import xml.etree.ElementTree as ET

from adclick_backend.config.xml import ConfigError, read_tree


def difference(before: str, after: str) -> list[str]:
    """The lines of a unified diff: ``-`` goes, ``+`` comes, a blank stays."""
    lines = difflib.unified_diff(_laid_out(before), _laid_out(after), lineterm="", n=1)
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def _laid_out(xml: str) -> list[str]:
    try:
        root = read_tree(xml)
    except ConfigError:
        return xml.splitlines()
    ET.indent(root)
    return ET.tostring(root, encoding="unicode").splitlines()
