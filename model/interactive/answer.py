"""The answer to some clicks: what the whole image says, looked at again from near (:mod:`model.interactive.zoom`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from adclick_runtime.frame import Frame
from model.clicks import Click
from model.evidence.prepared import Prepared
from model.interactive import prediction
from model.interactive.mask import Map, Mask
from model.interactive.prediction import Prediction, blank, click_history, predict
from model.interactive.predictor import Predictor
from model.interactive.threshold_selection import ClickOnMask
from model.interactive.zoom import Box, Window, ZoomConfig, window_for
from model.language.vocabulary import Words

Look = Callable[[Window], Prepared]
"""Opens a window of the image, or finds it open."""


@dataclass(frozen=True)
class Answer:
    """What the network says after some clicks.

    Attributes:
        frame: working frame of the whole image.
        whole: the whole image; in the window, the close view shrunk.
        window: where it looked closely, if it did.
        close: what it saw there, in the window's own working frame and pixels.
    """

    frame: Frame
    whole: Prediction
    window: Window | None = None
    close: Prediction | None = None

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return self.whole.nbytes + (0 if self.close is None else self.close.nbytes)

    @property
    def probability(self) -> Map:
        """(frame.height, frame.width) float32 in [0, 1]."""
        return self.whole.probability

    def mask(self) -> Mask:
        """(frame.image_height, frame.image_width) bool."""
        if self.window is None or self.close is None:
            return self.whole.mask(self.frame)
        mask = np.zeros((self.frame.image_height, self.frame.image_width), bool)
        frame = Frame(self.window.height, self.window.width, *self.close.logits.shape)
        self.window.cut(mask)[:] = self.close.mask(frame)
        return mask

    def score(self) -> float:
        """The IoU to expect of the mask, in [0, 1]."""
        return (self.whole if self.close is None else self.close).expected_iou


def begun(frame: Frame, mask: Mask) -> Answer:
    """What the first click corrects where a mask is there before it: a proposal, say.

    Args:
        frame: working frame of the whole image.
        mask: (frame.image_height, frame.image_width) bool.

    Returns:
        An answer to no click, to be handed to :func:`answer` as ``before``.
    """
    return Answer(frame, prediction.begun(frame, mask))


def answer(
    predictor: Predictor,
    prepared: Prepared,
    frame: Frame,
    clicks: Sequence[Click],
    before: Answer | None,
    look: Look,
    expected: Sequence[Window] = (),
    words: Words | None = None,
) -> Answer:
    """The answer to ``clicks`` (image pixels, oldest first).

    Args:
        predictor: the network.
        prepared: the whole image.
        frame: its working frame.
        clicks: at least one.
        before: the answer to all clicks but the newest; before the first one, a mask that no click made
            (:func:`begun`).
        look: called when there is something to be seen from near.
        expected: windows round what was taken for a defect before anybody clicked.
        words: for the clicked defect (:meth:`model.interactive.predictor.Predictor.words`).

    As long as what is clicked and found fits the window that is open, the rest of the image is not looked at again;
    and not even for the first click, when it falls into a window that was expected and what is found fits that.
    """
    for window in expected if before is None else (before.window,):
        if window is not None and window.holds(clicks[-1]):
            near = _from_near(predictor, frame, clicks, window, before, look, words)
            if near is not None:
                return near
    whole = predict(predictor, prepared, frame, clicks, None if before is None else before.whole, words)
    window = _wanted(whole, frame, clicks, None if before is None else before.window, predictor.config.zoom)
    if window is None:
        return Answer(frame, whole)
    return _looked(predictor, frame, clicks, whole, window, before, look, words)


def _from_near(
    predictor: Predictor,
    frame: Frame,
    clicks: Sequence[Click],
    window: Window,
    before: Answer | None,
    look: Look,
    words: Words | None,
) -> Answer | None:
    """The answer of one window alone; None when another one, or none, is asked for by what is found in it."""
    start = None if before is None else before.whole
    whole = Prediction((start or blank(frame)).logits, click_history(start, clicks, frame))
    found = _looked(predictor, frame, clicks, whole, window, before, look, words)
    return found if _wanted(found.whole, frame, clicks, window, predictor.config.zoom) == window else None


def _wanted(
    whole: Prediction, frame: Frame, clicks: Sequence[Click], open_window: Window | None, config: ZoomConfig
) -> Window | None:
    """The window to look at closely, judged by a view of the whole image."""
    shape, long_side = (frame.image_height, frame.image_width), max(frame.height, frame.width)
    return window_for(_extent(whole, frame), clicks, shape, long_side, open_window, config)


def _looked(
    predictor: Predictor,
    frame: Frame,
    clicks: Sequence[Click],
    whole: Prediction,
    window: Window,
    before: Answer | None,
    look: Look,
    words: Words | None,
) -> Answer:
    """The answer with a window seen from near; ``whole`` is the image without it."""
    zoom, inside, seen = predictor.config.zoom, window.holds(clicks[-1]), None
    near = Frame.of(window.height, window.width, zoom.side)
    if before is not None and before.window == window:
        seen = before.close
    elif before is not None and inside:
        seen = _part(before.whole, frame, window, near)
    if inside or seen is None:  # a click outside of an open window says nothing of what is in it
        seen = predict(predictor, look(window), near, window.inside(clicks), seen, words)
    pasted = _pasted(whole.logits, frame, window, seen.logits, zoom.outside)
    return Answer(frame, replace(whole, logits=pasted), window, seen)


def _extent(whole: Prediction, frame: Frame) -> Box | None:
    """The box round the mask, in image pixels; None when it is empty."""
    sx, sy = frame.scale_xy
    mask = whole.logits > 0
    rows, columns = (np.nonzero(mask.any(axis))[0] for axis in (1, 0))
    if not len(rows):
        return None
    return rows[0] / sy, columns[0] / sx, (rows[-1] + 1) / sy, (columns[-1] + 1) / sx


def _part(whole: Prediction, frame: Frame, window: Window, close: Frame) -> Prediction:
    """A window of a view of the whole image, enlarged to the window's own frame."""
    sx, sy = frame.scale_xy
    enlarge = np.array(
        [
            [close.width / (window.width * sx), 0, -window.left * close.width / window.width],
            [0, close.height / (window.height * sy), -window.top * close.height / window.height],
        ]
    )
    enlarge[:, 2] += 0.5 * enlarge[:, :2].sum(1) - 0.5  # pixel areas map onto pixel areas
    part = cv2.warpAffine(whole.logits, enlarge, (close.width, close.height), borderMode=cv2.BORDER_REPLICATE)
    history = tuple(
        ClickOnMask(click, _cut(s.previous, frame, window, close))
        for s in whole.history
        for click in window.inside([s.click])
    )
    return Prediction(np.asarray(part, np.float32), history)


def _cut(mask: Mask, frame: Frame, window: Window, close: Frame) -> Mask:
    """A window of a mask on the stride-2 grid of the whole image, on that of the window."""
    part = window.of_size((frame.image_height, frame.image_width), mask.shape).cut(mask)
    size = close.width // 2, close.height // 2
    return np.asarray(cv2.resize(part.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0)


def _pasted(whole: Map, frame: Frame, window: Window, close: Map, outside: float) -> Map:
    """The logits of the whole image with what was seen from near in its place, and at most ``outside`` elsewhere."""
    sx, sy = frame.scale_xy
    top, bottom = (
        round(window.top * sy),
        max(round((window.top + window.height) * sy), round(window.top * sy) + 1),
    )
    left, right = (
        round(window.left * sx),
        max(round((window.left + window.width) * sx), round(window.left * sx) + 1),
    )
    pasted = np.minimum(whole, outside)
    inside = pasted[top:bottom, left:right]
    inside[:] = cv2.resize(close, inside.shape[::-1], interpolation=cv2.INTER_AREA)
    return pasted
