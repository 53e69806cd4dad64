"""What masks before the first click are worth on products with known masks, before anything was trained.

Everything that is found is written down part by part, so that a rule of which parts to propose is judged, and judged
again when it changed, without looking at an image twice.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adclick_backend.answers.held_back import measure
from adclick_backend.answers.worth import FITS, HeldBack, SeenPart, needed_score, worth_of
from adclick_backend.benchmark.local_engine import LocalEngine
from adclick_backend.engine.bank import ImageKey, ReferenceBank
from adclick_backend.images.decode import decode_image
from model.datasets.mvtec import Category, read_mask
from model.metrics.masks import iou, part_ious
from model.studies.results import append, read

GOOD = 8
"""Good images of a product that are no references and are looked at, at most."""

HELD_BACK = "held back"
"""In place of an image: the row of what was found in held-back references and drawn defects."""

EVERYTHING, RULE, PEOPLE = "all that is found", "what is worth it", "the same, after what people did"
"""Which parts are proposed: all, those of the rule before anybody saw one, and with a person who keeps and deletes."""

MAX_MEGAPIXELS = 1000  # of files that the person who starts the command has named


@dataclass(frozen=True)
class Figures:
    """How proposals did on the images of one product, or of several.

    Attributes:
        defects: images with a defect that were looked at.
        sent: those of them for which something was proposed.
        ious: of all that was proposed for each of those, with all that is defective in it, in [0, 1].
        parts: IoU of each part proposed in them with the places that it touches, in [0, 1].
        beside: those in which a part was proposed that a person would delete.
        good: good images that were looked at.
        spoilt: those of them for which something was proposed.
    """

    defects: int
    sent: int
    ious: Sequence[float]
    parts: Sequence[float]
    beside: int
    good: int
    spoilt: int

    @property
    def kept(self) -> int:
        """Images whose proposal a person would keep."""
        return sum(value >= FITS for value in self.ious)

    @property
    def kept_parts(self) -> int:
        """Parts that a person would keep."""
        return sum(value >= FITS for value in self.parts)


def look(category: Category, engine: LocalEngine, results: Path, references: int, limit: int) -> None:
    """Look at what is proposed for a product, and write down what was not looked at before.

    Args:
        category: the product.
        engine: proposes.
        results: file of JSON lines.
        references: good images that the others are compared with.
        limit: images with a defect, spread over all; 0 for all.
    """
    good = category.good()
    chosen = _spread(good, references)
    defects = category.defects()
    others = _spread([path for path in good if path not in chosen], GOOD)
    known = {(row["product"], row["references"], row["image"]) for row in read(results)}
    tried: list[tuple[Path, Path | None]] = [*_spread(defects, limit or len(defects))]
    tried += [(path, None) for path in others]
    named = {
        HELD_BACK: None,
        **{path.relative_to(category.root).as_posix(): (path, mask) for path, mask in tried},
    }
    missing = {
        name: image for name, image in named.items() if (category.name, len(chosen), name) not in known
    }
    if not missing:
        return
    bank = engine.bank(_project(category), chosen)
    for name, image in missing.items():
        found: dict[str, Any]
        if image is None:
            seen = list(measure(engine.engine, bank))[-1]
            found = {"good": _written(seen.good), "drawn": _written(seen.drawn)}
        else:
            path, mask = image
            found = {"defect": mask is not None, **_found(engine, bank, path, mask)}
        append(results, {"product": category.name, "references": len(chosen), "image": name, **found})


def _found(engine: LocalEngine, bank: ReferenceBank, path: Path, mask: Path | None) -> dict[str, Any]:
    """The parts found in an image, the surest first, and how well the first ones together fit."""
    data = path.read_bytes()
    key = ImageKey(bank.project, hashlib.sha256(data).hexdigest(), bank.white)
    found = engine.engine.propose(
        key, bank, lambda: decode_image(data, max_megapixels=MAX_MEGAPIXELS, white=bank.white)
    )
    truth = np.zeros(found.size, bool) if mask is None else read_mask(mask)
    fits = part_ious([region.mask for region in found.regions], truth)
    unions = []
    union: NDArray[np.bool_] = np.zeros_like(truth)
    for region in found.regions:
        union = union | region.mask
        unions.append(round(iou(union, truth), 4))
    parts = [(round(region.score, 4), round(fit, 4)) for region, fit in zip(found.regions, fits, strict=True)]
    return {"parts": parts, "unions": unions}


def judge(rows: Sequence[Mapping[str, Any]], rule: str) -> Figures:
    """How a rule does on the images of one product.

    Args:
        rows: of the product, of `look`.
        rule: `EVERYTHING`, `RULE` or `PEOPLE`; of the last, a person sees the images one after the other, in an order
            that has nothing to do with their names, keeps each part that fits, corrects one that nearly does, and
            deletes the others.
    """
    seen = held_back(rows)
    images = sorted((row for row in rows if "parts" in row), key=lambda row: _order(row["image"]))
    judged: list[SeenPart] = []
    sent: list[tuple[bool, float, list[float]]] = []
    for row in images:
        needed = 0.0 if rule == EVERYTHING else needed_score(seen, judged if rule == PEOPLE else ())
        parts = [(score, fit) for score, fit in row["parts"] if score >= needed]
        judged += [SeenPart(score, worth_of(fit)) for score, fit in parts]
        if parts:
            sent.append((row["defect"], row["unions"][len(parts) - 1], [fit for _, fit in parts]))
    of_defects = [(value, parts) for defect, value, parts in sent if defect]
    return Figures(
        defects=sum(row["defect"] for row in images),
        sent=len(of_defects),
        ious=[value for value, _ in of_defects],
        parts=[fit for _, parts in of_defects for fit in parts],
        beside=sum(min(parts) < FITS for _, parts in of_defects),
        good=sum(not row["defect"] for row in images),
        spoilt=sum(not defect for defect, _, _ in sent),
    )


def held_back(rows: Sequence[Mapping[str, Any]]) -> HeldBack:
    """What was found of a product in images of which the truth is known, from its rows."""
    row = next((row for row in rows if row["image"] == HELD_BACK), None)
    if row is None:
        return HeldBack()
    good, drawn = ([[SeenPart(*part) for part in image] for image in row[name]] for name in ("good", "drawn"))
    return HeldBack(good, drawn)


def together(figures: Sequence[Figures]) -> Figures:
    """The figures of several products as one."""
    return Figures(
        sum(one.defects for one in figures),
        sum(one.sent for one in figures),
        [value for one in figures for value in one.ious],
        [value for one in figures for value in one.parts],
        sum(one.beside for one in figures),
        sum(one.good for one in figures),
        sum(one.spoilt for one in figures),
    )


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """All products and rules as Markdown tables."""
    by_product: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_product.setdefault(row["product"], []).append(row)
    lines: list[str] = []
    for rule in (EVERYTHING, RULE, PEOPLE):
        lines += [
            f"| {rule} | from score | proposed | mean IoU | kept | parts kept | false part | good images spoilt |",
            "|---" * 8 + "|",
        ]
        figures = {name: judge(own, rule) for name, own in sorted(by_product.items())}
        for name, found in figures.items():
            seen = held_back(by_product[name])
            least = {EVERYTHING: "0", RULE: _score(needed_score(seen)), PEOPLE: "-"}[rule]
            lines.append(f"| {name.split('/')[-1]} | {least} | {_cells(found)} |")
        lines += [f"| together | | {_cells(together(list(figures.values())))} |", ""]
    return "\n".join(lines)


def _cells(found: Figures) -> str:
    mean = f"{fmean(found.ious):.2f}" if found.ious else "-"
    kept = f"{found.kept} ({found.kept / found.sent:.0%})" if found.sent else "-"
    cells = (
        f"{found.sent} of {found.defects}",
        mean,
        kept,
        f"{found.kept_parts} of {len(found.parts)}",
        str(found.beside),
        f"{found.spoilt} of {found.good}",
    )
    return " | ".join(cells)


def _score(needed: float) -> str:
    return "none" if math.isinf(needed) else f"{needed:.2f}"


def _spread(items: Sequence[Any], count: int) -> list[Any]:
    """So many of them, evenly from the first to the last."""
    if len(items) <= count:
        return list(items)
    return [items[round(place)] for place in np.linspace(0, len(items) - 1, count)]


def _written(images: Sequence[Sequence[SeenPart]]) -> list[list[tuple[float, float]]]:
    return [[(part.score, part.worth) for part in image] for image in images]


def _project(category: Category) -> str:
    return str(int(hashlib.sha256(category.name.encode()).hexdigest()[:8], 16))


def _order(name: str) -> str:
    return hashlib.sha256(f"proposals {name}".encode()).hexdigest()


def each_with_references(categories: Sequence[Category], fewest: int) -> Iterator[Category]:
    """The products that have enough good images to be judged by."""
    return (category for category in categories if len(category.good()) >= fewest)
