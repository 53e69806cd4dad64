"""The table of a study: a line for each setting."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any

MEASURES = {
    "ap": "pixel AP",
    "pro": "PRO",
    "pixel_auroc": "pixel AUROC",
    "image_auroc": "image AUROC",
    "type": "type named right",
}


def table(results: Sequence[dict[str, Any]], settings: Sequence[str]) -> str:
    """The means over products and splits as a Markdown table, in percent, with the spread of the pixel AP over splits.

    Only products that every shown setting has finished count. The spread is the standard deviation of the means of
    the splits; the columns of products are their pixel AP.
    """
    shown = [s for s in settings if any(r["setting"] == s for r in results)]
    runs = [{(r["product"], r["split"]) for r in results if r["setting"] == s} for s in shown]
    common = set.intersection(*runs) if runs else set()
    products = sorted({product for product, _ in common})
    columns = [*MEASURES.values(), *(product.split("/")[-1] for product in products)]
    lines = [f"| {len(common)} runs each | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for setting in shown:
        rows = [r for r in results if r["setting"] == setting and (r["product"], r["split"]) in common]
        cells = [_mean([r[m] for r in rows if m in r]) for m in MEASURES]
        splits = [[r["ap"] for r in rows if r["split"] == s] for s in sorted({s for _, s in common})]
        if len(splits) > 1:
            cells[0] += f" ± {100 * stdev(fmean(found) for found in splits):.1f}"
        cells += [_mean([r["ap"] for r in rows if r["product"] == product]) for product in products]
        lines.append(f"| {setting} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean(shares: Sequence[float]) -> str:
    return f"{100 * fmean(shares):.1f}" if shares else "-"
