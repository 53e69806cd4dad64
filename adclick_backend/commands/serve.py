"""``adclick serve``: the settings from the environment, some of them overridden by options."""

from __future__ import annotations

import argparse
from pathlib import Path

from adclick_backend.settings import get_settings
from model.features.number_format import CHOICES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; what is not given comes from the environment."""
    parser.add_argument("--host", help="address to listen on (ADCLICK_HOST)")
    parser.add_argument("--port", type=int, help="port to listen on (PORT)")
    parser.add_argument("--workers", type=int, help="processes (WORKERS)")
    parser.add_argument("--threads", type=int, help="threads of each process (THREADS)")
    parser.add_argument("--data-dir", type=Path, help="where everything is kept (ADCLICK_DATA_DIR)")
    parser.add_argument("--device", help="cpu, cuda or cuda:1 (ADCLICK_DEVICE)")
    parser.add_argument(
        "--number-format", choices=CHOICES, help="in which networks compute (ADCLICK_NUMBER_FORMAT)"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until stopped; returns the exit status."""
    from adclick_backend.web.server import serve

    names = ("host", "port", "workers", "threads", "data_dir", "device", "number_format")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    serve(get_settings().model_copy(update=given))
    return 0
