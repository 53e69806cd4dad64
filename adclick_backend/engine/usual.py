"""What residual energies are usual among references of a bank, kept from one start to the next."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TypedDict

from adclick_backend.engine.lru import WeightedLru
from adclick_backend.lock_file import locked
from adclick_backend.store.projects import KeyValueTable
from model.checkpoint.atomic import write_atomically


class Measurement(TypedDict):
    """Of one reference: its levels, by name of the energy."""

    count: int  # references in the bank then
    levels: dict[str, float]
    checked: bool  # whether all of the bank were measured at once


class Usual:
    """What residual energies are usual in a bank: measured on some of its references, kept in a JSON file,
    and in memory where that cannot be written.

    A measurement is repeated when the bank has more than doubled since, because energies fall as a bank grows.
    Opening images measures the first few, the leave-one-out check all of them. No other measurements count, so that
    what is usual does not depend on which images were opened before, or by which process.
    """

    ENOUGH = 2

    def __init__(
        self,
        folder: Path,
        product: str,
        number_format: str,
        unkept: WeightedLru[Path, dict[str, Measurement]] | None = None,
    ):
        self._unkept = WeightedLru[Path, dict[str, Measurement]](1) if unkept is None else unkept
        name = f"levels-{sha256(product.encode()).hexdigest()[:16]}-{number_format}"
        self._path, self._lock = folder / f"{name}.json", folder / f"{name}.lock"

    def wanted(self, references: Sequence[str], enough: int = ENOUGH) -> str | None:
        """A reference that should be measured next, or None when the first ``enough`` are."""
        known = self._fresh(references)
        return next((sha for sha in references[:enough] if sha not in known), None)

    def put(self, levels: dict[str, dict[str, float]], count: int, checked: bool = False) -> None:
        """Keep measurements, by reference, made in a bank of ``count`` references; all of it if ``checked``."""
        new = {sha: Measurement(count=count, levels=found, checked=checked) for sha, found in levels.items()}
        try:
            with locked(self._lock):
                entries = {**self._read(), **new}
                write_atomically(self._path, json.dumps(entries).encode(), durable=False)
            self._unkept.put(self._path, {}, 1)
        except OSError:  # a full disk costs time, not masks
            self._unkept.put(self._path, {**self._read(), **new}, 1)

    def every(self, references: Sequence[str], name: str, enough: int = ENOUGH) -> list[float]:
        """The levels of one energy in the first ``enough`` references, and in those that were checked."""
        return [levels[name] for levels in self._counting(references, enough)]

    def mean(self, references: Sequence[str]) -> dict[str, float]:
        """The mean over the first `ENOUGH` references and those that were checked, by name of the energy."""
        known = self._counting(references, self.ENOUGH)
        return {name: sum(levels[name] for levels in known) / len(known) for name in known[0]}

    def _counting(self, references: Sequence[str], enough: int) -> list[dict[str, float]]:
        """In the order of the references: floating-point sums depend on it."""
        known, first = self._fresh(references), set(references[:enough])
        counting = [sha for sha in references if sha in known and (sha in first or known[sha]["checked"])]
        return [known[sha]["levels"] for sha in counting]

    def _fresh(self, references: Sequence[str]) -> dict[str, Measurement]:
        present = set(references)
        return {
            sha: entry
            for sha, entry in self._read().items()
            if sha in present and 2 * entry["count"] >= len(references)
        }

    def _read(self) -> dict[str, Measurement]:
        unkept = self._unkept.get(self._path) or {}
        try:
            found: dict[str, Measurement] = json.loads(self._path.read_text())
            return {**found, **unkept}
        except (OSError, ValueError):
            return unkept


class SharedUsual(Usual):
    """The same, kept in the database that several machines share.

    Args:
        values: of all projects.
        project: project id.
        product: with the network that looked.
        number_format: in which places are matched.
    """

    def __init__(self, values: KeyValueTable, project: str, product: str, number_format: str) -> None:
        self._values, self._project = values, project
        self._name = f"levels-{sha256(product.encode()).hexdigest()[:16]}-{number_format}"

    def put(self, levels: dict[str, dict[str, float]], count: int, checked: bool = False) -> None:
        """See `Usual.put`; raises DiskError when the database is away."""
        new = {sha: Measurement(count=count, levels=found, checked=checked) for sha, found in levels.items()}

        def added(known: str | None) -> str:
            return json.dumps({**json.loads(known or "{}"), **new})

        self._values.change(self._project, self._name, added)

    def _read(self) -> dict[str, Measurement]:
        found: dict[str, Measurement] = json.loads(self._values.get(self._project, self._name) or "{}")
        return found
