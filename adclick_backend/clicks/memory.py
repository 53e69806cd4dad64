"""What was clicked lately: joins clicks that Label Studio sends apart but a person means as one object.

Two habits of Label Studio make this necessary. Key points of another label are never in the same request, so
a point labelled ``background`` arrives without the clicks it corrects. And with auto-accept on, key points
are deleted after each answer, so every click arrives alone.

With auto-accept off, the key points stay until the mask is accepted or rejected by hand, and the next click
arrives alone too. No request says which of the two it is: after the first answer both hold one region and no
key point. What tells them apart is that key points outlive an answer only when it is accepted by hand. An
object seen to grow that way is finished once a lone positive click comes, which then begins a region of its
own. A mask accepted after its only click leaves no trace; a lone positive click within reach goes on with it,
and Label Studio replaces the accepted region by the mask of both clicks.

A mask may also be there before anybody clicked. The first click on it begins an object with that mask, under the id
of its region, so that the answer takes its place.
"""

from __future__ import annotations

import json
import math
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from adclick_backend.clicks.begun import Begun
from adclick_backend.clicks.key_points import ClickObject
from adclick_backend.clicks.near import Near
from adclick_backend.store.clicked_objects import ClickedObjects, ClickedRow
from model.clicks import Click

BBox = tuple[float, float, float, float]  # x0, y0, x1, y1 in image pixels

# A lone click this far outside a mask still belongs to it, as a share of the image diagonal.
REACH = 0.15
# The same for a mask that was there before the first click, measured to its pixels, not to the box round them.
REACH_OF_BEGUN = 0.05
# Seconds in which an answer has come through Label Studio to the browser, and auto-accept deleted the clicks.
DELIVERY_S = 1.5


@dataclass
class _Remembered:
    """One object of a task.

    Attributes:
        contexts: its clicks by the context they came in, which is known by the id that its first key point
            gives to an object. Label Studio sends a context again, one click longer, until it is accepted.
        background: the same for points of a background label.
        version: whose click network answered its first click, and answers all others.
        by_hand: its key points outlived an answer, so the person accepts masks by hand.
        bbox: bounding box of its mask, None before the first answer.
        answered: when its newest click was answered with a mask, seconds; None while it is not.
        begun: the mask that was there before the first click, packed; b"" for none.
        near: where its first click was expected; None before its first answer.
    """

    region_id: str
    label: str
    width: int
    height: int
    version: str
    contexts: dict[str, tuple[Click, ...]] = field(default_factory=dict)
    background: dict[str, tuple[Click, ...]] = field(default_factory=dict)
    by_hand: bool = False
    bbox: BBox | None = None
    answered: float | None = None
    begun: bytes = b""
    near: Near | None = None

    def clicks(self, limit: int) -> tuple[Click, ...]:
        """The newest clicks, each once, background last."""
        groups = (*self.contexts.values(), *self.background.values())
        return tuple(dict.fromkeys(click for group in groups for click in group))[-limit:]

    def distance(self, click: Click) -> float:
        """Pixels from the click to the mask's bounding box, while there is no mask to that of the clicks."""
        x0, y0, x1, y1 = self.bbox or self._bbox_of_clicks()
        dx = max(x0 - click.x, 0.0, click.x - x1)
        dy = max(y0 - click.y, 0.0, click.y - y1)
        return max(dx, dy)

    def _bbox_of_clicks(self) -> BBox:
        points = [click for group in self.contexts.values() for click in group]
        xs, ys = [click.x for click in points], [click.y for click in points]
        return min(xs), min(ys), max(xs), max(ys)


class ClickMemory:
    """Remembers the objects being clicked, per project and task, for a short time.

    Label Studio says no user, so two people who click the same task at the same time share the memory too; this is
    why it is short.

    Args:
        objects: where they are kept, for all who answer clicks.
        max_clicks: of one object; the newest are kept.
    """

    def __init__(self, objects: ClickedObjects, *, max_clicks: int = 256) -> None:
        self._objects = objects
        self._max_clicks = max_clicks

    def merge(
        self,
        project: str,
        task: str,
        request: ClickObject,
        now: float | None = None,
        shown: Sequence[Begun] = (),
    ) -> ClickObject:
        """Complete the clicks of a request with those remembered of the same object, and remember the result.

        * A context seen before, whatever it has gained or lost since, replaces what it was.
        * Background points join the object clicked last, whatever its label. Several of them replace all
          background points of that object; one alone is added.
        * A lone negative click joins the object of its label clicked last; a lone positive one the nearest
          object of its label within reach of its mask, unless the key points of that object had outlived an
          answer: then they were accepted or rejected by hand, and the object is finished.
        * A negative click into a mask of ``shown`` that nobody clicked yet begins with that mask, as does a positive
          one of its label beside it, when no object is nearer. A positive click in it takes its place. A negative
          click that finds no object belongs to the nearest mask.
        * Everything else begins an object.

        Background points with no object to join come back as they are and are not remembered. An object keeps the
        version that it was begun with, the mask, and where its first click was expected: each of its answers builds on
        the one before.

        Args:
            project: project id.
            task: what the clicks are remembered under.
            request: the clicks.
            now: seconds of the clock; None: as it says.
            shown: the masks on the screen that no click made, in the frame of the request.
        """
        answer = request

        def decide(rows: list[ClickedRow], moment: float) -> ClickedRow | None:
            nonlocal answer
            entry = self._clicked([_from_row(row) for row in rows], request, moment, shown)
            if entry is None:
                return None
            answer = replace(
                request,
                region_id=entry.region_id,
                label=entry.label,
                clicks=entry.clicks(self._max_clicks),
                version=entry.version,
                background=False,
                begun=entry.begun,
                near=entry.near,
            )
            return _to_row(entry)

        self._objects.change(project, task, decide, now)
        return answer

    def remember_mask(
        self, project: str, task: str, region_id: str, bbox: BBox, near: Near | None = None
    ) -> None:
        """Keep the bounding box of the mask that answers an object now, and what it was made with.

        Args:
            project: project id.
            task: what the clicks are remembered under.
            region_id: id of the object.
            bbox: x0, y0, x1, y1 in image pixels.
            near: where its first click was expected.
        """
        self._objects.answer(project, task, region_id, _packed(bbox, near))

    def since_last_click(self) -> float:
        """Seconds since anybody clicked last, whichever worker of this machine answered; infinite when long ago."""
        return self._objects.since_last()

    def forget(self, project: str, task: str) -> None:
        """Forget every object of a task."""
        self._objects.forget(project, task)

    def forget_project(self, project: str) -> None:
        """Forget every object of a project."""
        self._objects.forget(project)

    def _clicked(
        self, known: list[_Remembered], request: ClickObject, now: float, shown: Sequence[Begun]
    ) -> _Remembered | None:
        """The object that is clicked, with the clicks; None where background points have none to join."""
        known = [entry for entry in known if (entry.width, entry.height) == (request.width, request.height)]
        began = {entry.region_id for entry in known}
        shown = [mask for mask in shown if mask.region_id not in began]
        if request.background:
            entry = self._clicked_into(known, request, shown)
            if entry is None:
                return None
            if len(request.clicks) > 1:
                entry.background.clear()
            self._put(entry.background, request)
        else:
            entry = self._owner(known, request, shown)
            entry.by_hand |= _outlived_answer(entry, request, now)
            self._put(entry.contexts, request)
        return entry

    def _owner(self, known: list[_Remembered], request: ClickObject, shown: Sequence[Begun]) -> _Remembered:
        """The object that a request without background points goes on with, or a new one."""
        for entry in known:
            if request.region_id == entry.region_id or request.region_id in entry.contexts:
                entry.label = request.label
                return entry
        click = request.clicks[0]
        found = self._neighbour(known, request) if len(request.clicks) == 1 else None
        mask = _nearest(shown, click, request)
        if mask is not None and (
            found is None or mask.distance(click) < found.distance(click) or mask.distance(click) == 0
        ):
            return _beginning_with(mask, request)
        if found is not None:
            return found
        return _Remembered(request.region_id, request.label, request.width, request.height, request.version)

    def _neighbour(self, known: list[_Remembered], request: ClickObject) -> _Remembered | None:
        """The object that a lone click goes on with."""
        (click,) = request.clicks
        candidates = [entry for entry in known if entry.label == request.label]
        if not click.positive:
            # What was begun with a mask may have another label than the one that is chosen to click with.
            inside = [entry for entry in known if entry.begun and entry.distance(click) == 0]
            return next(iter(candidates or inside), None)
        reach = REACH * math.hypot(request.width, request.height)
        candidates = [entry for entry in candidates if not entry.by_hand and entry.distance(click) <= reach]
        candidates.sort(key=lambda entry: entry.distance(click))  # stable: the newest of the nearest
        return next(iter(candidates), None)

    def _clicked_into(
        self, known: list[_Remembered], request: ClickObject, shown: Sequence[Begun]
    ) -> _Remembered | None:
        """The object that background points belong to: the one clicked last, or a mask that they lie in."""
        mask = _nearest(shown, request.clicks[0], request)
        if mask is not None and (not known or mask.distance(request.clicks[0]) == 0):
            return _beginning_with(mask, request)
        return next(iter(known), None)

    def _put(self, contexts: dict[str, tuple[Click, ...]], request: ClickObject) -> None:
        """Make the context of a request the newest one; the oldest ones give way."""
        contexts.pop(request.region_id, None)
        contexts[request.region_id] = request.clicks
        for key in list(contexts)[: -self._max_clicks]:
            del contexts[key]


def _nearest(shown: Sequence[Begun], click: Click, request: ClickObject) -> Begun | None:
    """The mask that a click is about, of those that nobody clicked yet.

    The one that it lies in; or near it, with its label. A negative click is always about a mask, so it reaches as far
    as a click on an object does, whatever its label.
    """
    diagonal = math.hypot(request.width, request.height)
    reach = (REACH_OF_BEGUN if click.positive else REACH) * diagonal
    near = [(mask.distance(click), mask) for mask in shown]
    about = [
        (distance, mask)
        for distance, mask in near
        if distance == 0 or (distance <= reach and (mask.label == request.label or not click.positive))
    ]
    return min(about, key=lambda one: one[0], default=(0.0, None))[1]


def _beginning_with(mask: Begun, request: ClickObject) -> _Remembered:
    """An object that takes the place of a mask; with the label that was clicked, where something was said to be it.

    It begins with the mask, unless a positive click lies in it: whoever clicks a defect there wants another mask, and
    may have deleted this one just before, which no request tells.
    """
    positive = any(click.positive for click in request.clicks)
    label = request.label if positive else mask.label
    anew = any(click.positive and mask.distance(click) == 0 for click in request.clicks)
    return _Remembered(
        mask.region_id,
        label,
        request.width,
        request.height,
        request.version,
        begun=b"" if anew else mask.packed(),
    )


def _outlived_answer(entry: _Remembered, request: ClickObject, now: float) -> bool:
    """Whether a context holds a click more than when it was answered, though the answer has long arrived."""
    before = entry.contexts.get(request.region_id)
    return (
        before is not None
        and len(request.clicks) > len(before)
        and entry.answered is not None
        and now - entry.answered > DELIVERY_S
    )


def _from_row(row: ClickedRow) -> _Remembered:
    label, width, height, by_hand, *groups = json.loads(row.state)
    contexts, background = (
        {key: tuple(Click(*click) for click in clicks) for key, clicks in group.items()}
        for group in groups[:2]
    )
    # Before the file had a version, objects had neither a version nor a mask to begin with.
    version, begun = groups[2:] or ("", "")
    bbox, near = _unpacked(row.bbox)
    return _Remembered(
        row.region_id,
        label,
        width,
        height,
        version,
        contexts,
        background,
        by_hand,
        bbox=bbox,
        answered=row.answered,
        begun=b64decode(begun),
        near=near,
    )


def _to_row(entry: _Remembered) -> ClickedRow:
    """An object as the one clicked last and not yet answered."""
    state = [
        entry.label,
        entry.width,
        entry.height,
        entry.by_hand,
        entry.contexts,
        entry.background,
        entry.version,
        b64encode(entry.begun).decode(),
    ]
    return ClickedRow(entry.region_id, json.dumps(state), _packed(entry.bbox, entry.near))


def _packed(bbox: BBox | None, near: Near | None) -> str:
    """The bounding box of an answer and where its first click was expected, in one column."""
    return json.dumps(None if bbox is None else [*map(float, bbox), *([] if near is None else [near])])


def _unpacked(column: str) -> tuple[BBox | None, Near | None]:
    found = json.loads(column)
    if found is None:
        return None, None
    x0, y0, x1, y1, *more = found
    near = [Near(bank, tuple(tuple(window) for window in windows)) for bank, windows in more]
    return (x0, y0, x1, y1), next(iter(near), None)
