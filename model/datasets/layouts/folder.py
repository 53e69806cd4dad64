"""Files of a layout written into a folder, whole or not at all."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path

from model.datasets.layouts.picture import Entry
from model.datasets.layouts.zipped import zipped


def check_new(out: Path) -> None:
    """Make sure that there is nothing yet where something is to be written; raises FileExistsError with a sentence."""
    if out.exists() or out.is_symlink():
        raise FileExistsError(f"{out} is there already: name another one, or remove it.")


def write(entries: Iterable[Entry], out: Path) -> None:
    """Write files into a new folder, or into a zip file where the name ends with ``.zip``.

    They are written under a name of their own first, so that whatever goes wrong, nothing lies under the final one.

    Args:
        entries: the files; each is asked for when the one before is written.
        out: the folder, or the zip file; the folder it lies in is made when needed.

    Raises:
        FileExistsError: there is something of that name; the sentence says so.
        OSError: the disk is full, or cannot be written.
    """
    check_new(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    half = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
    try:
        if out.suffix.lower() == ".zip":
            with half.open("xb") as file:
                for piece in zipped(entries):
                    file.write(piece)
        else:
            half.mkdir()
            for entry in entries:
                _write_entry(entry, half)
        half.rename(out)
    finally:
        if half.is_dir():
            shutil.rmtree(half, ignore_errors=True)
        half.unlink(missing_ok=True)


def _write_entry(entry: Entry, folder: Path) -> None:
    path = folder / entry.path
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(entry.content, Path):
        path.symlink_to(entry.content.resolve())
        return
    with path.open("xb") as file:
        for piece in entry.pieces:
            file.write(piece)
