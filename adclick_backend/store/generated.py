"""Generated defects of a project: pictures that say that they are generated, and what was learned to paint them.

Folders ``data_dir/projects/<id>/generated/<type>``, which any process may read. A picture is three files, the last of
which makes it one: ``generated-000012-mask.png``, ``generated-000012-sheet.jpg`` for the page, and
``generated-000012.png``, whose text says what it is. A discarded one is called ``generated-000012.discarded.png``.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adclick_backend.store.projects import project_id
from model.checkpoint.atomic import sweep_leftovers, write_atomically
from model.generation.anogen.stamp import read_stamp, stamped_png

FOLDER = "generated"

NOTHING_LEFT = "Nothing was left to generate."
"""How a job ends that finds everything done by the one before it."""

_LOOK, _WANTED, _REMOVED = "look.json", "wanted.json", ".removed-"
_PICTURE = re.compile(r"generated-(\d{6})(\.discarded)?\.png")
_KEY = re.compile(r"[a-z0-9-]{1,80}")


@dataclass(frozen=True)
class Origin:
    """How a picture came about, which is enough to make it again.

    Attributes:
        type: defect type.
        number: in the series of the type, from 0.
        seed: of the painting.
        box: left, top, right, bottom, in its pixels: outside of it the picture is the host to the last bit.
        host: SHA-256 of the reference that it was painted on.
        product: of the host.
        white: 16-bit value that became 255 in the host; 0 for an image of 8 bits.
        generator: name and weights of what painted.
        learned_from: SHA-256 of the labelled images that the look of the type was learned from.
    """

    type: str
    number: int
    seed: int
    box: tuple[int, int, int, int]
    host: str
    product: str
    white: int
    generator: str
    learned_from: tuple[str, ...]


_FIELDS = tuple(field.name for field in fields(Origin))


@dataclass(frozen=True)
class GeneratedPicture:
    """One picture.

    Attributes:
        origin: how it came about.
        path: of the picture.
        kept: False when somebody discarded it.
    """

    origin: Origin
    path: Path
    kept: bool

    @property
    def name(self) -> str:
        """The same for the same picture, whether discarded or not."""
        return f"generated-{self.origin.number:06d}"

    def mask(self) -> NDArray[np.bool_]:
        """(H, W) bool, where the generator says that the defect is; raises OSError."""
        with Image.open(self.path.with_name(f"{self.name}-mask.png")) as image:
            return np.asarray(image) > 127

    def pixels(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB, also when it was discarded or put back meanwhile; raises OSError."""
        other = self.path.with_name(_file_name(self.origin.number, kept=not self.kept))
        with Image.open(self.path if self.path.exists() else other) as image:
            return np.asarray(image.convert("RGB"), np.uint8)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width; raises OSError."""
        with Image.open(self.path.with_name(f"{self.name}-mask.png")) as image:
            return image.height, image.width

    @property
    def sheet(self) -> Path:
        """A small picture: the good image, the box in it, and what was painted."""
        return self.path.with_name(f"{self.name}-sheet.jpg")


@dataclass(frozen=True)
class Look:
    """What was learned of the look of a type, for one generator.

    Attributes:
        type: defect type.
        generator: the only one that can read the vector.
        vector: of the type.
        loss: at the end of the learning.
        steps: of it.
        seconds: that it took.
        learned_from: SHA-256 of the labelled images.
        fingerprint: of these images and their masks; another one is learned anew.
    """

    type: str
    generator: str
    vector: tuple[float, ...]
    loss: float
    steps: int
    seconds: float
    learned_from: tuple[str, ...]
    fingerprint: str


class GeneratedFiles:
    """The generated pictures of all projects."""

    def __init__(self, data_dir: Path) -> None:
        self._projects = data_dir / "projects"

    # --- pictures

    def pictures(self, project: str, key: str) -> list[GeneratedPicture]:
        """The pictures of a type, by number; what is damaged, or was left half written, is left out."""
        found = {}
        folder = self._folder(project, key)
        for path in folder.iterdir() if folder.is_dir() else ():
            named = _PICTURE.fullmatch(path.name)
            if named and (origin := _read_origin(path)) is not None:
                found[int(named[1])] = GeneratedPicture(origin, path, named[2] is None)
        return [found[number] for number in sorted(found)]

    def types(self, project: str) -> dict[str, str]:
        """Type -> its key, of every type of which something was learned, is wanted, or is there."""
        root = self._root(project)
        keys = sorted(folder.name for folder in (root.iterdir() if root.is_dir() else ()))
        return {
            type: key
            for key in keys
            if _KEY.fullmatch(key) and (type := self._type_of(project, key)) is not None
        }

    def _type_of(self, project: str, key: str) -> str | None:
        for file in (_LOOK, _WANTED):
            if (about := _read_json(self._folder(project, key) / file)) is not None:
                return str(about["type"])
        return next((picture.origin.type for picture in self.pictures(project, key)), None)

    def find(self, project: str, key: str, number: int) -> GeneratedPicture | None:
        """One picture; None when there is none."""
        folder = self._folder(project, key)
        for kept in (True, False):
            path = folder / _file_name(number, kept=kept)
            if (origin := _read_origin(path)) is not None:
                return GeneratedPicture(origin, path, kept)
        return None

    def add(
        self, project: str, origin: Origin, pixels: NDArray[np.uint8], mask: NDArray[np.bool_], sheet: bytes
    ) -> None:
        """Keep a picture, (H, W, 3) uint8 RGB, with its mask, (H, W) bool, and its sheet, a JPEG file.

        Raises:
            OSError: it cannot be written, as when the disk is full; nothing of it counts then.
        """
        folder, stem = self._folder(project, key_of_type(origin.type)), f"generated-{origin.number:06d}"
        folder.mkdir(parents=True, exist_ok=True)
        sweep_leftovers(folder)
        told = asdict(origin)
        for name, data in (
            (f"{stem}-mask.png", stamped_png(mask, told)),
            (f"{stem}-sheet.jpg", sheet),
            (_file_name(origin.number, kept=True), stamped_png(pixels, told)),
        ):
            write_atomically(folder / name, data, durable=False)

    def keep(self, project: str, key: str, number: int, *, kept: bool) -> bool:
        """Put a picture back or discard it; False when there is no such picture. Works on a full disk."""
        picture = self.find(project, key, number)
        if picture is None:
            return False
        picture.path.replace(picture.path.with_name(_file_name(number, kept=kept)))
        return True

    def delete(self, project: str, key: str) -> None:
        """Delete all that there is of a type, in one step for whoever looks."""
        folder, root = self._folder(project, key), self._root(project)
        if folder.is_dir():
            folder.rename(root / f"{_REMOVED}{key}-{secrets.token_hex(4)}")
        for gone in root.glob(f"{_REMOVED}*"):
            shutil.rmtree(gone, ignore_errors=True)

    # --- what was learned

    def look(self, project: str, type: str) -> Look | None:
        """What was learned of a type; None when nothing was."""
        about = _read_json(self._folder(project, key_of_type(type)) / _LOOK)
        if about is None:
            return None
        try:
            return Look(**{**about, **{name: tuple(about[name]) for name in ("vector", "learned_from")}})
        except (KeyError, TypeError):
            return None

    def keep_look(self, project: str, look: Look) -> None:
        """Keep what was learned; raises OSError."""
        write_atomically(self._folder(project, key_of_type(look.type)) / _LOOK, _json(asdict(look)))

    # --- what a person asked for

    def want(self, project: str, type: str, count: int) -> None:
        """Write down for the job that so many pictures of a type are wanted that nobody discarded; raises OSError."""
        path = self._folder(project, key_of_type(type)) / _WANTED
        write_atomically(path, _json({"type": type, "count": count}))

    def wanted(self, project: str) -> dict[str, int]:
        """Type -> how many pictures of it are wanted, of every type that the job has not done yet."""
        found = {}
        for key in self.types(project).values():
            if (about := _read_json(self._folder(project, key) / _WANTED)) is not None:
                found[str(about["type"])] = int(about["count"])
        return dict(sorted(found.items()))

    def done(self, project: str, type: str, count: int) -> None:
        """So many pictures of the type are wanted no more; what was asked for since then still is."""
        if self.wanted(project).get(type) == count:
            (self._folder(project, key_of_type(type)) / _WANTED).unlink(missing_ok=True)

    def _root(self, project: str) -> Path:
        return self._projects / project_id(project) / FOLDER

    def _folder(self, project: str, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key[:80]!r} is no key of a type.")
        return self._root(project) / key


def key_of_type(type: str) -> str:
    """The name of a type's folder: readable, and of no other type."""
    words = re.sub(r"[^a-z0-9]+", "-", type.lower()).strip("-")[:40]
    return f"{words or 'defect'}-{sha256(type.encode()).hexdigest()[:8]}"


def kept_pictures(files: GeneratedFiles, project: str) -> Iterator[GeneratedPicture]:
    """Every picture of a project that nobody discarded, type by type."""
    for _, key in sorted(files.types(project).items()):
        yield from (picture for picture in files.pictures(project, key) if picture.kept)


def _file_name(number: int, *, kept: bool) -> str:
    return f"generated-{number:06d}{'' if kept else '.discarded'}.png"


def _read_origin(path: Path) -> Origin | None:
    """What a picture says of itself; its pixels are not read. None when it says nothing, or its mask is not there."""
    if not path.with_name(f"{path.name[:16]}-mask.png").is_file():
        return None
    told = read_stamp(path)
    try:
        return None if told is None else Origin(**{name: _as_tuple(told[name]) for name in _FIELDS})
    except KeyError:
        return None


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "type" in found else None


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode()
