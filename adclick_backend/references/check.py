"""Which reference does not look like the others: a defect marked as normal, another product, another view.

Parts that lie any way, screws say, are no odd ones for that: such an image is turned until it lies like another.
"""

from __future__ import annotations

import json
import logging
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from adclick_backend.engine.bank import EngineError, ReferenceBank
from adclick_backend.engine.engine import Engine
from adclick_backend.images.white_points import WhitePoints
from adclick_backend.store import Store

log = logging.getLogger(__name__)

ODD = 3.5  # robust z-score above which a reference is flagged; the usual bound for outliers
FEWEST = 4  # with fewer, no reference can be called the odd one
ASKED = 2  # ordinary references that are turned, to know whether parts lie any way
GROUP = 128  # references compared with each other at most, so that the check grows linearly with the bank

# Residuals of clean references scatter by about this share of their level; a bank of near-identical images
# must not turn noise far below that into outliers.
_RELATIVE_FLOOR = 0.05


@dataclass(frozen=True)
class Spread:
    """What residuals are usual in a bank: their median, and their robust standard deviation (1.4826 x MAD)."""

    middle: float
    scale: float

    @classmethod
    def of(cls, residuals: Iterable[float]) -> Spread:
        """The spread of at least one residual."""
        values = list(residuals)
        middle = statistics.median(values)
        deviation = 1.4826 * statistics.median(abs(value - middle) for value in values)
        return cls(middle, max(deviation, _RELATIVE_FLOOR * abs(middle), 1e-12))

    @property
    def bound(self) -> float:
        """The residual above which a reference is flagged."""
        return self.middle + ODD * self.scale

    def z(self, residual: float) -> float:
        """How far a residual lies above the median, in standard deviations."""
        return (residual - self.middle) / self.scale


def robust_z_scores(residuals: Mapping[str, float]) -> dict[str, float]:
    """How far each residual lies above the median, in robust standard deviations."""
    if not residuals:
        return {}
    spread = Spread.of(residuals.values())
    return {sha: spread.z(value) for sha, value in residuals.items()}


def groups(shas: Iterable[str]) -> list[tuple[str, ...]]:
    """Cut a bank into groups of about `GROUP`; an image that comes or goes changes no other group.

    An image's group follows from its own hash and from the order of magnitude of the bank alone.
    """
    members = sorted(shas)
    number = 1
    while number * GROUP < len(members):
        number *= 2
    parts: list[list[str]] = [[] for _ in range(number)]
    for sha in members:
        parts[int(sha[:8], 16) % number].append(sha)
    return [tuple(part) for part in parts if len(part) >= FEWEST]


class BankCheck:
    """Keeps the leave-one-out scores of all banks up to date, one group of references at a time.

    Args:
        settle_s: a bank must have been left alone for so many seconds; a person who marks ten images in a row
            causes one check, not ten.
    """

    _KEY = "reference_check_any_way"  # another one than before references were turned, so that all are checked anew

    def __init__(self, store: Store, engine: Engine, *, settle_s: float = 20.0) -> None:
        self._store = store
        self._white_points = WhitePoints(store)
        self._engine = engine
        self._settle_s = settle_s
        self._seen: dict[str, float] = {}  # fingerprint of a group that changed -> when that was noticed

    def step(self, give_way: Callable[[], None]) -> bool:
        """Check one group that changed; False when there is none.

        `give_way` is called between references and may take its time.
        """
        seen, self._seen = self._seen, {}
        for project, product in self._store.references.banks():
            checked = self._checked(project, product)
            members = groups(self._store.references.bank(project, product))
            for number, group in enumerate(members):
                white = self._white_points.of_references(project, product)
                bank = ReferenceBank(project, product, group, white)
                if checked.get(str(number)) == bank.fingerprint:
                    continue
                since = self._seen[bank.fingerprint] = seen.get(bank.fingerprint, time.monotonic())
                if time.monotonic() - since >= self._settle_s:
                    self._check(bank, give_way)
                    done = {**checked, str(number): bank.fingerprint}
                    kept = {key: value for key, value in done.items() if int(key) < len(members)}
                    self._store.values.set(project, f"{self._KEY}:{product}", json.dumps(kept))
                    return True
        return False

    def _check(self, bank: ReferenceBank, give_way: Callable[[], None]) -> None:
        try:
            residuals = self._engine.leave_one_out(bank, progress=lambda *_: give_way())
            if not residuals:
                return
            spread = Spread.of(residuals.values())
            residuals |= self._turned(bank, residuals, spread, give_way)
        except EngineError as error:
            log.warning("The references of project %s could not be compared: %s", bank.project, error)
            return
        scores = {sha: (residual, spread.z(residual)) for sha, residual in residuals.items()}
        self._store.references.save_scores(bank.project, bank.product, scores)

    def _turned(
        self,
        bank: ReferenceBank,
        residuals: Mapping[str, float],
        spread: Spread,
        give_way: Callable[[], None],
    ) -> dict[str, float]:
        """The residuals of the references that only seem odd because they lie another way than the others.

        Only where parts lie any way, that is where an ordinary reference, turned, looks like some other one: of a part
        that always lies the same way, the turned one does not belong.
        """
        seem = [sha for sha, residual in residuals.items() if residual > spread.bound]
        ordinary = sorted(residuals, key=lambda sha: (abs(residuals[sha] - spread.middle), sha))[:ASKED]

        def least(sha: str) -> float:
            return self._engine.least_turned(bank, sha, spread.bound, give_way)

        if not seem or any(least(sha) > spread.bound for sha in ordinary):
            return {}
        return {sha: min(residuals[sha], least(sha)) for sha in seem}

    def _checked(self, project: str, product: str) -> dict[str, str]:
        found: dict[str, str] = json.loads(self._store.values.get(project, f"{self._KEY}:{product}") or "{}")
        return found
