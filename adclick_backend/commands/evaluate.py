"""``adclick evaluate``: one HTML file on how well a version finds defects before the first click.

Of folders in MVTec layout, or of the labelled images of a project.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tqdm import tqdm

from adclick_backend.answers.loadable import loadable_version
from adclick_backend.benchmark.local_engine import LocalEngine
from adclick_backend.cluster.connection import ClusterError, WorkerLost
from adclick_backend.cluster.shards import cut
from adclick_backend.commands.cluster_pool import cluster_pool
from adclick_backend.commands.project_arguments import add_data_dir, chosen_settings
from adclick_backend.engine.bank import EngineError
from adclick_backend.errors import ImageError
from adclick_backend.report.page import Report, Section, render
from adclick_backend.report.project_report import measured, now, report_file, report_on
from adclick_backend.report.sources import Source, folder_source
from adclick_backend.services import Services
from adclick_backend.settings import Settings
from adclick_backend.store import project_id
from adclick_backend.store.files import FilesError, open_files
from adclick_backend.store.versions import RegistryError
from model.checkpoint.atomic import write_atomically
from model.checkpoint.manifest import CheckpointError, read_manifest
from model.datasets.mvtec import NO_PRODUCT, Category, broken_links, find_categories, said_broken

Product = tuple[int, Category]
"""A number that no other product has, and the product."""
Measured = tuple[list[Section], list[str]]
"""What was measured, and why the rest was not."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``adclick evaluate``."""
    parser.add_argument(
        "folders", type=Path, nargs="*", metavar="DATA_DIR", help="folders with products in MVTec layout"
    )
    parser.add_argument("--project", metavar="ID", help="instead of folders: what is labelled in a project")
    parser.add_argument("--version", metavar="NAME", help="of the project, such as v3 (default: what serves)")
    parser.add_argument(
        "--weights", type=Path, help="a trained checkpoint, for folders (default: the references alone)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="the report (default: runs/report.html, or among the project's on the dashboard)",
    )
    add_data_dir(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate and write the report; returns the exit status."""
    if bool(args.folders) == bool(args.project):
        print("Name either folders or --project.", file=sys.stderr)
        return 2
    settings = chosen_settings(args)
    try:
        if args.project:
            report, kept = _of_project(args, settings)
        else:
            report, kept = _of_folders(args, settings), ""
    except (ClusterError, EngineError, ImageError, RegistryError, CheckpointError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if not report.sections:
        print("\n".join(["There is nothing to evaluate.", *report.remarks]), file=sys.stderr)
        return 1
    text = render(report).encode()
    try:
        if kept and not args.out:
            path = open_files(settings).put(kept, text)
        else:
            path = args.out or Path("runs/report.html")
            write_atomically(path, text)
    except FilesError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"The report is {path}")
    return 0


def _of_folders(args: argparse.Namespace, settings: Settings) -> Report:
    categories = find_categories(args.folders)
    if not categories:
        raise ValueError(NO_PRODUCT)
    name = str(read_manifest(args.weights)["version"]) if args.weights else "the references alone"
    products = list(enumerate(categories, 1))
    if settings.ray_address:
        sections, remarks = _on_cluster(products, args.weights, settings)
    else:
        with tempfile.TemporaryDirectory(prefix="adclick-evaluate-") as folder:
            engine = LocalEngine(Path(folder))
            sources = (folder_source(category, number, engine, args.weights) for number, category in products)
            sections, remarks = measured(sources, _bar)
    remarks += [said_broken(link) for link in broken_links(args.folders)]
    return Report(f"Without a click: {name}", {"version": name, "written": now()}, sections, (), remarks)


def _on_cluster(products: list[Product], weights: Path | None, settings: Settings) -> Measured:
    """The same by workers of the cluster, which read the folders themselves: one product at a time each."""
    found: dict[int, Measured] = {}
    made = cluster_pool(settings, evaluator_there, weights, advice="Run the command again once it is back.")
    with made as pool, tqdm(total=len(products), unit="product") as bar:
        for done, measured_ in pool.results(cut(products, 1), lambda sentence: None):
            ((number, category),) = done
            if isinstance(measured_, WorkerLost):
                found[number] = (
                    [],
                    [f"{category.name} was left out: it ended whoever looked at it. {measured_}"],
                )
            else:
                found[number] = measured_
            bar.update()
    parts = [found[number] for number, _ in products]
    return [one for sections, _ in parts for one in sections], [one for _, said in parts for one in said]


class ProductEvaluator:
    """In a worker of a cluster: measures products.

    Args:
        settings: of the backend.
        weights: of the trained network; None for the references alone.
    """

    def __init__(self, settings: Settings, weights: Path | None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="adclick-evaluate-")
        self._engine = LocalEngine(Path(self._folder.name), settings=settings)
        self._weights = weights

    def __call__(self, products: list[Product]) -> Measured:
        """What is measured of the products."""
        sources = (
            folder_source(category, number, self._engine, self._weights) for number, category in products
        )
        return measured(sources, lambda source: nullcontext(lambda: None))


def evaluator_there(settings: str, weights: Path | None) -> ProductEvaluator:
    """The evaluator of a worker, from the settings as JSON."""
    return ProductEvaluator(Settings.model_validate_json(settings), weights)


def _of_project(args: argparse.Namespace, settings: Settings) -> tuple[Report, str]:
    """The report, and the file in which the dashboard looks for it."""
    project = project_id(args.project)
    services = Services(settings)
    try:
        registry = services.registry
        version = (
            registry.get(project, args.version)
            if args.version
            else loadable_version(project, registry, services.engine)
        )
        return report_on(project, services, version, _bar), report_file(project, version)
    finally:
        services.stop()


@contextmanager
def _bar(source: Source) -> Iterator[Callable[[], object]]:
    """A bar that moves with the images of a source."""
    with tqdm(total=source.count, desc=source.name, unit="image") as bar:
        yield bar.update
