"""``adclick``: the command line. A command's module is only imported when that command is called."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from adclick_backend import __version__
from adclick_backend.errors import ProjectIdError, SettingsError, StoreError
from adclick_backend.heap import keep_freed_memory


class Command(NamedTuple):
    """A command: what it does, and either its module or the commands it is made of.

    The module has ``add_arguments(parser)`` and ``run(args) -> int``, the exit status.
    """

    module: str
    summary: str
    parts: Mapping[str, Command] = {}


TRAININGS = {
    "project": Command(
        "adclick_backend.commands.train_project", "Train a project on its labels, as Start Training does."
    ),
    "click": Command("model.commands.train_click", "Train the click network."),
    "backbone": Command(
        "model.commands.train_backbone", "Make the file of the backbone from published weights and images."
    ),
    "segmentation": Command(
        "model.commands.train_segmentation", "Train the network that every project's ADClick-Seg starts from."
    ),
    "generator": Command("model.commands.train_generator", "Train the diffusion model that paints defects."),
    "detector": Command(
        "model.commands.train_detector", "Train detectors that learn from defect-free images alone."
    ),
}

DATA_SETS = {
    "coco-ad": Command(
        "model.commands.build_coco_ad", "Make a split of COCO-AD from a folder of COCO 2017, in MVTec layout."
    ),
}

EXPORTS = {
    "labels": Command(
        "adclick_backend.commands.export_labels", "Write the labels of a project as COCO, YOLO, MVTec or PNG."
    ),
    "detector": Command(
        "adclick_backend.commands.export_detector",
        "Write what proposes masks for a project as a bundle that runs without Label Studio and without torch.",
    ),
}

COMMANDS = {
    "serve": Command("adclick_backend.commands.serve", "Serve Label Studio."),
    "connect": Command(
        "adclick_backend.commands.connect",
        "Connect a Label Studio project to the backend, and check both directions.",
    ),
    "references": Command(
        "adclick_backend.commands.references", "Add, list, check and remove defect-free reference images."
    ),
    "predict": Command(
        "adclick_backend.commands.predict", "Propose defect masks for image files, without Label Studio."
    ),
    "prepare-images": Command(
        "adclick_backend.commands.prepare_images",
        "Make every image of a project ready for its first click.",
    ),
    "find-alike": Command(
        "adclick_backend.commands.find_alike",
        "Look for places like some masks in all images of a project without a label.",
    ),
    "prompts": Command(
        "adclick_backend.commands.prompts",
        "List, add, remove and write the phrases that describe the labels.",
    ),
    "evaluate": Command(
        "adclick_backend.commands.evaluate", "Write a report of how well a version finds defects by itself."
    ),
    "evaluate-proposals": Command(
        "adclick_backend.commands.evaluate_proposals",
        "Measure what masks before the first click are worth on images with known masks.",
    ),
    "benchmark": Command(
        "adclick_backend.benchmark", "Measure masks and maps after a few clicks on images with known masks."
    ),
    "study": Command(
        "model.commands.study", "Compare training on true masks, on clicked masks and on no labels."
    ),
    "alike-study": Command(
        "model.commands.alike_study", "Measure how many of the places that look alike one click finds."
    ),
    "ablation": Command(
        "model.commands.ablation", "Compare short trainings of the click network that each lack something."
    ),
    "evaluate-detectors": Command(
        "model.commands.evaluate_detectors",
        "Measure anomaly detectors side by side on images with known masks.",
    ),
    "prepare-backbone": Command(
        "model.commands.prepare_backbone", "Make a network of timm what images are seen with."
    ),
    "build": Command("", "Make a data set from another one.", DATA_SETS),
    "train": Command("", "Train a project, or one of the networks that ship.", TRAININGS),
    "on-ray": Command(
        "adclick_backend.commands.on_ray", "Run a training of several processes on a Ray cluster."
    ),
    "versions": Command(
        "adclick_backend.commands.versions", "List, compare, activate, roll back and delete trained versions."
    ),
    "export": Command("", "Take the labels of a project along, or its detector.", EXPORTS),
    "backup": Command(
        "adclick_backend.commands.backup", "Copy the database: labels, references, settings of projects."
    ),
    "restore": Command(
        "adclick_backend.commands.restore", "Put a copy of the database in its place; stop the backend first."
    ),
    "move-data": Command(
        "adclick_backend.commands.move_data",
        "Copy a data folder into a PostgreSQL database and an object store, for several backends.",
    ),
    "generate": Command(
        "model.commands.generate",
        "Paint defects like a few labelled ones on good images, with a diffusion model.",
    ),
    "synthesis": Command(
        "model.commands.synthesis", "Draw a contact sheet of the synthetic defects that training uses."
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``adclick``; returns the exit status: 0 done, 1 failed, 2 wrong use, 130 interrupted."""
    words = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(
        prog="adclick", description="Label Studio ML backend: click a defect, get its mask."
    )
    parser.add_argument("--version", action="version", version=f"adclick {__version__}")
    _add_commands(parser, COMMANDS, words)
    args = parser.parse_args(words)
    keep_freed_memory()
    try:
        return int(importlib.import_module(args.module).run(args))
    except (ProjectIdError, SettingsError, StoreError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) left. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _add_commands(
    parser: argparse.ArgumentParser, commands: Mapping[str, Command], words: Sequence[str]
) -> None:
    """Declare commands, and the arguments of the one that `words` begins with."""
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, command in commands.items():
        subparser = subparsers.add_parser(name, help=command.summary, description=command.summary)
        subparser.set_defaults(module=command.module)
        if words[:1] != [name]:
            continue
        if command.parts:
            _add_commands(subparser, command.parts, words[1:])
        else:
            importlib.import_module(command.module).add_arguments(subparser)
