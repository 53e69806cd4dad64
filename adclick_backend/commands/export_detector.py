"""``adclick export detector``: what proposes masks for a project as a bundle for ``adclick-runtime``."""

from __future__ import annotations

import argparse

from adclick_backend.commands.taking_along import add_out, take_along
from adclick_backend.exports.detector import detector_bundle
from adclick_backend.services import Services
from model.datasets.layouts.folder import write


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``adclick export detector``."""
    add_out(parser)
    parser.add_argument(
        "--version", default="", metavar="VERSION", help="such as v2 (default: what proposes masks now)"
    )
    parser.add_argument(
        "--int8", action="store_true", help="compute in 8-bit numbers: quicker, and a little less exact"
    )


def run(args: argparse.Namespace) -> int:
    """Export; returns the exit status."""

    def export(services: Services, project: str) -> str:
        with detector_bundle(project, services, args.version, args.int8) as entries:
            write(entries, args.out)
        return f"a detector for adclick-runtime. Try it: adclick-detect {args.out} IMAGE"

    return take_along(args, export)
