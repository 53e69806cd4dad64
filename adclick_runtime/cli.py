"""``adclick-detect``: the command line of the runtime."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from adclick_runtime import __version__
from adclick_runtime.commands import check, detect, serve
from adclick_runtime.detector import Detector
from adclick_runtime.errors import BundleError, SettingsError
from adclick_runtime.looking import Looker
from adclick_runtime.networks import ENGINES
from adclick_runtime.serving.settings import Settings

COMMANDS: Mapping[str, tuple[ModuleType, str]] = {
    "check": (check, "Make sure that a detector answers here as it did where it was exported."),
    "serve": (serve, "Answer images over HTTP: POST /detect, GET /health, GET /metrics."),
}
"""Beside looking at files, which has no name: what they do, and where."""

_DETECT = "Look for defects in images with a detector that `adclick export detector` wrote."
_EPILOG = """
%(prog)s check BUNDLE    make sure that the detector answers here as it did where it was exported
%(prog)s serve BUNDLE    answer images over HTTP

exit codes: 0 all images were read; 1 a defect was found, with --fail-on-defect; 2 something could not be read
"""


def parser_of(command: str) -> argparse.ArgumentParser:
    """The parser of a command; "" for looking at files."""
    if command:
        module, summary = COMMANDS[command]
        parser = argparse.ArgumentParser(f"adclick-detect {command}", description=summary)
    else:
        module = detect
        parser = argparse.ArgumentParser(
            "adclick-detect",
            description=_DETECT,
            epilog=_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the detector: a folder or a zip")
    parser.add_argument(
        "--engine", choices=ENGINES, default=ENGINES[0], help="what runs the networks; default: %(default)s"
    )
    parser.add_argument(
        "--threads", type=int, help="processor threads of the networks (ADCLICK_MODEL_THREADS)"
    )
    module.add_arguments(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = words.pop(0) if words and words[0] in COMMANDS else ""
    args = parser_of(command).parse_args(words)
    try:
        settings = Settings.of(os.environ)
        detector = Detector(args.bundle, args.engine, args.threads or settings.model_threads)
        looker = Looker(detector, max_image_mb=settings.max_image_mb, max_megapixels=settings.max_megapixels)
        if command == "serve":
            return serve.run(args, looker, settings)
        return check.run(args, looker) if command == "check" else detect.run(args, looker)
    except (BundleError, SettingsError) as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(
            f"{error.filename or 'What was found'} cannot be written or read: {error.strerror}.",
            file=sys.stderr,
        )
    return 2
