"""The answer to some clicks: what the whole image says, looked at again from near (:mod:`model.zoom`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.clicks import Click
from model.encoding import Frame
from model.evidence import Prepared
from model.predictor import Predictor, to_mask
from model.scores import expected_iou
from model.zoom import ZOOM_SIDE, Box, Window, window_for

Map = NDArray[np.float32]
Look = Callable[[Window], Prepared]
"""Opens a window of the image, or finds it open."""


@dataclass(frozen=True)
class Answer:
    """What the network says after some clicks.

    Attributes:
        frame: working frame of the whole image.
        probability: (frame.height, frame.width) float32 in [0, 1]; in the window, the close view shrunk.
        window: where it looked closely, if it did.
        close: probabilities there, in the window's own frame (:func:`frame_of`).
    """

    frame: Frame
    probability: Map
    window: Window | None = None
    close: Map | None = None

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return self.probability.nbytes + (0 if self.close is None else self.close.nbytes)

    def mask(self, clicks: Sequence[Click]) -> NDArray[np.bool_]:
        """(frame.image_height, frame.image_width) bool; ``clicks`` are those that were answered."""
        if self.window is None or self.close is None:
            return to_mask(self.probability, self.frame, clicks)
        mask = np.zeros((self.frame.image_height, self.frame.image_width), bool)
        self.window.cut(mask)[:] = to_mask(self.close, frame_of(self.window), self.window.inside(clicks))
        return mask

    def score(self) -> float:
        """The IoU to expect of the mask, in [0, 1]."""
        return expected_iou(self.probability if self.close is None else self.close)


def frame_of(window: Window) -> Frame:
    """The working frame of a window that is looked at closely."""
    return Frame.of(window.height, window.width, ZOOM_SIDE)


def answer(
    predictor: Predictor,
    prepared: Prepared,
    frame: Frame,
    clicks: Sequence[Click],
    before: Answer | None,
    look: Look,
    expected: Sequence[Window] = (),
) -> Answer:
    """The answer to ``clicks`` (image pixels, oldest first).

    Args:
        predictor: the network.
        prepared: the whole image.
        frame: its working frame.
        clicks: at least one.
        before: the answer to all clicks but the newest.
        look: called when there is something to be seen from near.
        expected: windows round what was taken for a defect before anybody clicked.

    As long as what is clicked and found fits the window that is open, the rest of the image is not looked at again;
    and not even for the first click, when it falls into a window that was expected and what is found fits that.
    """
    for window in expected if before is None else (before.window,):
        if window is not None and window.holds(clicks[-1]):
            near = _from_near(predictor, frame, clicks, window, before, look)
            if near is not None:
                return near
    previous = None if before is None else _tensor(before.probability)
    whole = _array(predictor.probability(prepared, frame, clicks, previous))
    window = _wanted(whole, frame, clicks, None if before is None else before.window)
    if window is None:
        return Answer(frame, whole)
    seen = before.close if before is not None and window == before.window else None
    return _looked(predictor, frame, clicks, whole, window, seen, look)


def _from_near(
    predictor: Predictor,
    frame: Frame,
    clicks: Sequence[Click],
    window: Window,
    before: Answer | None,
    look: Look,
) -> Answer | None:
    """The answer of one window alone; None when another one, or none, is asked for by what is found in it."""
    if before is None:
        before = Answer(frame, np.zeros((frame.height, frame.width), np.float32))
    found = _looked(predictor, frame, clicks, before.probability, window, before.close, look)
    return found if _wanted(found.probability, frame, clicks, window) == window else None


def _wanted(whole: Map, frame: Frame, clicks: Sequence[Click], open_window: Window | None) -> Window | None:
    """The window to look at closely, judged by a map of the whole image."""
    shape, long_side = (frame.image_height, frame.image_width), max(frame.height, frame.width)
    return window_for(_extent(whole, frame, clicks), clicks, shape, long_side, open_window)


def _looked(
    predictor: Predictor,
    frame: Frame,
    clicks: Sequence[Click],
    whole: Map,
    window: Window,
    seen: Map | None,
    look: Look,
) -> Answer:
    """The answer with a window seen from near; ``seen`` is what was seen there before, if it was open."""
    near = frame_of(window)
    start = _part(whole, frame, window, near) if seen is None else seen
    previous = _tensor(start) if start.any() else None
    shown, merging = window.inside(clicks), seen is not None
    close = _array(predictor.probability(look(window), near, shown, previous, merging))
    return Answer(frame, _pasted(whole, frame, window, close), window, close)


def _extent(probability: Map, frame: Frame, clicks: Sequence[Click]) -> Box | None:
    """The box round the mask, in image pixels; None when it is empty."""
    small = Frame(frame.height, frame.width, frame.height, frame.width)
    sx, sy = frame.scale_xy
    mask = to_mask(probability, small, [Click(c.x * sx, c.y * sy, c.positive) for c in clicks])
    rows, columns = (np.nonzero(mask.any(axis))[0] for axis in (1, 0))
    if not len(rows):
        return None
    return rows[0] / sy, columns[0] / sx, (rows[-1] + 1) / sy, (columns[-1] + 1) / sx


def _part(whole: Map, frame: Frame, window: Window, close: Frame) -> Map:
    """A window of a map of the whole image, enlarged to the window's own frame."""
    sx, sy = frame.scale_xy
    enlarge = np.array(
        [
            [close.width / (window.width * sx), 0, -window.left * close.width / window.width],
            [0, close.height / (window.height * sy), -window.top * close.height / window.height],
        ]
    )
    enlarge[:, 2] += 0.5 * enlarge[:, :2].sum(1) - 0.5  # pixel areas map onto pixel areas
    part = cv2.warpAffine(whole, enlarge, (close.width, close.height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(part, np.float32)


def _pasted(whole: Map, frame: Frame, window: Window, close: Map) -> Map:
    """The map of the whole image with what was seen from near in its place, and nothing outside of it."""
    sx, sy = frame.scale_xy
    top, bottom = (
        round(window.top * sy),
        max(round((window.top + window.height) * sy), round(window.top * sy) + 1),
    )
    left, right = (
        round(window.left * sx),
        max(round((window.left + window.width) * sx), round(window.left * sx) + 1),
    )
    pasted = np.minimum(whole, 0.49)
    inside = pasted[top:bottom, left:right]
    inside[:] = cv2.resize(close, inside.shape[::-1], interpolation=cv2.INTER_AREA)
    return pasted


def _tensor(values: Map) -> Tensor:
    return torch.from_numpy(values)[None, None]


def _array(values: Tensor) -> Map:
    return values[0, 0].float().cpu().numpy()
