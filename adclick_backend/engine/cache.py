"""What the engine keeps on disk: features of references, and prepared images."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from adclick_backend.engine import usual
from adclick_backend.engine.bank import ReferenceBank
from adclick_backend.engine.lru import WeightedLru
from adclick_backend.engine.usual import Measurement, SharedUsual, Usual
from adclick_backend.images import decode
from adclick_backend.store.projects import KeyValueTable
from adclick_backend.store.scratch import ScratchFile
from adclick_runtime.images import deep, transparency, upright
from model.checkpoint.atomic import sweep_leftovers, write_atomically
from model.checkpoint.sources import PREPARING, fingerprint

if TYPE_CHECKING:
    from torch import Tensor

    from model.evidence.prepared import Prepared
    from model.features.encoding import Encoded

PREPARED = ("static", "scales", "vectors", "log_energies")
"""Of a prepared image, beside its levels."""

LAST = "channels_last"
"""Kept with a prepared image: the names of the maps whose channels come last in memory."""

STALE_S = 86400.0
"""Files of another network are kept for so long after they were used last: somebody may go back to it."""

EXPECTED_BYTES = 7_500_000
"""Of a prepared square image, while there is none to be measured."""

_FEATURES = ".features.safetensors"
"""What the name of a reference's file ends in."""

_CODE = (
    Path(__file__),
    Path(usual.__file__),
    Path(decode.__file__),
    Path(deep.__file__),
    Path(transparency.__file__),
    Path(upright.__file__),
)
"""Beside the rooms of the model: what keeps files here, and what makes pixels of an image file."""

_DESCRIPTORS_VERSION = 1  # raised with every change of the table
_DESCRIPTORS = "CREATE TABLE descriptors (sha TEXT PRIMARY KEY, descriptor BLOB NOT NULL)"


@cache
def layout(long_side: int) -> str:
    """Changes with the code that makes what is kept or keeps it, and with the size at which images are looked at."""
    code = sha256(b"".join(path.read_bytes() for path in _CODE)).hexdigest()
    return sha256(f"{fingerprint(PREPARING)} {code} {long_side}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class DiskRoom:
    """What the cache on disk holds and may hold, in bytes.

    Attributes:
        capacity: that the settings allow for all projects together.
        held: by everything that is kept.
        references: by the features of references, of all projects.
        own: by the prepared images of one project.
        each: a prepared image of that project takes, on average.
    """

    capacity: int
    held: int
    references: int
    own: int
    each: int

    @property
    def images(self) -> int:
        """How many prepared images of the project fit, those that are there already among them."""
        return max(0, self.capacity - (self.held - self.own)) // self.each


class FeatureFiles:
    """Features of references and prepared images of each project, below ``data_dir/projects/<id>/cache/<key>``.

    What places were matched for, prepared images and usual levels, belongs to one number format.

    All of it can be computed again, so whatever cannot be read counts as absent, and what was not used for longest
    goes when there is too much. What lies under other keys goes when nobody used it for a day. Descriptors are small
    and all needed at once, so they lie in one SQLite file.

    Args:
        data_dir: data folder of the backend.
        key: of the network, and of the :func:`layout` of what it makes.
        capacity_mb: of all projects together.
        number_format: in which places are matched.
    """

    def __init__(self, data_dir: Path, key: str, capacity_mb: int, number_format: str = "float32"):
        self._data_dir, self._key, self._capacity = data_dir, key, capacity_mb << 20
        self._number_format = number_format
        self._written, self._swept = 0, float("-inf")
        self._matrices: WeightedLru[str, NDArray[np.float32]] = WeightedLru(256 << 20)
        self._databases: dict[str, ScratchFile] = {}
        self._unkept: WeightedLru[Path, dict[str, Measurement]] = WeightedLru(1000)
        self.shared: KeyValueTable | None = None
        """Where several machines keep what is usual, as images look different by it; None: in files."""

    def folder(self, project: str) -> Path:
        """The cache of one project, created if need be, and if that can be done."""
        folder = self._data_dir / "projects" / project / "cache" / self._key
        with suppress(OSError):  # what is kept there can be computed again
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    # --- references

    def has(self, project: str, sha: str) -> bool:
        """Whether the features and the descriptor of a reference are there."""
        if not self._path(project, sha, "features").exists():
            return False
        found = self._database(project).read(
            lambda database: database.execute("SELECT 1 FROM descriptors WHERE sha = ?", (sha,)).fetchone()
        )
        return found is not None

    def save(self, project: str, sha: str, encoded: Encoded) -> None:
        """Keep the features of a reference."""
        self._write(self._path(project, sha, "features"), _packed(encoded))
        blob = encoded.descriptor.cpu().numpy().astype(np.float16).tobytes()
        self._database(project).write(
            lambda database: database.execute("INSERT OR REPLACE INTO descriptors VALUES (?, ?)", (sha, blob))
        )

    def load(self, project: str, sha: str) -> Encoded | None:
        """The features of a reference without its stride-2 map, which matching does not need; None when absent."""
        tensors = self._read(self._path(project, sha, "features"))
        if tensors is None or not {"colour", "stride4", "stride8", "stride16"} <= tensors.keys():
            return None
        return _unpacked(tensors)

    def descriptors(
        self, project: str, fingerprint: str, shas: Sequence[str], recompute: Callable[[str, str], None]
    ) -> NDArray[np.float32]:
        """The descriptors (N, D) of a bank, in the order of ``shas``; missing ones are computed again."""
        if (cached := self._matrices.get(fingerprint)) is not None:
            return cached
        rows = self._rows(project)
        for sha in shas:
            if sha not in rows:
                recompute(project, sha)
        if any(sha not in rows for sha in shas):
            rows = self._rows(project)
        matrix = np.stack([np.frombuffer(rows[sha], np.float16) for sha in shas]).astype(np.float32)
        self._matrices.put(fingerprint, matrix, matrix.nbytes)
        return matrix

    def _rows(self, project: str) -> dict[str, bytes]:
        return self._database(project).read(
            lambda database: dict(database.execute("SELECT sha, descriptor FROM descriptors"))
        )

    def _database(self, project: str) -> ScratchFile:
        path = self.folder(project) / "descriptors.sqlite"
        return self._databases.setdefault(project, ScratchFile(path, _DESCRIPTORS_VERSION, _DESCRIPTORS))

    # --- prepared images

    def save_prepared(
        self,
        project: str,
        sha: str,
        fingerprint: str,
        prepared: Prepared,
        shape: tuple[int, int],
        nearest: tuple[str, ...],
    ) -> None:
        """Keep a prepared image (:meth:`model.evidence.prepared.Prepared.kept`) of ``shape`` (height, width).

        ``nearest`` are the references that it was compared with, as SHA-256 in hexadecimal.
        """
        import torch

        maps = {f"level.{k}": v for k, v in prepared.levels.items()}
        tensors = _laid_flat(maps | {k: getattr(prepared, k) for k in PREPARED})
        tensors |= {"shape": torch.tensor(shape)}
        tensors["nearest"] = torch.tensor(list(bytes.fromhex("".join(nearest))), dtype=torch.uint8)
        self._write(self._path(project, f"{sha}-{fingerprint}", "prepared"), tensors)

    def has_prepared(self, project: str, sha: str, fingerprint: str) -> bool:
        """Whether a prepared image is there; it counts as used now."""
        try:
            os.utime(self._path(project, f"{sha}-{fingerprint}", "prepared"))
        except OSError:
            return False
        return True

    def room(self, project: str) -> DiskRoom:
        """How much is kept of all projects, and of the prepared images of one."""
        held = own = images = references = 0
        folder = self.folder(project)
        for path in self._data_dir.glob("projects/*/cache/*/*.safetensors"):
            try:
                size = path.stat().st_size
            except FileNotFoundError:
                continue
            held += size
            if path.name.endswith(_FEATURES):
                references += size
            elif path.parent == folder:
                own, images = own + size, images + 1
        each = own // images if images else EXPECTED_BYTES
        return DiskRoom(self._capacity, held, references, own, each)

    def load_prepared(
        self, project: str, sha: str, fingerprint: str
    ) -> tuple[Prepared, tuple[int, int], tuple[str, ...]] | None:
        """A prepared image, its shape, and the references it was compared with; or None."""
        from model.evidence.prepared import DISCRIMINANT, LEVELS, Prepared

        tensors = self._read(self._path(project, f"{sha}-{fingerprint}", "prepared"))
        if tensors is None or not {*PREPARED, LAST, "shape", "nearest"} <= tensors.keys():
            return None
        tensors = _as_laid(tensors)
        levels = {k.removeprefix("level."): v for k, v in tensors.items() if k.startswith("level.")}
        if levels.keys() != ({*LEVELS, DISCRIMINANT} if tensors["scales"].numel() else set()):
            return None
        height, width = (int(v) for v in tensors["shape"])
        maps = (tensors[k] for k in ("scales", "vectors", "log_energies"))
        nearest = bytes(tensors["nearest"].tolist()).hex()
        shas = tuple(nearest[i : i + 64] for i in range(0, len(nearest), 64))
        return Prepared(tensors["static"], levels, *maps), (height, width), shas

    # --- what is usual

    def usual(self, project: str, product: str) -> Usual:
        """What was measured of a bank so far."""
        if self.shared is not None:
            return SharedUsual(self.shared, project, f"{self._key}-{product}", self._number_format)
        return Usual(self.folder(project), product, self._number_format, self._unkept)

    def normal(self, bank: ReferenceBank, measured: Callable[[], dict[str, float]]) -> dict[str, float]:
        """What energies are usual in a bank, by name.

        For several machines that is what the first of them to ask has `measured`, as long as the references are the
        same: whichever opens an image, it looks the same.
        """
        if self.shared is None:
            return measured()
        key = f"normal-{self._key}-{self._number_format}-{bank.fingerprint}"
        known = self.shared.get(bank.project, key)
        if known is None:
            known = self.shared.get_or_add(bank.project, key, json.dumps(measured()))
        found: dict[str, float] = json.loads(known)
        return found

    # --- files

    def _path(self, project: str, name: str, kind: Literal["features", "prepared"]) -> Path:
        matched_in = "" if kind == "features" else f"-{self._number_format}"
        return self.folder(project) / f"{name}{matched_in}.{kind}.safetensors"

    def _write(self, path: Path, tensors: dict[str, Tensor]) -> None:
        from safetensors.torch import save

        data = save({k: v.contiguous().cpu() for k, v in tensors.items()})
        try:
            write_atomically(path, data, durable=False)
        except OSError:  # a full disk costs time, not masks
            return
        if time.monotonic() - self._swept > STALE_S:
            self._swept = time.monotonic()
            self._sweep()
        self._written += len(data)
        if self._written > self._capacity // 10:
            self._written = 0
            self._trim()

    def _read(self, path: Path) -> dict[str, Tensor] | None:
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            data = path.read_bytes()
            with suppress(OSError):  # on a disk that is read-only nothing is deleted either
                os.utime(path)
            return load(data)
        except (OSError, SafetensorError):
            return None

    def _sweep(self) -> None:
        """Delete what other networks and other releases left, once nothing of it was used for a day."""
        for folder in self._data_dir.glob("projects/*/cache/*"):
            if folder.name == self._key:
                continue
            times = []
            for path in (folder, *folder.glob("*")):
                with suppress(FileNotFoundError):  # another process sweeps too
                    times.append(path.stat().st_mtime)  # a file's is set when it is read
            if times and time.time() - max(times) > STALE_S:
                shutil.rmtree(folder, ignore_errors=True)

    def _trim(self) -> None:
        """Delete what was not used for longest until the cache of all projects fits."""
        files = []  # references go last: every image is compared with them
        for folder in self._data_dir.glob("projects/*/cache/*"):
            sweep_leftovers(folder)
        for path in self._data_dir.glob("projects/*/cache/*/*.safetensors"):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            files.append((path.name.endswith(_FEATURES), status.st_mtime, status.st_size, path))
        excess = sum(size for _, _, size, _ in files) - self._capacity
        for _, _, size, path in sorted(files):
            if excess <= 0:
                break
            path.unlink(missing_ok=True)
            excess -= size


def _packed(encoded: Encoded) -> dict[str, Tensor]:
    """Features as they are kept: without the stride-2 map, in half precision."""
    tensors = {"colour": (encoded.colour * 255).round().byte()}
    tensors |= {f"stride{s}": m.half() for s, m in encoded.pyramid.items() if s > 2}
    return {name: maps.contiguous().cpu() for name, maps in tensors.items()}


def _unpacked(tensors: dict[str, Tensor]) -> Encoded:
    from model.features.encoding import Encoded, describe

    pyramid = {s: tensors[f"stride{s}"].float() for s in (4, 8, 16)}
    return Encoded(tensors["colour"].float() / 255, pyramid, describe(pyramid))


def as_kept(encoded: Encoded) -> Encoded:
    """Features as they are found again when they were kept: nothing may depend on whether they still lie there."""
    return _unpacked(_packed(encoded))


def _laid_flat(maps: dict[str, Tensor]) -> dict[str, Tensor]:
    """Maps (B, C, h, w) in the order in which their numbers lie in memory, and whose channels are last: sums of them
    depend on that order."""
    import torch

    last = [
        name
        for name, values in maps.items()
        if values.is_contiguous(memory_format=torch.channels_last) and not values.is_contiguous()
    ]
    flat = {name: values.permute(0, 2, 3, 1) if name in last else values for name, values in maps.items()}
    return flat | {LAST: torch.tensor(list("\n".join(last).encode()), dtype=torch.uint8)}


def _as_laid(flat: dict[str, Tensor]) -> dict[str, Tensor]:
    """What `_laid_flat` was given, among other tensors."""
    last = bytes(flat[LAST].tolist()).decode().split("\n")
    return {name: values.permute(0, 3, 1, 2) if name in last else values for name, values in flat.items()}
