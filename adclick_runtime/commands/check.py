"""``adclick-detect check BUNDLE``: find in the bundle's picture what was found where it was exported."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from adclick_runtime.looking import Looker


def add_arguments(parser: ArgumentParser) -> None:
    """There are none beside those that all commands have."""


def run(args: Namespace, looker: Looker) -> int:
    """Check; the exit code. Raises BundleError where something else is found."""
    print(f"{args.bundle.name}, {looker.version}: {looker.detector.check()}")
    return 0
