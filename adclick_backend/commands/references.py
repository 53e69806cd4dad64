"""``adclick references``: defect-free images from the command line.

Works on the data folder, whether or not the backend is serving from it: a serving backend notices new images within
seconds, any other prepares them when it starts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

from adclick_backend.commands.project_arguments import add_project_arguments, chosen_settings
from adclick_backend.config.labeling_config import parse_labeling_config
from adclick_backend.references.collection import References
from adclick_backend.store import Reference, Store, project_id

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
LEFT_OUT = frozenset({".gif", ".jfif", ".jpe", ".pjpeg", ".heic", ".heif", ".avif", ".svg", ".jxl", ".jp2"})
"""Suffixes of images that are not looked for in folders, and that a person may miss."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions of ``adclick references``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = actions.add_parser("add", help="make images, or all images below a folder, references")
    add.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="image files or folders")
    show = actions.add_parser("list", help="list the references")
    check = actions.add_parser("check", help="name the references that do not look like the others")
    remove = actions.add_parser("remove", help="take references out")
    what = remove.add_mutually_exclusive_group(required=True)
    what.add_argument("ids", nargs="*", type=int, default=[], metavar="ID", help="as `list` shows them")
    what.add_argument("--all", action="store_true", help="every one of the project (and product)")
    for action in (add, show, check, remove):
        add_project_arguments(action)
        action.add_argument(
            "--product", default="" if action is add else None, help="for projects that tell products apart"
        )


def run(args: argparse.Namespace) -> int:
    """Run one action; returns the exit status."""
    settings, project = chosen_settings(args), project_id(args.project)
    store = Store(settings.data_dir, settings.database_url)
    try:
        if args.action == "add":
            references = References(store, settings)
            config = parse_labeling_config(store.projects.get(project).label_config)
            if problem := references.missing_product(config, args.product):
                print(problem, file=sys.stderr)
                return 1
            return _add(references, project, args.product, args.paths)
        found = [
            row
            for row in store.references.of_project(project)
            if args.product in (None, row.product) and row.state != "removed"
        ]
        if args.action == "remove":
            return _remove(References(store, settings), project, found, args)
        return _show(found) if args.action == "list" else _check(found)
    finally:
        store.close()


def images_below(paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Every image below ``paths`` with where it came from; a file that was named is taken whatever its suffix."""
    for path in paths:
        if path.is_dir():
            yield from ((file, "folder") for file in _files_below(path, SUFFIXES))
        else:
            yield path, "command line"


def passed_over(paths: Iterable[Path]) -> list[str]:
    """A sentence about each image below ``paths`` that `images_below` does not take because of its suffix."""
    return [
        f"{file} was passed over: {file.suffix} is not among the suffixes that folders are searched for. Name the "
        "file itself to have it taken."
        for path in paths
        if path.is_dir()
        for file in _files_below(path, LEFT_OUT)
    ]


def _files_below(folder: Path, suffixes: Container[str]) -> list[Path]:
    """Files by suffix; not the hidden ones, such as the ._x.png that macOS puts beside x.png."""
    files = (file for file in folder.rglob("*") if file.suffix.lower() in suffixes)
    return sorted(
        file
        for file in files
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )


def _add(references: References, project: str, product: str, paths: list[Path]) -> int:
    from tqdm import tqdm

    images = list(images_below(paths))
    for sentence in passed_over(paths):
        print(sentence, file=sys.stderr)
    if not images:
        kinds = ", ".join(sorted(SUFFIXES))
        print(f"There is no image in {', '.join(map(str, paths))} ({kinds}).", file=sys.stderr)
        return 1
    unreadable = []
    for path, source in tqdm(images, unit="image", disable=None):
        try:
            references.add(project, path.read_bytes(), source=source, name=path.name, product=product)
        except OSError as error:
            unreadable.append(f"{path}: {error.strerror}")
    print(
        f"{len(images) - len(unreadable)} images added to project {project}; the backend prepares them now."
    )
    for line in unreadable:
        print(line, file=sys.stderr)
    return 1 if unreadable else 0


def _remove(references: References, project: str, found: list[Reference], args: argparse.Namespace) -> int:
    known = {row.id for row in found}
    unknown = sorted(set(args.ids) - known)
    removed = sum(
        references.remove(project, number) for number in (known if args.all else known & set(args.ids))
    )
    print(
        f"{removed} removed, {len(known) - removed} left in project {project}. The dashboard can put them back."
    )
    if unknown:
        print(f"Project {project} has no reference {', '.join(map(str, unknown))}.", file=sys.stderr)
    return 1 if unknown else 0


def _show(found: list[Reference]) -> int:
    print(f"{'id':>6}  {'state':8} {'source':12} {'product':16} name")
    for row in found:
        note = f"  ({row.reason})" if row.reason else ""
        print(f"{row.id:6d}  {row.state:8} {row.source:12} {row.product:16} {row.name}{note}")
    return 0


def _check(found: list[Reference]) -> int:
    from adclick_backend.references.check import FEWEST, ODD

    scored = [row for row in found if row.oddness is not None]
    odd = [row for row in scored if row.oddness is not None and row.oddness > ODD]
    for row in odd:
        print(f"{row.id:6d}  {row.name} does not look like the others ({row.oddness:.1f} deviations).")
    unchecked = len(found) - len(scored)
    print(f"{len(scored)} checked, {len(odd)} odd, {unchecked} not checked yet.")
    if unchecked:
        print(
            f"The serving backend compares each reference with the others once a product has {FEWEST} or more.",
            file=sys.stderr,
        )
    return 1 if odd else 0
