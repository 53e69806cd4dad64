"""What the day showed, in figures, and whether it was good enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from tests.soak.images import LEAST_IOU
from tests.soak.kept import Kept
from tests.soak.logs import Found
from tests.soak.plan import MASTER_KILLED, WORKER_KILLED, Plan
from tests.soak.record import Asked, Record, Sample, Spread, What, spread

NOTHING_ON = "nothing"


class Seen(NamedTuple):
    """An error that a person saw, with what went on meanwhile."""

    at: float
    what: str
    task: int
    problem: str
    meanwhile: str
    excused: bool


class Memory(NamedTuple):
    """Resident memory of the server's processes.

    Attributes:
        quiet_mb, end_mb, most_mb: in the quiet, in the last minute, and at most.
        slope_mb_a_minute: of a straight line through the longest time without a kill.
        slope_from, slope_to: that time, in seconds of the day, without what comes just after the kill.
    """

    quiet_mb: float
    end_mb: float
    most_mb: float
    slope_mb_a_minute: float
    slope_from: float
    slope_to: float


@dataclass(frozen=True)
class Findings:
    """Everything that the report says.

    Attributes:
        spreads: seconds that requests took: name of the row -> figures.
        errors: in the order of time.
        foreign: clicks that were answered with a mask of another image.
        least_iou: of all masks that answered a click with the stain that was clicked.
        poor_proposals: proposals for opened tasks that hardly touch the stain.
        memory: of master and workers, without jobs.
        before: comparison of labels before the synchronisation at the end; None when it could not be made.
        after: the same after it.
        synchronised: what the synchronisation said.
        fell: how often the server ended by itself.
        jobs: how each ended, in words.
        log: what was in the logs.
    """

    spreads: dict[str, Spread]
    errors: list[Seen]
    foreign: list[Asked]
    least_iou: float
    poor_proposals: int
    memory: Memory
    before: Kept | None
    after: Kept | None
    synchronised: str
    fell: int
    jobs: Sequence[str]
    log: Found

    @property
    def failures(self) -> list[str]:
        """Why the day was not good enough, a sentence each; none when it was."""
        found = []
        if self.after is None:
            found.append("The labels at the end could not be read.")
        elif not self.after.all_there:
            lost, changed, gone = (
                len(ids) for ids in (self.after.lost, self.after.changed, self.after.no_reference)
            )
            found.append(
                f"Of {self.after.acknowledged} acknowledged annotations {lost} are lost, {changed} are kept otherwise "
                f"than they were submitted, and of {gone} no reference came."
            )
        if self.foreign:
            found.append(f"{len(self.foreign)} clicks were answered with a mask of another image.")
        if self.fell:
            found.append(f"The server ended by itself (times: {self.fell}).")
        found += [f"In a log: {name}." for name in self.log.secrets]
        clicks = [error for error in self.errors if error.what.startswith("click") and not error.excused]
        if clicks:
            found.append(f"{len(clicks)} clicks failed in no mishap's window.")
        return found


def find(
    record: Record,
    day: Plan,
    *,
    before: Kept | None,
    after: Kept | None,
    synchronised: str,
    fell: int,
    jobs: Sequence[str],
    log: Found,
) -> Findings:
    """Work out the figures of a day."""
    fits = [one.iou for one in record.asked if one.what == "click" and one.iou is not None]
    return Findings(
        spreads=_spreads(record, day),
        errors=[seen(record, one) for one in sorted(record.asked, key=lambda one: one.ended) if one.problem],
        foreign=[one for one in record.asked if one.foreign],
        least_iou=min(fits, default=float("nan")),
        poor_proposals=sum(
            one.what == "open" and one.iou is not None and one.iou < LEAST_IOU for one in record.asked
        ),
        memory=memory(record, day.at(0)),
        before=before,
        after=after,
        synchronised=synchronised,
        fell=fell,
        jobs=jobs,
        log=log,
    )


def seen(record: Record, asked: Asked) -> Seen:
    """An error, with what went on while the person waited."""
    what = f"{asked.what} (silent host)" if asked.silent else asked.what
    meanwhile = ", ".join(dict.fromkeys(window.name for window in record.during(asked))) or NOTHING_ON
    return Seen(asked.ended, what, asked.task, asked.problem, meanwhile, record.excused(asked))


def memory(record: Record, bad_from: float) -> Memory:
    """The figures of memory."""
    samples = record.samples
    quiet = [sample.server_mb for sample in samples if sample.at < bad_from]
    last = [sample.server_mb for sample in samples if sample.at > samples[-1].at - 60]
    steady = _steady(record)
    slope = float("nan")
    if len(steady) > 1:
        slope = float(np.polyfit([one.at / 60 for one in steady], [one.server_mb for one in steady], 1)[0])
    most = max((sample.server_mb for sample in samples), default=float("nan"))
    began, ended = (steady[0].at, steady[-1].at) if steady else (float("nan"), float("nan"))
    return Memory(_median(quiet), _median(last), most, slope, began, ended)


def _steady(record: Record) -> list[Sample]:
    """The samples of the longest time without a kill of worker or master; in its first minute caches are filled."""
    kills = [window.began for window in record.windows if window.name in (WORKER_KILLED, MASTER_KILLED)]
    end = max((sample.at for sample in record.samples), default=0.0)
    borders = [0.0, *sorted(kills), end]
    began, ended = max(pairwise(borders), key=lambda pair: pair[1] - pair[0])
    began += min(60.0, (ended - began) / 3)
    return [sample for sample in record.samples if began <= sample.at < ended]


def _spreads(record: Record, day: Plan) -> dict[str, Spread]:
    rows = {}
    kinds: tuple[What, ...] = ("click", "open", "submit", "health")
    for name, began, ended in (
        ("quiet", day.settle_s, day.at(0)),
        ("bad day", day.at(0), float("inf")),
    ):
        for what in kinds:
            rows[f"{what}, {name}"] = spread(record.seconds(what, began, ended))
    for window in record.windows:
        rows[f"click, {window.name} at {window.began:.0f} s"] = spread(
            record.seconds("click", window.began, window.ended)
        )
    for what in kinds[:2]:
        rows[f"{what}, image on a silent host"] = spread(record.seconds(what, silent=True))
    return rows


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else float("nan")
