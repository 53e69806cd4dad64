"""``adclick predict``: what would be proposed for image files, as masks on disk. Needs no Label Studio.

With ``--project`` the project's references and its trained version judge the images, with ``--references`` the normal
images of a folder alone.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from adclick_backend.answers.loadable import loadable_version
from adclick_backend.commands.project_arguments import add_data_dir, chosen_settings
from adclick_backend.commands.references import images_below, passed_over
from adclick_backend.engine.bank import EngineError, ImageKey, ReferenceBank
from adclick_backend.engine.engine import FEWEST_REFERENCES, Engine
from adclick_backend.errors import ImageError
from adclick_backend.images.task_images import LoadedImage
from adclick_backend.images.white_points import WhitePoints
from adclick_backend.references.collection import References
from adclick_backend.settings import Settings
from adclick_backend.store import Store, project_id
from adclick_backend.store.proposal_source import (
    NOTHING,
    PACKAGED,
    RESIDUAL,
    TRAINED,
    ProposalSource,
    words_of_source,
)
from adclick_backend.store.shelves import open_shelf
from adclick_backend.store.versions import Registry
from adclick_runtime.regions import Proposals, Region
from model.checkpoint.atomic import write_atomically


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``adclick predict``."""
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="image files or folders")
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
    try:
        with (
            _of_folder(settings, args.references) if args.references else _of_project(settings, args) as judge
        ):
            return _judge_all(judge, args.images, args.out)
    except (EngineError, ImageError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1


@dataclass(frozen=True)
class _Judge:
    """The engine with all that it judges images by."""

    engine: Engine
    bank: ReferenceBank
    asked: ProposalSource | None
    max_megapixels: float
    white_points: WhitePoints

    def look(self, path: Path) -> Proposals:
        """What is proposed for an image file."""
        image = LoadedImage(path.read_bytes(), self.max_megapixels)
        white = self.white_points.of_image(self.bank.project, self.bank.product, image)
        key = ImageKey(self.bank.project, image.sha256, white)
        return self.engine.propose(key, self.bank, lambda: image.read(white), self.asked)


@contextmanager
def _of_project(settings: Settings, args: argparse.Namespace) -> Iterator[_Judge]:
    project = project_id(args.project)
    engine, store = Engine(settings), Store(settings.data_dir, settings.database_url)
    try:
        references = References(store, settings)
        bank = references.bank(project, args.product)
        registry = Registry(
            settings.data_dir, engine.version, shelf=open_shelf(settings, store.values, store.locks)
        )
        loadable_version(project, registry, engine)  # what cannot be loaded is refused
        asked = registry.proposing(project)
        yield _Judge(engine, bank, asked, settings.max_megapixels, references.white_points)
    finally:
        store.close()


@contextmanager
def _of_folder(settings: Settings, folder: Path) -> Iterator[_Judge]:
    with tempfile.TemporaryDirectory(prefix="adclick-predict-") as place:
        alone = settings.model_copy(update={"data_dir": Path(place), "files_url": ""})
        engine, store = Engine(alone), Store(Path(place))
        try:
            white_points, shas = WhitePoints(store), set()
            files = [path for path, _ in images_below([folder])]
            for path in files:
                white_points.of_reference("0", "", LoadedImage(path.read_bytes(), settings.max_megapixels))
            white = white_points.of_references("0", "")
            for path in files:
                image = LoadedImage(path.read_bytes(), settings.max_megapixels)
                engine.encode_reference(ImageKey("0", image.sha256, white), image.read(white))
                shas.add(image.sha256)
            bank = ReferenceBank("0", "", tuple(sorted(shas)), white)
            yield _Judge(engine, bank, None, settings.max_megapixels, white_points)
        finally:
            store.close()


def _judge_all(judge: _Judge, paths: Sequence[Path], out: Path) -> int:
    if judge.engine.source(judge.bank, judge.asked) == NOTHING:
        print(
            f"There are {len(judge.bank.references)} references and no trained version: {FEWEST_REFERENCES} "
            "references are needed to tell what is usual.",
            file=sys.stderr,
        )
        return 1
    out.mkdir(parents=True, exist_ok=True)
    failed, stems = 0, set[str]()
    for sentence in passed_over(paths):
        print(sentence, file=sys.stderr)
    for path, _ in images_below(paths):
        try:
            found = judge.look(path)
        except (EngineError, ImageError, OSError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            failed += 1
            continue
        stem = path.stem if path.stem not in stems else f"{path.stem}-{len(stems)}"
        stems.add(stem)
        print(f"{path}: {_summary(found)}")
        written: Counter[str] = Counter()
        for region in found.regions:
            written[region.type] += 1
            path = _write(region, out, stem, written[region.type])
            print(f"    {path}  {region.type}, score {region.score:.2f}")
    return 1 if failed else 0


def _summary(found: Proposals) -> str:
    by = {
        TRAINED: "",
        PACKAGED: " (packaged network, not trained on this product)",
        RESIDUAL: " (residual only)",
    }
    said = by.get(found.source, f" ({words_of_source(found.source)}, learned from good images alone)")
    types = Counter(region.type for region in found.regions)
    what = ", ".join(f"{number} x {name}" if number > 1 else name for name, number in types.items())
    what = what or "nothing found"
    return f"{what}, certainty {found.score:.2f}{said}"


def _write(region: Region, out: Path, stem: str, number: int) -> Path:
    """Write the mask of the first, second... part of its type as PNG, 255 for the defect; answer where."""
    name = re.sub(r"[^0-9A-Za-z_-]+", "_", region.type) + (f"-{number}" if number > 1 else "")
    path = out / f"{stem}.{name}.png"
    pixels = region.mask.astype(np.uint8) * 255
    write_atomically(path, cv2.imencode(".png", pixels)[1].tobytes())
    return path
