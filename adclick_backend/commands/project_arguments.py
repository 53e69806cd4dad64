"""What the commands about one project have in common on the command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from adclick_backend.settings import Settings, get_settings


def add_project_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``--project`` and ``--data-dir``."""
    parser.add_argument("--project", required=True, metavar="ID", help="project id in Label Studio")
    add_data_dir(parser)


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """Declare ``--data-dir``."""
    parser.add_argument("--data-dir", type=Path, help="data folder of the backend (ADCLICK_DATA_DIR)")


def chosen_settings(args: argparse.Namespace) -> Settings:
    """The settings from the environment, with the data folder that was named."""
    settings = get_settings()
    return settings.model_copy(update={"data_dir": args.data_dir}) if args.data_dir else settings
