"""The click protocol: simulate a person who clicks the middle of the largest error, and count."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from adclick_backend.benchmark.peers import PEERS
from adclick_backend.benchmark.report import SHOWN, TARGETS, Row, table
from adclick_backend.benchmark.session import BackendSession
from adclick_backend.clicks import Click
from model.clicks import next_click
from model.mvtec import Category, find_categories, read_mask, read_rgb

COUNTED = max(SHOWN)  # clicks that every image gets, whatever it reached before
Segment = Callable[[Sequence[Click]], NDArray[np.bool_]]


def measure(args: argparse.Namespace) -> int:
    """Run the benchmark that the arguments ask for; returns the exit status."""
    categories = find_categories(args.folders)
    if not categories:
        print(
            "No product in MVTec layout (train/good, test/<type>, ground_truth/<type>) was found in these folders."
        )
        return 2
    args.out.mkdir(parents=True, exist_ok=True)
    results = args.out / "images.jsonl"
    done = _read(results)
    root = Path(os.path.commonpath([c.root.resolve() for c in categories]))
    environment = {"ADCLICK_CHECKPOINT": str(args.checkpoint)} if args.checkpoint else {}
    with tempfile.TemporaryDirectory() as folder, BackendSession(Path(folder), root, environment) as session:
        for number, category in enumerate(categories, 1):
            _measure_category(session, category, str(number), args, done, results)
    rows = list(_read(results).values())
    text = table(rows)
    print(text)
    (args.out / "table.md").write_text(text + "\n")
    return 0


def _measure_category(
    session: BackendSession,
    category: Category,
    project: str,
    args: argparse.Namespace,
    done: dict[tuple[str, str, str], Row],
    results: Path,
) -> None:
    methods = ["ADClick", *(PEERS if args.peers else ())]
    pairs = _chosen(category.defects(), args.limit, args.seed)
    left = [
        (i, m)
        for i, m in pairs
        if any((category.name, _name(category, i), method) not in done for method in methods)
    ]
    if not left:
        return
    session.set_up(project)
    session.add_references(project, category.good()[: args.references])
    for task_id, (image, mask_file) in enumerate(tqdm(left, desc=category.name), 1):
        pixels, target = read_rgb(image), read_mask(mask_file)
        session.open(project, image, task_id)
        size = (target.shape[1], target.shape[0])
        segments: dict[str, Segment] = {"ADClick": partial(session.click, project, image, task_id, size=size)}
        segments |= {name: partial(PEERS[name], pixels) for name in methods[1:]}
        for method, segment in segments.items():
            if (category.name, _name(category, image), method) in done:
                continue
            rng = np.random.default_rng(args.seed)
            jitter = args.jitter / 100 * max(target.shape)
            ious = click_through(segment, target, args.clicks, rng, jitter)
            row = Row(category.name, _name(category, image), method, ious)
            done[row.key] = row
            with results.open("a") as file:
                file.write(json.dumps(row.__dict__) + "\n")


def _name(category: Category, image: Path) -> str:
    """What an image is called in the results: its path from the set's folder on."""
    return str(image.relative_to(category.root.parent.parent))


def click_through(
    segment: Segment, target: NDArray[np.bool_], clicks: int, rng: np.random.Generator, jitter: float
) -> list[float]:
    """IoU after each click.

    Args:
        segment: clicks -> mask (H, W).
        target: true mask (H, W).
        clicks: at most so many; ends earlier once the highest target is reached and ``COUNTED`` clicks are made.
        rng: for the jitter.
        jitter: standard deviation in pixels.

    Returns:
        One IoU a click. Where there is no error left to click, the last one is repeated up to ``COUNTED``.
    """
    given: list[Click] = []
    ious: list[float] = []
    mask = np.zeros_like(target)
    while len(ious) < clicks and (len(ious) < COUNTED or max(ious) < TARGETS[-1]):
        click = next_click(target, mask, given, rng, jitter)
        if click is None:
            ious += [ious[-1] if ious else 1.0] * (COUNTED - len(ious))
            break
        given.append(Click(*click))
        mask = segment(given)
        ious.append(float((mask & target).sum() / max(1, (mask | target).sum())))
    return [round(iou, 4) for iou in ious]


def _chosen(pairs: list[tuple[Path, Path]], limit: int | None, seed: int) -> list[tuple[Path, Path]]:
    if limit is None or limit >= len(pairs):
        return pairs
    order = np.random.default_rng(seed).permutation(len(pairs))[:limit]
    return [pairs[i] for i in sorted(order)]


def _read(results: Path) -> dict[tuple[str, str, str], Row]:
    if not results.exists():
        return {}
    rows = [Row(**json.loads(line)) for line in results.read_text().splitlines()]
    return {row.key: row for row in rows}
