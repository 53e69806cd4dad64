"""What judges image files without Label Studio: a project's references and version, or a folder of normal images."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from adclick_backend.answers.loadable import loadable_version
from adclick_backend.cluster.connection import ClusterError
from adclick_backend.commands.image_names import Images
from adclick_backend.commands.references import images_below
from adclick_backend.engine.bank import EngineError, ImageKey, ReferenceBank
from adclick_backend.engine.engine import Engine
from adclick_backend.engine.sources import FEWEST_REFERENCES, too_few
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
from adclick_runtime.regions import Proposals

_OPEN = ExitStack()
"""What a worker of a cluster holds until it ends."""


@dataclass(frozen=True)
class By:
    """What images are to be judged by: a project, or the normal images of a folder.

    Attributes:
        project: project id; "" for the folder.
        product: of the project.
        references: the folder.
    """

    project: str
    product: str = ""
    references: Path | None = None


@dataclass(frozen=True)
class Looked:
    """What came of one image.

    Attributes:
        said: what was found, or why the image could not be judged, as a sentence.
        failed: whether it could not.
        parts: type, score, and mask as PNG (255 for the defect) of each part that was found.
    """

    said: str
    failed: bool = False
    parts: tuple[tuple[str, float, bytes], ...] = ()


class ImageJudge:
    """The engine with all that it judges images by.

    Args:
        engine: the model.
        bank: references.
        asked: what proposes masks.
        max_megapixels: of an image.
        white_points: of 16-bit images.
    """

    def __init__(
        self,
        engine: Engine,
        bank: ReferenceBank,
        asked: ProposalSource | None,
        max_megapixels: float,
        white_points: WhitePoints,
    ) -> None:
        self._engine, self._bank, self._asked = engine, bank, asked
        self._max_megapixels, self._white_points = max_megapixels, white_points
        self._images = Images()

    @property
    def refusal(self) -> str:
        """Why nothing can be judged, as a sentence; "" when it can."""
        return too_few(self._bank) if self._engine.source(self._bank, self._asked) == NOTHING else ""

    @property
    def name(self) -> str:
        """The same wherever and whenever images are judged by the same, and never else."""
        weights = [] if self._asked is None else [self._asked.trained, self._asked.detector]
        named = [f"{path.parent.name}/{path.name}" if path else "" for path in weights]
        points = () if self._asked is None else (self._asked.name, self._asked.points)
        told = (
            self._engine.version,
            self._engine.source(self._bank, self._asked),
            named,
            points,
            self._bank.product,
        )
        banked = (sorted(self._bank.references), self._bank.white)
        return hashlib.sha256(repr((told, banked)).encode()).hexdigest()

    def __call__(self, names: list[str]) -> list[Looked]:
        """What comes of each image."""
        return [self._look(name) for name in names]

    def _look(self, name: str) -> Looked:
        try:
            image = LoadedImage(self._images.read(name), self._max_megapixels)
            white = self._white_points.of_image(self._bank.project, self._bank.product, image)
            key = ImageKey(self._bank.project, image.sha256, white)
            found = self._engine.propose(key, self._bank, lambda: image.read(white), self._asked)
        except (EngineError, ImageError, OSError) as error:
            return Looked(str(error), failed=True)
        pngs = (
            (part, cv2.imencode(".png", part.mask.astype(np.uint8) * 255)[1].tobytes())
            for part in found.regions
        )
        return Looked(_summary(found), parts=tuple((part.type, part.score, png) for part, png in pngs))


@contextmanager
def judge_of(settings: Settings, by: By) -> Iterator[ImageJudge]:
    """Open what judges images.

    Raises:
        EngineError, ImageError, OSError: with a sentence for a person.
    """
    with _of_folder(settings, by.references) if by.references else _of_project(settings, by) as judge:
        yield judge


def judge_there(settings: str, by: By, name: str) -> ImageJudge:
    """In a worker of a cluster: the judge that goes by this name.

    Args:
        settings: of the backend, as JSON.
        by: what images are judged by.
        name: of the judge of the process that asks.

    Raises:
        ClusterError: here it is another one.
    """
    judge = _OPEN.enter_context(judge_of(Settings.model_validate_json(settings), by))
    if judge.name != name:
        raise ClusterError(
            "What images are judged by is not the same on all nodes, or changed since the command began: run it again, "
            "it goes on where it stopped."
        )
    return judge


@contextmanager
def _of_project(settings: Settings, by: By) -> Iterator[ImageJudge]:
    project = project_id(by.project)
    engine, store = Engine(settings), Store(settings.data_dir, settings.database_url)
    try:
        references = References(store, settings)
        bank = references.bank(project, by.product)
        shelf = open_shelf(settings, store.values, store.locks)
        registry = Registry(settings.data_dir, engine.version, shelf=shelf)
        loadable_version(project, registry, engine)  # what cannot be loaded is refused
        asked = registry.proposing(project)
        yield ImageJudge(engine, bank, asked, settings.max_megapixels, references.white_points)
    finally:
        store.close()


@contextmanager
def _of_folder(settings: Settings, folder: Path) -> Iterator[ImageJudge]:
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
            yield ImageJudge(engine, bank, None, settings.max_megapixels, white_points)
        finally:
            store.close()


def _summary(found: Proposals) -> str:
    if found.source == NOTHING:
        return f"not judged: it is a reference itself, and fewer than {FEWEST_REFERENCES} others are there"
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
