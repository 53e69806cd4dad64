"""A version beside another one: measures, pictures of where they differ, and why it was promoted or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from adclick_backend.dashboard.figures import Figure, side_by_side
from adclick_backend.dashboard.image_names import ImageName, Named
from adclick_backend.dashboard.words import count
from adclick_backend.store.version import Version


@dataclass(frozen=True)
class Picture:
    """An image as both versions see it."""

    file: str
    types: str  # what is labelled in it
    image: ImageName | None  # which it is; None when that was not kept


@dataclass(frozen=True)
class Comparison:
    """A version beside another one, or beside what served before it when that was no version."""

    first: str  # "" when nothing could propose masks before
    second: str
    figures: Sequence[Figure]
    same_images: bool  # both were measured on the same ones
    pictures: Sequence[Picture]  # where they differ most first; none unless both looked at the same images
    click_pictures: Sequence[Picture]  # masks after one click, before and after the second was trained
    # why the second was promoted, or was not; what became of generated pictures; and the verdict on its click network
    verdict: Sequence[str]
    learned: Sequence[str]  # from what the second was trained, and what it cannot do


def compare(first: Version, second: Version, named: Named) -> Comparison:
    """Two versions side by side, as they were judged on the same images if they ever were.

    Args:
        first: the one on the left.
        second: the one on the right.
        named: what a person calls an image.
    """
    for older, newer in ((first, second), (second, first)):
        if newer.comparison.get("against") == older.name:
            return judgement(newer, named)
    figures = side_by_side(first.metrics, second.metrics)
    return Comparison(first.name, second.name, figures, False, [], [], [], what_was_learned(second.manifest))


def judgement(version: Version, named: Named) -> Comparison:
    """A version beside the one that served when it was trained."""
    kept = version.comparison
    ours = kept.get("candidate") or version.metrics
    images = kept.get("images") or []
    clicks, generated = kept.get("clicks") or {}, kept.get("generated") or {}
    return Comparison(
        first=str(kept.get("against", "")),
        second=version.name,
        figures=side_by_side(kept.get("serving") or {}, ours),
        same_images=True,
        pictures=_pictures(version.pictures, images, named),
        click_pictures=_pictures(version.click_pictures, clicks.get("images") or [], named),
        verdict=[str(said["reason"]) for said in (kept, generated, clicks) if said.get("reason")],
        learned=what_was_learned(version.manifest),
    )


def _pictures(files: Sequence[Path], images: Sequence[Mapping[str, Any]], named: Named) -> list[Picture]:
    found = []
    for path, image in zip_longest(files, images):
        if path is None:
            break
        types = "" if image is None else ", ".join(image.get("types") or []) or "normal"
        sha = str(image.get("image", "")) if image else ""
        found.append(Picture(path.name, types, named(sha) if sha else None))
    return found


def what_was_learned(manifest: Mapping[str, Any]) -> list[str]:
    """From how many images a version was trained, what for, and what it cannot do, as far as its manifest says."""
    data, training = manifest.get("data"), manifest.get("training")
    notes = training.get("notes", []) if isinstance(training, Mapping) else []
    if not isinstance(data, Mapping):
        return list(notes)
    references, tried = sum((data.get("references") or {}).values()), len(data.get("tried_on") or [])
    if references and not data.get("images") and not data.get("held_out"):
        judged = (
            f"judged by {count(tried, 'other one')} and defects drawn on {'it' if tried == 1 else 'them'}"
        )
        said = f"Learned from {count(references - tried, 'reference')}, without a label"
        return [f"{said}; {judged}." if tried else f"{said}.", *notes]
    types = ", ".join(manifest.get("types") or [])
    sentence = (
        f"Learned from {count(len(data.get('images', [])), 'image')}{f' to find {types}' if types else ''}; "
    )
    sentence += f"judged by {count(len(data.get('held_out', [])), 'other image')}."
    if skipped := data.get("skipped"):
        sentence += f" {count(len(skipped), 'label')} could not be used."
    return [sentence, *notes]
