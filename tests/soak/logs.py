"""What must not be in a log: tracebacks and secrets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

_BEGIN = "Traceback (most recent call last):"
_CRASH = "Fatal Python error:"  # faulthandler's word


class Found(NamedTuple):
    """Last line of each traceback -> how often; and the names of the secrets that are in a log."""

    tracebacks: dict[str, int]
    secrets: list[str]


def look_through(files: Iterable[Path], secrets: Sequence[tuple[str, str]]) -> Found:
    """Read logs; ``secrets`` are pairs of a name and what must not appear."""
    tracebacks: Counter[str] = Counter()
    leaked: set[str] = set()
    for file in files:
        text = file.read_text(errors="replace")
        leaked |= {name for name, secret in secrets if secret in text}
        tracebacks.update(ends(text.splitlines()))
    return Found(dict(tracebacks.most_common()), sorted(leaked))


def ends(lines: Sequence[str]) -> list[str]:
    """The line with the exception of every traceback, and that with the signal of every process that crashed."""
    found = []
    inside = False
    for line in lines:
        if _BEGIN in line:
            inside = True
        elif line.startswith(_CRASH):
            found.append(line.strip())
        elif inside and line.strip() and not line.startswith((" ", "\t")):
            found.append(line.strip()[:200])
            inside = False
    return found
