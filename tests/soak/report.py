"""The day on paper: ``soak.json`` with everything, ``soak.md`` to read, ``soak.svg`` to look at."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from tests.soak.chart import draw
from tests.soak.findings import Findings, Seen
from tests.soak.kept import Kept
from tests.soak.record import Record

LISTED = 200  # errors in the Markdown; all of them are in the JSON


def write(out: Path, record: Record, findings: Findings) -> None:
    """Write the three files."""
    (out / "soak.json").write_text(json.dumps(_plain(_everything(record, findings)), indent=1) + "\n")
    (out / "soak.md").write_text("\n".join(markdown(record, findings)) + "\n")
    (out / "soak.svg").write_text(draw(record))


def markdown(record: Record, findings: Findings) -> list[str]:
    """The readable report, line by line."""
    failures = findings.failures
    errors = findings.errors
    lines = [
        "# A bad day",
        "",
        *(
            [f"- {sentence}" for sentence in failures]
            or ["Nothing was lost or mixed up, and no click failed."]
        ),
    ]
    lines += [
        "",
        f"People saw {len(errors)} errors, {sum(not e.excused for e in errors)} of them in no mishap's window.",
    ]
    lines += ["", "![memory and clicks](soak.svg)", "", "## What a person waits for", ""]
    lines += _table(
        ("", "number", "p50 ms", "p95 ms", "max ms"),
        (
            (name, row.number, *(_ms(s) for s in row[1:]))
            for name, row in findings.spreads.items()
            if row.number
        ),
    )
    lines += ["", "## Labels and masks", "", *_labels(findings), "", "## Memory", "", *_memory(findings)]
    lines += ["", "## Errors that a person saw", "", *_errors(findings.errors)]
    lines += ["", "## Log", ""]
    lines += [f"- {count} × `{line}`" for line, count in findings.log.tracebacks.items()] or ["No traceback."]
    lines += [f"- **{name} is in a log**" for name in findings.log.secrets] or ["", "No password, no token."]
    lines += ["", "## Jobs", "", *(f"- {job}" for job in findings.jobs)]
    lines += ["", "## What happened", "", *(f"- {at:.0f} s: {words}" for at, words in record.notes)]
    if record.left_out:
        lines += ["", "## Left out", "", *(f"- {sentence}" for sentence in record.left_out)]
    return lines


def _labels(findings: Findings) -> list[str]:
    rows = [
        (
            name,
            kept.acknowledged,
            *(len(ids) for ids in (kept.lost, kept.changed, kept.no_reference, kept.missing)),
        )
        for name, kept in (("before", findings.before), ("after", findings.after))
        if isinstance(kept, Kept)
    ]
    heads = ("Synchronise now", "acknowledged", "lost", "kept otherwise", "no reference", "never heard of")
    return [
        *_table(heads, rows),
        "",
        f"It said: {findings.synchronised}",
        "",
        f"Masks of another image: {len(findings.foreign)}; the least IoU of an answer with the stain that was clicked "
        f"was {findings.least_iou:.2f}. Proposals that hardly touch the stain: {findings.poor_proposals}.",
        "",
        *(f"- {one.ended:.0f} s: task {one.task}, IoU {one.iou:.2f}" for one in findings.foreign[:LISTED]),
    ]


def _memory(findings: Findings) -> list[str]:
    memory = findings.memory
    return [
        f"Master and workers: {memory.quiet_mb:.0f} MB in the quiet, {memory.end_mb:.0f} MB at the end, "
        f"{memory.most_mb:.0f} MB at most; {memory.slope_mb_a_minute:+.1f} MB a minute from {memory.slope_from:.0f} to "
        f"{memory.slope_to:.0f} s, the longest time without a kill."
    ]


def _errors(errors: Sequence[Seen]) -> list[str]:
    if not errors:
        return ["None."]

    def kind(error: Seen) -> tuple[str, str, str, bool]:
        return error.what, error.problem, error.meanwhile, error.excused

    groups = [(key, list(group)) for key, group in groupby(sorted(errors, key=kind), key=kind)]
    lines = _table(
        ("what", "problem", "meanwhile", "a mishap's window", "number", "first s", "last s"),
        (
            (what, problem, meanwhile, "yes" if excused else "**no**", len(group),
             f"{min(e.at for e in group):.0f}", f"{max(e.at for e in group):.0f}")
            for (what, problem, meanwhile, excused), group in groups
        ),
    )  # fmt: skip
    lines += ["", f"One by one{f', the first {LISTED}' if len(errors) > LISTED else ''}:", ""]
    return lines + _table(
        ("s", "what", "task", "problem", "meanwhile"),
        ((f"{e.at:.1f}", e.what, e.task or "", e.problem, e.meanwhile) for e in errors[:LISTED]),
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f}"


def _everything(record: Record, findings: Findings) -> dict[str, Any]:
    return {
        "failures": findings.failures,
        **{
            name: getattr(findings, name)
            for name in ("least_iou", "poor_proposals", "synchronised", "fell", "jobs")
        },
        "milliseconds": {
            name: {"number": row.number, "p50": 1000 * row.p50, "p95": 1000 * row.p95, "max": 1000 * row.most}
            for name, row in findings.spreads.items()
        },
        "errors": [error._asdict() for error in findings.errors],
        "masks_of_another_image": [asdict(one) for one in findings.foreign],
        "labels_before_synchronising": findings.before and asdict(findings.before),
        "labels_after_synchronising": findings.after and asdict(findings.after),
        "memory": findings.memory._asdict(),
        "log": findings.log._asdict(),
        "left_out": record.left_out,
        "windows": [asdict(window) for window in record.windows],
        "notes": record.notes,
        "memory_samples": [sample._asdict() for sample in record.samples],
        "clicks": [asdict(one) for one in record.asked if one.what == "click"],
    }


def _plain(value: Any) -> Any:
    """The same with null for what is not a finite number, and without numpy's types: JSON knows neither."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value
