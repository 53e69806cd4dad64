"""``adclick export labels``: what people labelled in a project, in a layout that other tools read."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import get_args

from tqdm import tqdm

from adclick_backend.commands.taking_along import add_out, take_along
from adclick_backend.exports.labels import LabelExport
from adclick_backend.exports.wish import FORMATS, ExportError, Images, Wish, read_shares
from adclick_backend.labels.sync import sync
from adclick_backend.services import Services
from model.datasets.layouts.folder import write


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_out(parser)
    parser.add_argument(
        "--format",
        required=True,
        metavar="FORMAT",
        help="; ".join(f"{name} ({known.words})" for name, known in FORMATS.items()),
    )
    parser.add_argument(
        "--images",
        choices=get_args(Images),
        default="copy",
        help="copy the image files, link to the backend's copies, or leave them out (default: copy)",
    )
    parser.add_argument(
        "--split",
        metavar="TRAIN/VAL/TEST",
        help="shares, such as 80/10/10; what the serving version was not trained on stays out of train (default: "
        "80/20/0 for yolo-seg; 80/0/20 of the good images for mvtec; everything together for the others)",
    )
    parser.add_argument("--seed", type=int, default=0, help="another one splits in another way (default: 0)")
    parser.add_argument(
        "--reviewed", action="store_true", help="only annotations with Label Studio's star (ground truth)"
    )
    parser.add_argument(
        "--annotator", default="", metavar="WHO", help="only this person's, by name or number"
    )
    parser.add_argument(
        "--parts", action="store_true", help="a region for each connected part, not for each labelled region"
    )
    parser.add_argument(
        "--no-boxes",
        action="store_true",
        help="leave rectangles and ellipses out; else their masks are all of the inside",
    )
    parser.add_argument(
        "--no-sync", action="store_true", help="do not ask Label Studio for newer labels before"
    )


def run(args: argparse.Namespace) -> int:
    """Export; returns the exit status."""
    return take_along(args, partial(_export, args))


def _export(args: argparse.Namespace, services: Services, project: str) -> str:
    wish = Wish(
        format=args.format,
        images=args.images,
        shares=read_shares(args.split) if args.split else None,
        seed=args.seed,
        reviewed=args.reviewed,
        annotator=args.annotator,
        parts=args.parts,
        boxes=not args.no_boxes,
    )
    if args.out.suffix.lower() == ".zip" and wish.images == "link":
        raise ExportError("A zip file holds no links: export into a folder, or copy the images.")
    if not services.store.projects.get(project).updated:
        known = ", ".join(one.id for one in services.store.projects.all()) or "none"
        raise ExportError(
            f"Project {project} was not connected to this backend; known projects: {known}. Is the data folder "
            f"{services.settings.data_dir} the backend's?"
        )
    remark = "" if args.no_sync else sync(project, services.labels, services.store, services.connections)
    if remark:
        print(remark, file=sys.stderr)
    export = LabelExport(project, services, wish, remark)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tqdm(total=len(export), unit="image", disable=None) as bar:
        write(export.entries(args.out.parent, lambda done: bar.update(done - bar.n)), args.out)
    return export.sentence
