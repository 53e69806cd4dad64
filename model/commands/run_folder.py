"""The folder of a training holds what one backbone saw, and goes on with no other."""

from __future__ import annotations

from pathlib import Path

from model.checkpoint.manifest import BACKBONES

SAMPLES = "samples"
MARK = "backbone.txt"


def seen_with(run: Path) -> str:
    """What the backbone is called that the samples in the folder of a training were seen with."""
    mark = run / MARK
    # Before there was a mark there was but one backbone.
    return mark.read_text("utf-8").strip() if mark.exists() else "lite"


def taken(run: Path, behind: str) -> str:
    """Take a folder for a training; a sentence when it holds what another backbone saw, else "".

    Args:
        run: the folder, created if need be.
        behind: what the backbone is called (:data:`model.checkpoint.manifest.BACKBONES`).
    """
    mark, before = run / MARK, seen_with(run)
    begun = mark.exists() or (run / SAMPLES).exists()
    if begun and before != behind:
        or_behind = f", or --behind {before}" if before in BACKBONES else ""
        return f"{run} holds what the backbone {before!r} saw: take another folder with --run{or_behind}."
    run.mkdir(parents=True, exist_ok=True)
    mark.write_text(f"{behind}\n", "utf-8")
    return ""
