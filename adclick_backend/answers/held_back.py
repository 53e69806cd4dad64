"""What is found of a product in images of which the truth is known: references that are held back, and defects drawn.

A person waits for none of it: it is measured in the background, an image at a time, and kept until the version that
proposes is another one or the references are twice as many.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from adclick_backend.answers.worth import HeldBack, SeenPart, worth_of
from adclick_backend.engine.bank import EngineError, ImageKey, ReferenceBank
from adclick_backend.engine.engine import Engine
from adclick_backend.engine.sources import FEWEST_REFERENCES
from adclick_backend.images.shrinking import shrunk
from adclick_backend.references.collection import References
from adclick_backend.store import Store
from adclick_backend.store.proposal_source import ProposalSource
from adclick_backend.store.versions import Registry
from adclick_runtime.regions import Proposals
from model.metrics.masks import part_ious

log = logging.getLogger(__name__)

MEASURED = 8
"""References that are held back in turn, and on each of which a defect is drawn."""

SIDE = 1024
"""Longer side, in pixels, of the images that defects are drawn on."""

_SEED = 0x9E1D
"""Of the drawn defects; trainings and trials draw with other ones."""

_KEY = "held_back"


class _Kept(TypedDict):
    """What was measured of a product, as it is written down."""

    version: str
    references: int  # that there were
    measured: list[str]  # SHA-256 of those that were held back
    good: list[list[tuple[float, float]]]
    drawn: list[list[tuple[float, float]]]


def measure(engine: Engine, bank: ReferenceBank, asked: ProposalSource | None = None) -> Iterator[HeldBack]:
    """What is found of a product, more of it with each image that is looked at; the last one is all.

    Args:
        engine: that proposes.
        bank: the references; of fewer than one more than `FEWEST_REFERENCES` none can be held back.
        asked: what proposes; None for what a project gets that nothing was trained for.

    Raises:
        EngineError: it cannot propose, or a reference is gone.
    """
    from model.generation.synthesis import add_defect

    good: list[Sequence[SeenPart]] = []
    drawn: list[Sequence[SeenPart]] = []
    if len(bank.references) <= FEWEST_REFERENCES:
        return
    for sha in bank.references[:MEASURED]:
        key = bank.key(sha)
        whole = engine.reference(key)
        found = engine.propose(key, bank, partial(_same, whole), asked)
        good.append(_parts(found, np.zeros(found.size, bool)))
        yield HeldBack(tuple(good), tuple(drawn))
        rng = np.random.default_rng([_SEED, int(sha[:12], 16)])
        image, mask, _ = add_defect(shrunk(whole, SIDE), rng)
        name = hashlib.sha256(f"held back {_SEED} {sha}".encode()).hexdigest()
        shown = ImageKey(bank.project, name)
        found = engine.propose(shown, bank.without(sha), partial(_same, image), asked)
        drawn.append(_parts(found, mask))
        yield HeldBack(tuple(good), tuple(drawn))


def _same(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return image


@dataclass
class _Measuring:
    """A measurement that is under way."""

    name: str  # of the version
    bank: ReferenceBank
    steps: Iterator[HeldBack]
    found: HeldBack = field(default_factory=HeldBack)


class HeldBackImages:
    """Measures every product of every project, a step at a time, and knows what was found.

    Args:
        store: where that is kept, for all worker processes.
        references: the banks.
        registry: says which version proposes.
        engine: proposes.
        settle_s: a bank must have been left alone for so many seconds, while a person marks one image after the other.
    """

    def __init__(
        self,
        store: Store,
        references: References,
        registry: Registry,
        engine: Engine,
        *,
        settle_s: float = 20.0,
    ) -> None:
        self._store, self._references = store, references
        self._registry, self._engine = registry, engine
        self._settle_s = settle_s
        self._seen: dict[tuple[str, str], float] = {}  # what is to be measured -> when that was noticed
        self._refused: set[tuple[str, str]] = set()  # what cannot be
        self._measuring: _Measuring | None = None

    def of(self, project: str, product: str, name: str) -> HeldBack | None:
        """What was found of a product by the version of that name; None until it was measured."""
        found = self._kept(project, product)
        if found is None or found["version"] != name:
            return None
        return HeldBack(_read(found["good"]), _read(found["drawn"]))

    def step(self) -> bool:
        """Look at one image; False when there is nothing to look at."""
        if self._measuring is None:
            self._measuring = self._next()
        if (current := self._measuring) is None:
            return False
        project, product = current.bank.project, current.bank.product
        try:
            current.found = next(current.steps)
        except StopIteration:
            self._keep(current)
            self._measuring = None
        except EngineError as error:
            log.warning("What is proposed for project %s cannot be measured: %s", project, error)
            self._refused.add((current.name, current.bank.fingerprint))
            self._measuring = None
        else:
            if self._registry.serving_name(project) != current.name or current.bank.references != (
                self._references.bank(project, product).references
            ):
                self._measuring = None  # begun anew, when the bank is left alone
        return True

    def _next(self) -> _Measuring | None:
        seen, self._seen = self._seen, {}
        for project, product in self._store.references.banks():
            if not self._registry.wanted(project):
                continue
            bank, name = self._references.bank(project, product), self._registry.serving_name(project)
            what = name, bank.fingerprint
            if len(bank.references) <= FEWEST_REFERENCES or what in self._refused:
                continue
            if self._holds(bank, name):
                continue
            since = self._seen[what] = seen.get(what, time.monotonic())
            if time.monotonic() - since >= self._settle_s:
                steps = measure(self._engine, bank, self._registry.proposing(project))
                return _Measuring(name, bank, steps)
        return None

    def _holds(self, bank: ReferenceBank, name: str) -> bool:
        """Whether what was measured of a bank still says what it is like."""
        found = self._kept(bank.project, bank.product)
        return (
            found is not None
            and found["version"] == name
            and set(found["measured"]) <= set(bank.references)
            and len(bank.references) < 2 * found["references"]
        )

    def _keep(self, done: _Measuring) -> None:
        bank = done.bank
        found: _Kept = {
            "version": done.name,
            "references": len(bank.references),
            "measured": list(bank.references[:MEASURED]),
            "good": _written(done.found.good),
            "drawn": _written(done.found.drawn),
        }
        self._store.values.set(bank.project, f"{_KEY}:{bank.product}", json.dumps(found))

    def _kept(self, project: str, product: str) -> _Kept | None:
        found: _Kept | None = json.loads(self._store.values.get(project, f"{_KEY}:{product}") or "null")
        return found


def _parts(found: Proposals, truth: NDArray[np.bool_]) -> tuple[SeenPart, ...]:
    fits = part_ious([region.mask for region in found.regions], truth)
    return tuple(
        SeenPart(round(region.score, 4), worth_of(fit))
        for region, fit in zip(found.regions, fits, strict=True)
    )


def _written(images: Sequence[Sequence[SeenPart]]) -> list[list[tuple[float, float]]]:
    return [[(part.score, part.worth) for part in image] for image in images]


def _read(images: Sequence[Sequence[tuple[float, float]]]) -> tuple[tuple[SeenPart, ...], ...]:
    return tuple(tuple(SeenPart(score, worth) for score, worth in image) for image in images)
