"""The Markdown files of the repository, taken apart: text, code, commands, links, headings, tables."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = frozenset(
    {"adclick", "adclick-detect", "docker", "git", "label-studio", "make", "pip", "python", "torchrun"}
)
_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_ASSIGNMENTS = re.compile(r"^([A-Z_]+=\S+ )+")


class Fence(NamedTuple):
    """A block of code; ``language`` is "" for commands."""

    language: str
    text: str


class Document:
    """A Markdown file of the repository, named by its path from the root."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = (ROOT / name).parent
        text = (ROOT / name).read_text("utf-8")
        self.fences = [Fence(match[1], match[2]) for match in _FENCE.finditer(text)]
        self.prose = _FENCE.sub("", text)

    def spans(self) -> Iterator[str]:
        """Code inside the text; a line break in it is a blank."""
        for paragraph in re.split(r"\n\s*\n", self.prose):
            yield from (re.sub(r"\s+", " ", code) for code in re.findall(r"`([^`]+)`", paragraph))

    def commands(self) -> Iterator[str]:
        """The lines of blocks without a language, and the code inside the text that begins with a program."""
        for fence in self.fences:
            if not fence.language:
                yield from command_lines(fence.text)
        for span in self.spans():
            program, _, rest = _ASSIGNMENTS.sub("", span).partition(" ")
            if program.removeprefix(".venv/bin/") in PROGRAMS and rest:
                yield bare(span)

    def links(self) -> list[tuple[str, str]]:
        """Text and target of each link and picture."""
        return re.findall(r"\[([^\]]*)\]\(([^)\s]+)\)", self.prose)

    def anchors(self) -> set[str]:
        """What ``#...`` may lead to, made of the headings as GitHub makes it."""
        seen: Counter[str] = Counter()
        anchors = set()
        for heading in re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE):
            slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            anchors.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
        return anchors

    def rows(self, heading: str) -> list[list[str]]:
        """The cells of the table whose first column has that heading, row by row."""
        tables = re.findall(
            rf"^\| {re.escape(heading)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", self.prose, re.MULTILINE
        )
        assert len(tables) == 1, f"{self.name} has {len(tables)} tables whose first column is {heading!r}."
        return [[cell.strip() for cell in line.split("|")[1:-1]] for line in tables[0].splitlines()]


def command_lines(text: str) -> Iterator[str]:
    """The commands of a block: continued lines put together, comments left out."""
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if command := re.sub(r"\s+#.*$", "", line).strip():
            yield bare(command)


def bare(command: str) -> str:
    """A command as it reads with ``.venv/bin`` in PATH."""
    return command.replace(".venv/bin/", "")


def documents() -> list[Document]:
    """Every Markdown file of the repository."""
    found = [*ROOT.glob("*.md")]
    for folder in ("adclick_backend", "adclick_runtime", "examples", "model", "tests"):
        found += (ROOT / folder).rglob("*.md")
    return [Document(str(path.relative_to(ROOT))) for path in sorted(found)]
