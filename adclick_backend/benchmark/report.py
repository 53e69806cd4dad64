"""Results of the benchmark as tables and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from adclick_backend.benchmark.pixels import Figures
from adclick_backend.benchmark.protocol import MAPPED, SHOWN, TARGETS
from adclick_backend.benchmark.regret import REGRET_HEADS, Regret, regret
from adclick_backend.benchmark.reliability import Calibration, calibrate, reliability_table
from adclick_backend.benchmark.rows import Row

CLICK_HEADS = [f"mIoU@{n}" for n in SHOWN] + [f"NoC@{100 * t:.0f}" for t in TARGETS]
PIXEL_HEADS = [f"{name}@{n}" for n in MAPPED for name in ("AP", "PRO", "AUROC")]


@dataclass(frozen=True)
class Line:
    """One product, method and setting.

    Attributes:
        method: ADClick or a peer.
        references: as they were asked for: a number, ``all``, or ``-`` for a method that knows none.
        jitter: percent of the longer side.
        category: set and product.
        rows: its images that were measured.
        planned: how many were to be.
        pixels: AP, PRO and AUROC of its maps.
    """

    method: str
    references: str
    jitter: float
    category: str
    rows: Sequence[Row]
    planned: int
    pixels: Figures

    @property
    def clicks(self) -> list[float]:
        """Means over the images, in the order of ``CLICK_HEADS``; NaN where there are none."""
        if not self.rows:
            return [math.nan] * len(CLICK_HEADS)
        return [float(v) for v in np.mean([row.figures() for row in self.rows], axis=0)]

    @property
    def maps(self) -> list[float]:
        """Figures of the maps, in the order of ``PIXEL_HEADS``; NaN where there are none."""
        return [self.pixels[name].get(n, math.nan) for n in MAPPED for name in ("AP", "PRO", "AUROC")]

    @property
    def group(self) -> tuple[str, str, float]:
        """What its mean is taken over: the products of one method and setting."""
        return self.method, self.references, self.jitter


class Mean(NamedTuple):
    """The mean over the products of one method and setting.

    Attributes:
        images: how many were measured.
        planned: how many were to be.
        clicks: in the order of ``CLICK_HEADS``.
        maps: in the order of ``PIXEL_HEADS``.
        regret: of all clicks of all products; no mean.
    """

    images: int
    planned: int
    clicks: list[float]
    maps: list[float]
    regret: Regret


def means(lines: Iterable[Line]) -> dict[tuple[str, str, float], Mean]:
    """What each method and setting comes to, the mean over **products**; those without any image do not count."""
    groups: dict[tuple[str, str, float], list[Line]] = {}
    for line in lines:
        groups.setdefault(line.group, []).append(line)
    return {group: _mean(members) for group, members in groups.items()}


def _mean(members: Sequence[Line]) -> Mean:
    measured = [line for line in members if line.rows]
    return Mean(
        sum(len(line.rows) for line in members),
        sum(line.planned for line in members),
        [float(v) for v in np.mean([line.clicks for line in measured], axis=0)],
        [float(v) for v in np.mean([line.maps for line in measured], axis=0)],
        regret(row for line in members for row in line.rows),
    )


def calibrations(lines: Iterable[Line]) -> dict[tuple[str, str, float], Calibration]:
    """Scores against true IoUs of each method that scores its masks, after 1 to 5 clicks."""
    pairs: dict[tuple[str, str, float], list[tuple[float, float]]] = {}
    for line in lines:
        for row in line.rows:
            scored = list(zip(row.scores, row.ious, strict=False))[:5]
            pairs.setdefault(line.group, []).extend(scored)
    return {group: calibrate(*zip(*p, strict=True)) for group, p in pairs.items() if len(p) > 1}


def tables(lines: Sequence[Line]) -> str:
    """Markdown: the means, the regret, then every product, then how good the scores are."""
    overall = means(lines)
    parts = ["## Clicks, mean over products", _head(CLICK_HEADS)]
    parts += [_line(group, "**mean**", m.images, m.planned, m.clicks) for group, m in overall.items()]
    parts += [
        "",
        "## Regret: clicks after which the IoU fell, in percent of all from the second on, and by how many points",
    ]
    parts += [_head(["clicks", *REGRET_HEADS])]
    parts += [
        _line(group, "**all**", m.images, m.planned, m.regret.figures, str(m.regret.clicks))
        for group, m in overall.items()
    ]
    parts += ["", "## Probability maps, mean over products (defective images only)", _head(PIXEL_HEADS)]
    parts += [
        _line(group, "**mean**", m.images, m.planned, m.maps)
        for group, m in overall.items()
        if not all(map(math.isnan, m.maps))
    ]
    parts += ["", "## Each product", _head(CLICK_HEADS + REGRET_HEADS + PIXEL_HEADS)]
    parts += [
        _line(x.group, x.category, len(x.rows), x.planned, x.clicks + regret(x.rows).figures + x.maps)
        for x in lines
    ]
    for group, found in calibrations(lines).items():
        method, references, jitter = group
        parts += [
            "",
            f"## Scores of {method}, {references} references, jitter {jitter:g} %",
            f"Correlation with the true IoU after 1 to 5 clicks: {found.pearson:.2f} (Pearson), {found.spearman:.2f} "
            f"(Spearman), of {found.count} masks; mean distance of score and IoU {found.error:.3f}.\n",
            reliability_table(found),
        ]
    return "\n".join(parts) + "\n"


def as_json(lines: Sequence[Line], facts: Mapping[str, Any]) -> str:
    """Everything in the tables, for programs; what is unknown is null."""
    scored = calibrations(lines)
    document = {
        **facts,
        "means": [
            {
                **_named(group),
                "images": m.images,
                "planned": m.planned,
                **_figures(m.clicks, m.regret, m.maps),
            }
            | ({"scores": asdict(scored[group])} if group in scored else {})
            for group, m in means(lines).items()
        ],
        "products": [
            {**_named(x.group), "category": x.category, "images": len(x.rows), "planned": x.planned}
            | _figures(x.clicks, regret(x.rows), x.maps)
            for x in lines
        ],
    }
    return json.dumps(_without_nan(document), indent=1) + "\n"


def _named(group: tuple[str, str, float]) -> dict[str, Any]:
    return dict(zip(("method", "references", "jitter"), group, strict=True))


def _figures(clicks: Sequence[float], regretted: Regret, maps: Sequence[float]) -> dict[str, float]:
    figures = [round(v, 2) for v in [*clicks, *regretted.figures, *maps]]
    return dict(zip(CLICK_HEADS + REGRET_HEADS + PIXEL_HEADS, figures, strict=True))


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_nan(v) for v in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _head(heads: Sequence[str]) -> str:
    columns = ["method", "references", "jitter", "category", "images", *heads]
    return "| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|"


def _line(
    group: tuple[str, str, float],
    category: str,
    images: int,
    planned: int,
    figures: Sequence[float],
    *before: str,
) -> str:
    method, references, jitter = group
    counted = str(images) if images == planned else f"{images} of {planned}"
    cells = [method, references, f"{jitter:g} %", category, counted, *before]
    cells += ["–" if math.isnan(figure) else f"{figure:.1f}" for figure in figures]
    return "| " + " | ".join(cells) + " |"
