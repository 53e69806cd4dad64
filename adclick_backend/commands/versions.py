"""``adclick versions``: the trained versions of a project. A serving backend follows at once."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from adclick_backend.commands.project_arguments import add_project_arguments, chosen_settings
from adclick_backend.dashboard.operating_view import words_of_points
from adclick_backend.engine.shared_detector import SharedDetector
from adclick_backend.settings import Settings
from adclick_backend.store import DiskError, Store, StoreError
from adclick_backend.store.shelves import FolderShelf, Shelf, open_shelf
from adclick_backend.store.version import CLICK_COUNTS, Version, click_measure
from adclick_backend.store.versions import Registry, RegistryError

OLD_PREDICTIONS = (
    "Tasks keep the predictions that they have: the button on the dashboard's page Versions brings them those of the "
    "version that serves."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions of ``adclick versions``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("list", help="list the versions with their scores, the newest first")
    back = actions.add_parser("roll-back", help="let the version serve that served before")
    compare = actions.add_parser("compare", help="how a version did against the one that served then")
    activate = actions.add_parser("activate", help="let a version serve")
    delete = actions.add_parser("delete", help="delete a version that does not serve")
    for action in (compare, activate, delete):
        action.add_argument("version", metavar="VERSION", help="such as v4")
    for action in (show, back, compare, activate, delete):
        add_project_arguments(action)


def run(args: argparse.Namespace) -> int:
    """Run one action; returns the exit status."""
    settings = chosen_settings(args)
    try:
        with shelf_of(settings) as shelf:
            registry = Registry(
                settings.data_dir,
                click=settings.click_weights,
                shared=lambda: SharedDetector.of(settings.detector, settings.click_weights).named,
                shelf=shelf,
            )
            return _run(args, registry)
    except (RegistryError, StoreError, DiskError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


@contextmanager
def shelf_of(settings: Settings) -> Iterator[Shelf]:
    """The versions of a data folder, or those that several machines share, which the database knows."""
    if not settings.files_url:
        yield FolderShelf(settings.data_dir)
        return
    store = Store(settings.data_dir, settings.database_url)
    try:
        yield open_shelf(settings, store.values, store.locks)
    finally:
        store.close()


def _run(args: argparse.Namespace, registry: Registry) -> int:
    """Do what was asked; the exit status."""
    if args.action == "list":
        _list(registry.list(args.project), registry.choice(args.project))
    elif args.action == "compare":
        return _compare(registry.get(args.project, args.version))
    elif args.action == "delete":
        registry.delete(args.project, args.version)
        print(
            f"Version {args.version} of project {args.project} is deleted. For 30 days the dashboard's page "
            "Versions can bring it back."
        )
    else:
        if args.action == "activate":
            chosen: Version | None = registry.activate(args.project, args.version)
        else:
            chosen = registry.roll_back(args.project)
        who = f"Version {chosen.name}" if chosen else "The packaged network"
        name = registry.serving_name(args.project)
        print(f"{who} serves project {args.project} now, under the name {name}.")
        print(OLD_PREDICTIONS)
    return 0


def _list(versions: list[Version], choice: str) -> None:
    if not versions:
        print("Nothing was trained yet; `adclick train project` or Start Training in Label Studio does.")
    for version in versions:
        when = datetime.fromtimestamp(version.created).strftime("%Y-%m-%d %H:%M")
        state = "serves" if version.serving else "damaged" if version.damage else ""
        points = version.proposing(choice).points
        cut = f", thresholds: {words_of_points(dict(points))}" if points else ""
        print(f"{version.name:5} {state:8} {when}  {_words(version.metrics)}{cut}{version.damage}")


def _compare(version: Version) -> int:
    found = version.comparison
    if not found:
        print(f"Version {version.name} was not compared with another one.", file=sys.stderr)
        return 1
    print(found["reason"])
    if clicks := found.get("clicks"):
        print(clicks["reason"])
    print(f"{version.name:20} {_words(found['candidate'])}")
    if found["serving"]:
        print(f"{found['against']:20} {_words(found['serving'])}")
    for picture in (*version.pictures, *version.click_pictures):
        print(picture)
    return 0


def _words(scores: Mapping[str, float | None]) -> str:
    """Scores for a person: ``IoU 61.2 %``."""
    names = {"iou": "IoU", "ap": "pixel AP", "false_area": "marked in normal images"}
    names |= {click_measure(n): f"IoU after {n} clicks" for n in CLICK_COUNTS}
    known = [f"{names.get(name, name)} {value:.1%}" for name, value in scores.items() if value is not None]
    return ", ".join(known)
