"""What is known of an image, or of a window of one, after some clicks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from model.clicks import Click
from model.evidence.prepared import Prepared
from model.features.encoding import Frame
from model.interactive.mask import SURE, Map, Mask, enlarged, settled, smoothed
from model.interactive.predictor import Predictor
from model.interactive.threshold_selection import ClickOnMask, select_threshold
from model.language.vocabulary import Words
from model.metrics.expected import sigmoid


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
        before: the view after all of them but the newest, if it is known.
        words: for the defect (:meth:`model.interactive.predictor.Predictor.words`).
    """
    known = None if before is None else before.logits
    raw = predictor.logits(prepared, frame, clicks, known, words)
    history = click_history(before, clicks, frame)
    config, smooth = predictor.config, smoothed(raw, predictor.config.mask)
    found = select_threshold(smooth, sigmoid(raw), frame, history, known, config.threshold)
    return Prediction(settled(found.logits, frame, clicks, config.mask), history, found.expected_iou)
