"""What the engine keeps: prepared images in memory, features and prepared images on disk."""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypedDict, TypeVar

import numpy as np
from numpy.typing import NDArray

from adclick_backend.store.scratch import ScratchFile

if TYPE_CHECKING:
    from torch import Tensor

    from model.evidence.prepared import Prepared
    from model.features.encoding import Encoded

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_DESCRIPTORS_VERSION = 1  # raised with every change of the table
_DESCRIPTORS = "CREATE TABLE descriptors (sha TEXT PRIMARY KEY, descriptor BLOB NOT NULL)"


class WeightedLru(Generic[K, V]):
    """A thread-safe cache that forgets what was used longest ago when it holds too many bytes."""

    def __init__(self, capacity: int):
        self._capacity, self._held = capacity, 0
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._flights: dict[K, tuple[threading.Lock, int]] = {}
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """The value, or None."""
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key][0]

    def put(self, key: K, value: V, weight: int) -> None:
        """Keep a value of ``weight`` bytes; the newest one is kept whatever it weighs."""
        with self._lock:
            if key in self._entries:
                self._held -= self._entries.pop(key)[1]
            self._entries[key] = (value, weight)
            self._held += weight
            while self._held > self._capacity and len(self._entries) > 1:
                self._held -= self._entries.popitem(last=False)[1][1]

    @contextmanager
    def flight(self, key: K) -> Iterator[None]:
        """Let one thread at a time work out the value of ``key``; the others wait and then find it."""
        with self._lock:
            lock, waiting = self._flights.get(key, (threading.Lock(), 0))
            self._flights[key] = (lock, waiting + 1)
        try:
            with lock:
                yield
        finally:
            with self._lock:
                lock, waiting = self._flights.pop(key)
                if waiting > 1:
                    self._flights[key] = (lock, waiting - 1)


class FeatureFiles:
    """Features of references and prepared images of each project, below ``data_dir/projects/<id>/cache/<version>``.

    All of it can be computed again, so whatever cannot be read counts as absent, and what was not used for longest
    goes when there is too much. Descriptors are small and all needed at once, so they lie in one SQLite file.
    """

    def __init__(self, data_dir: Path, version: str, capacity_mb: int):
        self._data_dir, self._version, self._capacity = data_dir, version, capacity_mb << 20
        self._written = 0
        self._matrices: WeightedLru[str, NDArray[np.float32]] = WeightedLru(256 << 20)

    def folder(self, project: str) -> Path:
        """The cache of one project, created if need be."""
        folder = self._data_dir / "projects" / project / "cache" / self._version
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
        tensors = {"colour": (encoded.colour * 255).round().byte()}
        tensors |= {f"stride{s}": m.half() for s, m in encoded.pyramid.items() if s > 2}
        self._write(self._path(project, sha, "features"), tensors)
        blob = encoded.descriptor.cpu().numpy().astype(np.float16).tobytes()
        self._database(project).write(
            lambda database: database.execute("INSERT OR REPLACE INTO descriptors VALUES (?, ?)", (sha, blob))
        )

    def load(self, project: str, sha: str) -> Encoded | None:
        """The features of a reference without its stride-2 map, which matching does not need; None when absent."""
        from model.features.encoding import Encoded, describe

        tensors = self._read(self._path(project, sha, "features"))
        if tensors is None:
            return None
        pyramid = {s: tensors[f"stride{s}"].float() for s in (4, 8, 16)}
        return Encoded(tensors["colour"].float() / 255, pyramid, describe(pyramid))

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
        return ScratchFile(self.folder(project) / "descriptors.sqlite", _DESCRIPTORS_VERSION, _DESCRIPTORS)

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

        tensors = {f"level.{k}": v for k, v in prepared.levels.items()}
        tensors |= {k: getattr(prepared, k) for k in ("static", "vectors", "log_energies")}
        tensors |= {"scales": prepared.scales, "shape": torch.tensor(shape)}
        tensors["nearest"] = torch.tensor(list(bytes.fromhex("".join(nearest))), dtype=torch.uint8)
        self._write(self._path(project, f"{sha}-{fingerprint}", "prepared"), tensors)

    def load_prepared(
        self, project: str, sha: str, fingerprint: str
    ) -> tuple[Prepared, tuple[int, int], tuple[str, ...]] | None:
        """A prepared image, its shape, and the references it was compared with; or None."""
        from model.evidence.prepared import Prepared

        tensors = self._read(self._path(project, f"{sha}-{fingerprint}", "prepared"))
        if tensors is None or "nearest" not in tensors:  # an earlier release did not keep it
            return None
        levels = {k.removeprefix("level."): v for k, v in tensors.items() if k.startswith("level.")}
        height, width = (int(v) for v in tensors["shape"])
        maps = (tensors[k] for k in ("scales", "vectors", "log_energies"))
        nearest = bytes(tensors["nearest"].tolist()).hex()
        shas = tuple(nearest[i : i + 64] for i in range(0, len(nearest), 64))
        return Prepared(tensors["static"], levels, *maps), (height, width), shas

    # --- files

    def _path(self, project: str, name: str, kind: str) -> Path:
        return self.folder(project) / f"{name}.{kind}.safetensors"

    def _write(self, path: Path, tensors: dict[str, Tensor]) -> None:
        from safetensors.torch import save

        data = save({k: v.contiguous().cpu() for k, v in tensors.items()})
        temporary = path.with_name(f".{secrets.token_hex(8)}")
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        except OSError:  # a full disk costs time, not masks
            temporary.unlink(missing_ok=True)
            return
        self._written += len(data)
        if self._written > self._capacity // 10:
            self._written = 0
            self._trim()

    def _read(self, path: Path) -> dict[str, Tensor] | None:
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            data = path.read_bytes()
            os.utime(path)
            return load(data)
        except (OSError, SafetensorError):
            return None

    def _trim(self) -> None:
        """Delete what was not used for longest until the cache of all projects fits."""
        files = []
        for path in self._data_dir.glob("projects/*/cache/*/*.safetensors"):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            files.append((status.st_mtime, status.st_size, path))
        excess = sum(size for _, size, _ in files) - self._capacity
        for _, size, path in sorted(files):
            if excess <= 0:
                break
            path.unlink(missing_ok=True)
            excess -= size


class _Measurement(TypedDict):
    count: int  # references in the bank then
    levels: dict[str, float]


class Usual:
    """What residual energies are usual in a bank: measured on some of its references, kept in a JSON file.

    A measurement is repeated when the bank has more than doubled since, because energies fall as a bank grows.
    Opening images measures a few, the leave-one-out check all of them.
    """

    ENOUGH = 2

    def __init__(self, folder: Path, product: str):
        self._path = folder / f"levels-{sha256(product.encode()).hexdigest()[:16]}.json"

    def wanted(self, references: Sequence[str], enough: int = ENOUGH) -> str | None:
        """A reference that should be measured next, or None when there are enough measurements."""
        known = self._fresh(references)
        if len(known) >= min(enough, len(references)):
            return None
        return next(sha for sha in references if sha not in known)

    def put(self, levels: dict[str, dict[str, float]], count: int) -> None:
        """Keep measurements, by reference, made in a bank of ``count`` references."""
        new = {sha: _Measurement(count=count, levels=found) for sha, found in levels.items()}
        entries = {**self._read(), **new}
        temporary = self._path.with_name(f".{secrets.token_hex(8)}")
        temporary.write_text(json.dumps(entries))
        temporary.replace(self._path)

    def every(self, references: Sequence[str], name: str) -> list[float]:
        """The measured levels of one energy, of each present reference that was measured."""
        return [levels[name] for levels in self._fresh(references).values()]

    def mean(self, references: Sequence[str]) -> dict[str, float]:
        """The mean over the measurements of the present references, by name of the energy."""
        known = list(self._fresh(references).values())
        return {name: sum(levels[name] for levels in known) / len(known) for name in known[0]}

    def _fresh(self, references: Sequence[str]) -> dict[str, dict[str, float]]:
        present = set(references)
        return {
            sha: entry["levels"]
            for sha, entry in self._read().items()
            if sha in present and 2 * entry["count"] >= len(references)
        }

    def _read(self) -> dict[str, _Measurement]:
        try:
            found: dict[str, _Measurement] = json.loads(self._path.read_text())
            return found
        except (OSError, ValueError):
            return {}
