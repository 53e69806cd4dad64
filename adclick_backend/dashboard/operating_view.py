"""What is found and what is marked where sliders stand, in words, curves and the images that change sides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from adclick_backend.dashboard.charts import LEFT, RIGHT, WIDTH, Chart, Tick, draw_chart
from adclick_backend.dashboard.words import count
from adclick_backend.store.point_curves import CurveImage, PointCurve
from model.labels.labelled import DEFECT
from model.metrics.operating_curve import Seen, likely_share

WORDS = 40.0
"""Width of what stands below the end of a chart, in units of the drawing."""


@dataclass(frozen=True)
class Change:
    """An image that is on another side where the slider stands than at the threshold in force."""

    number: int  # in the curve
    sha: str
    good: bool
    before: str
    after: str


@dataclass(frozen=True)
class TypeView:
    """One defect type where its slider stands.

    Attributes:
        name: of the type.
        place: of the type among all.
        position: of the slider, among the points of the curve.
        point: there, in (0, 1).
        in_force: the point that proposals are cut at now.
        chart: found, overlap and good images marked over the points.
        found: what is found of what is labelled, in a sentence.
        marked: what is marked on good images, in a sentence.
        changes: images on another side than now, the labelled ones first.
    """

    name: str
    place: int
    position: int
    point: float
    in_force: float
    chart: Chart | None
    found: str
    marked: str
    changes: Sequence[Change]

    @property
    def words(self) -> str:
        """What a person calls the type."""
        return words_of_type(self.name)

    @property
    def moved(self) -> bool:
        """Whether the slider stands elsewhere than what is in force."""
        return self.point != self.in_force

    @property
    def said(self) -> str:
        """The point as a person reads it."""
        return percent_of(self.point)


@dataclass(frozen=True)
class OperatingView:
    """All types where their sliders stand, and what that makes together."""

    types: Sequence[TypeView]
    together: str

    @property
    def moved(self) -> bool:
        """Whether any slider stands elsewhere than what is in force."""
        return any(one.moved for one in self.types)


def percent_of(point: float) -> str:
    """A point as ``31 %``, with decimals where they tell: ``0.2 %``, ``99.8 %``."""
    share = 100 * point
    decimals = 1 if min(share, 100 - share) < 9.5 and round(share, 1) != round(share) else 0
    return f"{share:.{decimals}f} %"


def words_of_type(name: str) -> str:
    """What a person calls a defect type in a sentence."""
    return "a defect" if name == DEFECT else name


def words_of_points(points: Mapping[str, float]) -> str:
    """Operating points in words: ``scratch 20 %, dent 91 %``; types that are not named are as calibrated."""
    said = [f"{words_of_type(name)} {percent_of(point)}" for name, point in points.items()]
    return ", ".join(said) or "as calibrated"


def nearest_position(curve: PointCurve, point: float) -> int:
    """The position of a slider that is nearest to a point, over the log-odds."""
    return min(range(len(curve.points)), key=lambda place: abs(_odds(curve.points[place]) - _odds(point)))


def operating_view(
    curve: PointCurve, in_force: Mapping[str, float], positions: Mapping[str, int], speed: int
) -> OperatingView:
    """What is seen where the sliders stand.

    Args:
        curve: what was measured.
        in_force: defect type -> point that proposals are cut at now.
        positions: defect type -> where its slider stands; types that are missing are as they are in force.
        speed: images that pass in an hour.
    """
    types = [
        _type_view(curve, name, place, in_force[name], positions.get(name), speed)
        for place, name in enumerate(curve.types)
    ]
    stand = {view.name: view.position for view in types}
    marked = sum(any(seen.marked[stand[name]] for name, seen in image.seen.items()) for image in curve.good)
    of_types = [seen for image in curve.labelled for name, seen in image.seen.items()]
    found = sum(seen.found[stand[name]] for image in curve.labelled for name, seen in image.seen.items())
    together = " ".join(
        [
            _found_words(found, sum(seen.defects for seen in of_types)),
            _marked_words(marked, len(curve.good), speed),
        ]
    )
    return OperatingView(types, together)


def _type_view(
    curve: PointCurve, name: str, place: int, in_force: float, position: int | None, speed: int
) -> TypeView:
    before = nearest_position(curve, in_force)
    after = before if position is None else min(max(position, 0), len(curve.points) - 1)
    labelled = [image.seen[name] for image in curve.labelled if name in image.seen]
    good = [image.seen[name] for image in curve.good if name in image.seen]
    defects = sum(seen.defects for seen in labelled)
    found = [sum(seen.found[at] for seen in labelled) for at in range(len(curve.points))]
    overlap = [
        fmean(seen.overlap[at] for seen in labelled) if labelled else 0.0 for at in range(len(curve.points))
    ]
    marked = [sum(seen.marked[at] for seen in good) for at in range(len(curve.points))]
    lines: dict[str, list[float]] = {}
    if defects:
        lines |= {"found": [number / defects for number in found], "overlap": overlap}
    if good:
        lines["good images marked"] = [number / len(good) for number in marked]
    said = _found_words(found[after], defects)
    if defects:
        over = count(len(labelled), "image")
        said += f" The masks overlap the labels (IoU) by {_whole(overlap[after])} in the mean of {over}."
    return TypeView(
        name,
        place,
        after,
        in_force if after == before else curve.points[after],
        in_force,
        _chart(curve, lines, after),
        said,
        _marked_words(marked[after], len(good), speed),
        _changes(curve.images, name, before, after),
    )


def _found_words(found: int, defects: int) -> str:
    if not defects:
        return "No labelled defect is there to judge by that was not learned from: what would be missed is not known."
    are = "is" if found == 1 else "are"
    low, high = likely_share(found, defects)
    return (
        f"{found} of {count(defects, 'labelled defect')} {are} found: {_whole(found / defects)} of these, and likely "
        f"{_whole(low)} to {_whole(high)} of all."
    )


def _marked_words(marked: int, good: int, speed: int) -> str:
    if not good:
        return "No good image is there to judge by that was not learned from: what is marked falsely is not known."
    are = "is" if marked == 1 else "are"
    low, high = likely_share(marked, good)
    return (
        f"{marked or 'None'} of {count(good, 'good image')} {are} marked: of {speed} images an hour about "
        f"{marked / good * speed:.0f}, and likely {low * speed:.0f} to {high * speed:.0f}."
    )


def _changes(images: Sequence[CurveImage], name: str, before: int, after: int) -> list[Change]:
    found = [
        Change(number, image.sha, image.good, _side(image, seen, before), _side(image, seen, after))
        for number, image in enumerate(images)
        if (seen := image.seen.get(name)) is not None
    ]
    changed = [change for change in found if change.before != change.after]
    return sorted(changed, key=lambda change: change.good)


def _side(image: CurveImage, seen: Seen, at: int) -> str:
    """On which side an image is at a point, in a word or three."""
    if image.good:
        return "marked" if seen.marked[at] else "clean"
    if seen.found[at] in (0, seen.defects):
        return "found" if seen.found[at] else "missed"
    return f"{seen.found[at]} of {seen.defects} found"


def _chart(curve: PointCurve, lines: Mapping[str, Sequence[float]], at: int) -> Chart | None:
    """The curves over the points, which lie side by side at even distances of their log-odds."""
    last = len(curve.points) - 1
    points = {name: [(float(x), y) for x, y in enumerate(values)] for name, values in lines.items()}
    chart = draw_chart("At each threshold", points, across="threshold", percent=True)
    if chart is None:
        return None

    def place(position: int) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * position / last, 1)

    drawn = []
    for line in chart.lines:
        x, y = line.points.split()[at].split(",")
        drawn.append(replace(line, last=_whole(lines[line.name][at]), end=(float(x), float(y))))
    ticks = [
        Tick(min(place(position), WIDTH - WORDS / 2), percent_of(curve.points[position]))
        for position in range(0, last + 1, last // 6)
    ]
    return replace(chart, lines=drawn, columns=ticks, across="", marker=place(at))


def _whole(share: float) -> str:
    """A share in whole percent."""
    return f"{100 * share:.0f} %"


def _odds(point: float) -> float:
    return math.log(point / (1 - point))
