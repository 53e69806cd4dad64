"""``adclick predict``: what would be proposed for image files, as masks on disk. Needs no Label Studio.

With ``--project`` the project's references and its trained version judge the images, with ``--references`` the normal
images of a folder alone. A command that was stopped goes on where it was. With ADCLICK_RAY_ADDRESS the images are
judged by all nodes of the cluster.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from adclick_backend.cluster.connection import ClusterError, WorkerLost
from adclick_backend.cluster.shards import SHARD, Here, Workers, cut
from adclick_backend.commands.cluster_pool import cluster_pool
from adclick_backend.commands.done_images import DoneImages
from adclick_backend.commands.image_judge import By, ImageJudge, Looked, judge_of, judge_there
from adclick_backend.commands.image_names import names_below
from adclick_backend.commands.project_arguments import add_data_dir, chosen_settings
from adclick_backend.engine.bank import EngineError
from adclick_backend.errors import FilesError, ImageError
from adclick_backend.settings import Settings
from model.checkpoint.atomic import write_atomically

GO_ON = "Run the command again: it goes on where it stopped."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``adclick predict``."""
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="image files, folders, or s3://bucket/prefix"
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--project", metavar="ID", help="project id in Label Studio: its references and version"
    )
    what.add_argument("--references", type=Path, metavar="FOLDER", help="a folder of normal images")
    parser.add_argument("--product", default="", help="for projects that tell products apart")
    parser.add_argument("--out", type=Path, default=Path("masks"), help="folder for the masks [masks]")
    add_data_dir(parser)


def run(args: argparse.Namespace) -> int:
    """Propose masks; returns the exit status: 1 when an image could not be judged."""
    settings = chosen_settings(args)
    by = By(args.project or "", args.product, args.references)
    try:
        with judge_of(settings, by) as judge:
            if judge.refusal:
                print(judge.refusal, file=sys.stderr)
                return 1
            with _workers(settings, by, judge) as (workers, shard):
                return _judge_all(workers, shard, judge.name, args.images, args.out)
    except (EngineError, ImageError, FilesError, ClusterError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1


@contextmanager
def _workers(
    settings: Settings, by: By, judge: ImageJudge
) -> Iterator[tuple[Workers[str, list[Looked]], int]]:
    """Whoever judges the images, and how many they take at a time."""
    if not settings.ray_address:
        yield Here(judge), 1
        return
    with cluster_pool(settings, judge_there, by, judge.name, advice=GO_ON) as pool:
        yield pool, SHARD


def _judge_all(
    workers: Workers[str, list[Looked]], shard: int, judge: str, paths: Sequence[str], out: Path
) -> int:
    failed, before = 0, 0
    passed_over: list[str] = []
    done = DoneImages(out, judge)

    def left() -> Iterator[str]:
        nonlocal before
        for path in paths:
            for name in names_below(path, passed_over):
                while passed_over:
                    print(_said_of_suffix(passed_over.pop()), file=sys.stderr)
                if done.has(name):
                    before += 1
                else:
                    yield name
        while passed_over:
            print(_said_of_suffix(passed_over.pop()), file=sys.stderr)

    try:
        for names, found in workers.results(cut(left(), shard), lambda sentence: None):
            if isinstance(found, WorkerLost):
                found = [Looked(f"It ended whoever looked at it: {found}", failed=True)]
            for name, looked in zip(names, found, strict=True):
                failed += looked.failed
                if looked.failed:
                    print(f"{name}: {looked.said}", file=sys.stderr)
                else:
                    _keep(name, looked, out, done)
            done.save()
    finally:
        done.close()
    if before:
        print(f"{before} images were judged by the same before, and passed over; their masks are in {out}.")
    return 1 if failed else 0


def _keep(name: str, looked: Looked, out: Path, done: DoneImages) -> None:
    """Write the masks of an image, and that it is done with."""
    stem = done.begin(name)
    print(f"{name}: {looked.said}")
    written: Counter[str] = Counter()
    files = []
    for type_, score, png in looked.parts:
        written[type_] += 1
        path = out / f"{stem}.{_suffix(type_, written[type_])}.png"
        write_atomically(path, png)
        print(f"    {path}  {type_}, score {score:.2f}")
        files.append(path.name)
    done.add(name, stem, files)


def _suffix(type_: str, number: int) -> str:
    """What tells the mask of the first, second... part of its type from the image's others."""
    return re.sub(r"[^0-9A-Za-z_-]+", "_", type_) + (f"-{number}" if number > 1 else "")


def _said_of_suffix(name: str) -> str:
    suffix = Path(name).suffix
    return (
        f"{name} was passed over: {suffix} is not among the suffixes that folders are searched for. Name the file "
        "itself to have it taken."
    )
