"""Generated defects of a project: pictures that say that they are generated, and what was learned to paint them.

Folders ``projects/<id>/generated/<type>``, which any process may read. A picture is three files, the last of
which makes it one: ``generated-000012-mask.png``, ``generated-000012-sheet.jpg`` for the page, and
``generated-000012.png``, whose text says what it is. A discarded one is called ``generated-000012.discarded.png``.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adclick_backend.store.files.kept import Files, FilesError
from adclick_backend.store.projects import project_id
from model.checkpoint.atomic import sweep_leftovers
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
        kept: False when somebody discarded it.
        find: gives a file of its folder on this machine; raises OSError.
    """

    origin: Origin
    kept: bool
    find: Callable[[str], Path] = field(compare=False)

    @property
    def name(self) -> str:
        """The same for the same picture, whether discarded or not."""
        return f"generated-{self.origin.number:06d}"

    @property
    def path(self) -> Path:
        """Of the picture; raises OSError."""
        return self.find(_file_name(self.origin.number, kept=self.kept))

    def mask(self) -> NDArray[np.bool_]:
        """(H, W) bool, where the generator says that the defect is; raises OSError."""
        with Image.open(self.find(f"{self.name}-mask.png")) as image:
            return np.asarray(image) > 127

    def pixels(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB, also when it was discarded or put back meanwhile; raises OSError."""
        try:
            path = self.path
        except FileNotFoundError:
            path = self.find(_file_name(self.origin.number, kept=not self.kept))
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"), np.uint8)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width; raises OSError."""
        with Image.open(self.find(f"{self.name}-mask.png")) as image:
            return image.height, image.width

    @property
    def sheet(self) -> Path:
        """A small picture: the good image, the box in it, and what was painted; raises OSError."""
        return self.find(f"{self.name}-sheet.jpg")


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

    def __init__(self, files: Files) -> None:
        self._files = files

    # --- pictures

    def pictures(self, project: str, key: str) -> list[GeneratedPicture]:
        """The pictures of a type, by number; what is damaged, or was left half written, is left out."""
        found = {}
        for name in (names := set(self._files.names(_folder(project, key)))):
            named = _PICTURE.fullmatch(name)
            if named and f"{name[:16]}-mask.png" in names:
                picture = self._read(project, key, int(named[1]), kept=named[2] is None)
                if picture is not None:
                    found[int(named[1])] = picture
        return [found[number] for number in sorted(found)]

    def types(self, project: str) -> dict[str, str]:
        """Type -> its key, of every type of which something was learned, is wanted, or is there."""
        keys = self._files.names(_root(project))
        return {
            type: key
            for key in keys
            if _KEY.fullmatch(key) and (type := self._type_of(project, key)) is not None
        }

    def _type_of(self, project: str, key: str) -> str | None:
        for file in (_LOOK, _WANTED):
            if (about := self._json(project, key, file)) is not None:
                return str(about["type"])
        return next((picture.origin.type for picture in self.pictures(project, key)), None)

    def find(self, project: str, key: str, number: int) -> GeneratedPicture | None:
        """One picture; None when there is none."""
        for kept in (True, False):
            if (picture := self._read(project, key, number, kept=kept)) is not None:
                return picture
        return None

    def _read(self, project: str, key: str, number: int, *, kept: bool) -> GeneratedPicture | None:
        """A picture by what it says of itself; its pixels are not read. None without that, or without its mask."""
        folder = _folder(project, key)
        try:
            path = self._files.path(f"{folder}/{_file_name(number, kept=kept)}")
            self._files.path(f"{folder}/generated-{number:06d}-mask.png")
        except FileNotFoundError:
            return None
        told = read_stamp(path)
        try:
            origin = None if told is None else Origin(**{name: _as_tuple(told[name]) for name in _FIELDS})
        except KeyError:
            return None
        if origin is None:
            return None
        return GeneratedPicture(origin, kept, lambda name: self._files.path(f"{folder}/{name}"))

    def add(
        self, project: str, origin: Origin, pixels: NDArray[np.uint8], mask: NDArray[np.bool_], sheet: bytes
    ) -> None:
        """Keep a picture, (H, W, 3) uint8 RGB, with its mask, (H, W) bool, and its sheet, a JPEG file.

        Raises:
            OSError: it cannot be written, as when the disk is full; nothing of it counts then.
        """
        folder, stem = _folder(project, key_of_type(origin.type)), f"generated-{origin.number:06d}"
        if self._files.local:
            sweep_leftovers(self._files.place(folder))
        told = asdict(origin)
        for name, data in (
            (f"{stem}-mask.png", stamped_png(mask, told)),
            (f"{stem}-sheet.jpg", sheet),
            (_file_name(origin.number, kept=True), stamped_png(pixels, told)),
        ):
            self._files.put(f"{folder}/{name}", data, durable=False)

    def keep(self, project: str, key: str, number: int, *, kept: bool) -> bool:
        """Put a picture back or discard it; False when there is no such picture. Works on a full disk."""
        picture = self.find(project, key, number)
        if picture is None:
            return False
        if picture.kept != kept:
            folder = _folder(project, key)
            self._files.move(
                f"{folder}/{_file_name(number, kept=not kept)}", f"{folder}/{_file_name(number, kept=kept)}"
            )
        return True

    def delete(self, project: str, key: str) -> None:
        """Delete all that there is of a type, in one step for whoever looks."""
        if not self._files.local:
            self._files.delete(_folder(project, key))
            return
        folder, root = self._files.place(_folder(project, key)), self._files.place(_root(project))
        if folder.is_dir():
            folder.rename(root / f"{_REMOVED}{key}-{secrets.token_hex(4)}")
        for gone in root.glob(f"{_REMOVED}*"):
            shutil.rmtree(gone, ignore_errors=True)

    # --- what was learned

    def look(self, project: str, type: str) -> Look | None:
        """What was learned of a type; None when nothing was."""
        about = self._json(project, key_of_type(type), _LOOK)
        if about is None:
            return None
        try:
            return Look(**{**about, **{name: tuple(about[name]) for name in ("vector", "learned_from")}})
        except (KeyError, TypeError):
            return None

    def keep_look(self, project: str, look: Look) -> None:
        """Keep what was learned; raises OSError."""
        self._files.put(f"{_folder(project, key_of_type(look.type))}/{_LOOK}", _json(asdict(look)))

    # --- what a person asked for

    def want(self, project: str, type: str, count: int) -> None:
        """Write down for the job that so many pictures of a type are wanted that nobody discarded; raises OSError."""
        name = f"{_folder(project, key_of_type(type))}/{_WANTED}"
        self._files.put(name, _json({"type": type, "count": count}))

    def wanted(self, project: str) -> dict[str, int]:
        """Type -> how many pictures of it are wanted, of every type that the job has not done yet."""
        found = {}
        for key in self.types(project).values():
            if (about := self._json(project, key, _WANTED)) is not None:
                found[str(about["type"])] = int(about["count"])
        return dict(sorted(found.items()))

    def done(self, project: str, type: str, count: int) -> None:
        """So many pictures of the type are wanted no more; what was asked for since then still is."""
        if self.wanted(project).get(type) == count:
            self._files.delete(f"{_folder(project, key_of_type(type))}/{_WANTED}")

    def _json(self, project: str, key: str, file: str) -> dict[str, Any] | None:
        """What a small file of a type says; None when it is not there or says nothing."""
        try:
            found = json.loads(self._files.path(f"{_folder(project, key)}/{file}").read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        except FilesError:
            raise
        except OSError:
            return None
        return found if isinstance(found, dict) and "type" in found else None


def _root(project: str) -> str:
    return f"projects/{project_id(project)}/{FOLDER}"


def _folder(project: str, key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key[:80]!r} is no key of a type.")
    return f"{_root(project)}/{key}"


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


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode()
