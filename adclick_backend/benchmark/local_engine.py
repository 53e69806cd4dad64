"""The server's engine in this process, for measuring: the code behind every click, without HTTP around it.

Probability maps do not travel through Label Studio's protocol, and an engine on each core gets through more images than
one server. What HTTP costs is measured by :mod:`adclick_backend.latency.bench`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from adclick_backend.benchmark.protocol import Answer, Segment
from adclick_backend.engine.bank import ImageKey, ReferenceBank
from adclick_backend.engine.engine import Engine
from adclick_backend.images.decode import Pixels, decode_image
from adclick_backend.images.white_points import white_of_files
from adclick_backend.lock_file import locked
from adclick_backend.settings import Settings, get_settings
from model.clicks import Click

if TYPE_CHECKING:
    from model.interactive.config import ClickConfig


class LocalEngine:
    """An engine on a data folder that several processes of one benchmark share.

    Args:
        folder: data folder, for nothing else.
        checkpoint: weights; default: those that ship.
        config: how clicks are answered, where it is not as usual.
        number_format: that is asked for; default: that of the settings.
        settings: of the backend; default: from the environment.

    It computes with one thread: two processes of one thread are quicker than one of two.
    """

    def __init__(
        self,
        folder: Path,
        checkpoint: Path | None = None,
        config: ClickConfig | None = None,
        number_format: str | None = None,
        settings: Settings | None = None,
    ) -> None:
        changes: dict[str, object] = {
            "data_dir": folder,
            "files_url": "",
            "checkpoint": checkpoint,
            "detector": None,
            "model_threads": 1,
        }
        if number_format is not None:
            changes["number_format"] = number_format
        self._settings = (settings or get_settings()).model_copy(update=changes)
        self.engine = Engine(self._settings, config=config)
        self._banks: dict[tuple[str, tuple[Path, ...]], ReferenceBank] = {}

    def bank(self, project: str, files: Sequence[Path], white: int | None = None) -> ReferenceBank:
        """The references of a project, ready as a server has them once its leave-one-out check is through.

        Args:
            project: digits; always with the same files.
            files: defect-free images. An image that is measured never counts among its own references.
            white: value of 16-bit pixels that becomes 255; by default what suits these files.
        """
        known = self._banks.get((project, tuple(files)))
        if known is not None:
            return known
        if white is None:
            white = white_of_files(files, max_megapixels=self._settings.max_megapixels)
        shas = sorted({self._keep(project, file) for file in files})
        bank = ReferenceBank(project, "", tuple(shas), white)
        folder = self._folder(project)
        with locked(folder / "lock"):
            ready = folder / "ready"
            if not ready.exists():
                for sha in shas:
                    kept = next(folder.glob(f"{sha}.*"))
                    self.engine.encode_reference(bank.key(sha), self._pixels(kept.read_bytes(), white))
                self.engine.leave_one_out(bank)
                ready.touch()
        self._banks[project, tuple(files)] = bank
        return bank

    def open(self, bank: ReferenceBank, file: Path) -> Segment:
        """Open an image; it is prepared by the first click."""
        data = file.read_bytes()
        key = ImageKey(bank.project, hashlib.sha256(data).hexdigest(), bank.white)

        def segment(clicks: Sequence[Click]) -> Answer:
            found = self.engine.click(key, bank, lambda: self._pixels(data, bank.white), clicks)
            return Answer(found.mask, found.probability, found.score)

        return segment

    def _keep(self, project: str, file: Path) -> str:
        """Link a file where the engine looks for the images of references; its SHA-256."""
        sha = hashlib.sha256(file.read_bytes()).hexdigest()
        link = self._folder(project) / f"{sha}{file.suffix.lower()}"
        with suppress(FileExistsError):  # another process may be at the same one
            link.symlink_to(file.resolve())
        return sha

    def _folder(self, project: str) -> Path:
        folder = self._settings.data_dir / "projects" / project / "references"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _pixels(self, data: bytes, white: int) -> Pixels:
        return decode_image(data, max_megapixels=self._settings.max_megapixels, white=white)
