"""What is known of an image, or of a window of one, after some clicks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from adclick_runtime.expected import sigmoid
from adclick_runtime.frame import Frame
from model.clicks import Click
from model.evidence.prepared import Prepared
from model.interactive.continuity import continued
from model.interactive.mask import SURE, Map, Mask, enlarged, settled, smoothed
from model.interactive.predictor import Predictor
from model.interactive.threshold_selection import ClickOnMask, select_threshold
from model.language.vocabulary import Words

BEGUN = 2.0
"""Logit, + or -, of a mask that no click made: a click finds it easy to change."""


@dataclass(frozen=True)
class Prediction:
    """The answer to some clicks.

    Attributes:
        logits: (frame.height, frame.width) float32; the mask is where they are positive.
        history: the clicks so far, each with the mask that it was made at.
        expected_iou: of the mask, in [0, 1].
    """

    logits: Map
    history: tuple[ClickOnMask, ...] = ()
    expected_iou: float = 0.0

    @property
    def probability(self) -> Map:
        """(frame.height, frame.width) float32 in [0, 1]; the mask is where it is above 0.5."""
        return sigmoid(self.logits)

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return self.logits.nbytes + sum(s.previous.nbytes for s in self.history)

    def mask(self, frame: Frame) -> Mask:
        """(frame.image_height, frame.image_width) bool."""
        return enlarged(self.logits, frame)


def blank(frame: Frame) -> Prediction:
    """Before the first click."""
    return Prediction(np.full((frame.height, frame.width), -SURE, np.float32))


def begun(frame: Frame, mask: Mask) -> Prediction:
    """Before the first click, where a mask is there already.

    Args:
        frame: working frame.
        mask: (frame.image_height, frame.image_width) bool.
    """
    share = cv2.resize(mask.astype(np.float32), (frame.width, frame.height), interpolation=cv2.INTER_AREA)
    return Prediction(np.asarray(BEGUN * (2 * share - 1), np.float32))


def click_history(
    before: Prediction | None, clicks: Sequence[Click], frame: Frame
) -> tuple[ClickOnMask, ...]:
    """The clicks with the masks that they were made at, as far as they are known.

    Args:
        before: the view after all ``clicks`` (image pixels, oldest first) but the newest; None when there was none, or
            nobody knows it any more.
        clicks: at least one.
        frame: working frame of the view.
    """
    if before is None and len(clicks) > 1:
        return ()
    before = before or blank(frame)
    small = cv2.resize(before.logits, (frame.width // 2, frame.height // 2), interpolation=cv2.INTER_AREA)
    return (*before.history, ClickOnMask(clicks[-1], small > 0))


def predict(
    predictor: Predictor,
    prepared: Prepared,
    frame: Frame,
    clicks: Sequence[Click],
    before: Prediction | None,
    words: Words | None = None,
) -> Prediction:
    """The view after ``clicks``.

    Args:
        predictor: the network.
        prepared: what is looked at.
        frame: its working frame.
        clicks: in image pixels, oldest first; at least one.
        before: the view after all of them but the newest, if it is known; before the first one, a mask that no click
            made (:func:`begun`).
        words: for the defect (:meth:`model.interactive.predictor.Predictor.words`).
    """
    known = None if before is None else before.logits
    raw = predictor.logits(prepared, frame, clicks, known, words)
    history = click_history(before, clicks, frame)
    config, smooth = predictor.config, smoothed(raw, predictor.config.mask)
    found = select_threshold(smooth, sigmoid(raw), frame, history, known, config.threshold)
    shown = known is not None and bool((known > 0).any())
    if not shown and not any(c.positive for c in clicks):
        return Prediction(np.minimum(found.logits, -1.0), history, found.expected_iou)
    logits = settled(found.logits, frame, clicks, config.mask)
    if before is not None and shown and config.continuity is not None:
        expected = before.expected_iou, found.expected_iou
        logits = continued(logits, before.logits, clicks, frame, expected, config.continuity)
    return Prediction(logits, history, found.expected_iou)
