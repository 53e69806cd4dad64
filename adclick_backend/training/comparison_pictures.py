"""Pictures of the images in which two versions differ most: image, label, serving version, new version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_backend.store.proposal_source import words_of_source
from adclick_backend.training.click_verdict import Clicked
from adclick_backend.training.promotion import ImageScores, Judged, Look, highest, truth_of
from adclick_backend.training.source_trial import Trial
from adclick_runtime.drawing import outline
from model.labels.labelled import LabelledImage

SHOWN = 6
SIDE = 320  # longer side of a panel, in pixels
ACROSS = 4  # panels beside each other, where there are many
STRIP = 22  # height of the line of words above a panel
GREEN, RED, BLUE, PAPER, INK = (
    (80, 170, 60),
    (60, 60, 220),
    (210, 120, 30),
    (255, 255, 255),
    (40, 40, 40),
)  # BGR


def draw_pictures(folder: Path, judged: Sequence[Judged], candidate: Look, serving: Look | None) -> list[str]:
    """Draw the first few images into `folder`, as ``01.png``, ``02.png`` ...

    Args:
        folder: made when it is not there.
        judged: images, the one with the largest difference first.
        candidate: the new version.
        serving: the version that serves; its panel is left out when there is none.

    Returns:
        SHA-256 of each image that was drawn, in the order of the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shown = list(judged[:SHOWN])
    for number, one in enumerate(shown, 1):
        picture = _picture(one, candidate, serving)
        cv2.imwrite(str(folder / f"{number:02d}.png"), picture)
    return [one.image.name for one in shown]


def draw_click_pictures(folder: Path, clicked: Sequence[Clicked]) -> None:
    """Draw the first few images into `folder`, as ``click-01.png`` ...: masks after one click, before and after.

    Args:
        folder: made when it is not there.
        clicked: images, the one with the largest difference first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(clicked[:SHOWN], 1):
        small, size = _shrunk(one.image)
        panels = [_panel(small, None, "image", INK)]
        panels.append(_panel(small, truth_of(one.image, size[::-1]), "label", GREEN))
        for mask, found, words, colour in (
            (one.first[0], one.serving, "1 click, before", BLUE),
            (one.first[1], one.candidate, "1 click, adapted", RED),
        ):
            shown = _cut(mask.astype(np.float32), size)
            panels.append(_panel(small, shown, f"{words} {_score(found[0], None)}", colour))
        cv2.imwrite(str(folder / f"click-{number:02d}.png"), np.concatenate(panels, axis=1))


def draw_source_pictures(folder: Path, trial: Trial, looks: Mapping[str, Look]) -> None:
    """Draw a few images into `folder`, as ``source-01.png`` ...: image, truth, and what each source sees in it.

    Args:
        folder: made when it is not there.
        trial: of the sources; drawn are the images in which they differ most, and one good image.
        looks: source -> what it sees.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(_most_telling(trial), 1):
        small, size = _shrunk(image)
        label = ", ".join(sorted(image.labels)) or "normal"
        panels = [_panel(small, None, "image", INK)]
        panels.append(_panel(small, truth_of(image, size[::-1]), f"truth: {label}", GREEN))
        for one in trial.tried:
            scores = one.scores[image.name]
            words = f"{_score(scores.iou, scores.false_area)}: {words_of_source(one.name)}"
            colour = RED if one.name == trial.serves else BLUE
            panels.append(_panel(small, _cut(highest(looks[one.name](image)), size), words, colour))
        panels += [np.full_like(panels[0], 255)] * (-len(panels) % ACROSS)
        rows = [np.concatenate(panels[i : i + ACROSS], axis=1) for i in range(0, len(panels), ACROSS)]
        cv2.imwrite(str(folder / f"source-{number:02d}.png"), np.concatenate(rows, axis=0))


def _most_telling(trial: Trial) -> list[LabelledImage]:
    """The images in which sources differ most, and the good image of which most is marked."""

    def spread(image: LabelledImage) -> float:
        found = [_told(one.scores[image.name]) for one in trial.tried]
        return max(found) - min(found)

    defective = sorted((i for i in trial.images if i.labels), key=spread, reverse=True)
    good = sorted((i for i in trial.images if not i.labels), key=spread, reverse=True)
    return [*defective[: SHOWN - 1], *good[:1]]


def _told(scores: ImageScores) -> float:
    value = scores.false_area if scores.iou is None else scores.iou
    return 0.0 if value is None or not np.isfinite(value) else value


def _shrunk(image: LabelledImage) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """An image small enough for a panel, (h, w, 3) uint8 BGR, and its (w, h)."""
    pixels = cv2.cvtColor(image.load(), cv2.COLOR_RGB2BGR)
    scale = SIDE / max(pixels.shape[:2])
    size = max(round(pixels.shape[1] * scale), 1), max(round(pixels.shape[0] * scale), 1)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8), size


def _picture(judged: Judged, candidate: Look, serving: Look | None) -> NDArray[np.uint8]:
    """One image's panels, side by side, (h, w, 3) uint8 BGR."""
    small, size = _shrunk(judged.image)
    truth = truth_of(judged.image, (size[1], size[0]))
    label = ", ".join(sorted(judged.image.labels)) or "normal"
    panels = [_panel(small, None, "image", INK), _panel(small, truth, f"label: {label}", GREEN)]
    if serving is not None and judged.serving is not None:
        words = f"serving {_score(judged.serving.iou, judged.serving.false_area)}"
        panels.append(_panel(small, _cut(highest(serving(judged.image)), size), words, BLUE))
    words = f"new {_score(judged.candidate.iou, judged.candidate.false_area)}"
    panels.append(_panel(small, _cut(highest(candidate(judged.image)), size), words, RED))
    return np.concatenate(panels, axis=1)


def _score(iou: float | None, false_area: float | None) -> str:
    return f"IoU {iou:.1%}" if iou is not None else f"marks {false_area or 0:.1%}"


def _cut(probability: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.bool_]:
    return np.asarray(cv2.resize(probability, size, interpolation=cv2.INTER_LINEAR) >= 0.5)


def _panel(
    pixels: NDArray[np.uint8], mask: NDArray[np.bool_] | None, words: str, colour: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """An image with a mask's outline, below a line of words."""
    drawn = pixels.copy()
    if mask is not None:
        outline(drawn, mask, (PAPER, 3), (colour, 1))
    framed = cv2.copyMakeBorder(drawn, STRIP, 2, 2, 2, cv2.BORDER_CONSTANT, value=PAPER)
    ascii_only = words.encode("ascii", "replace").decode()  # cv2's fonts know no other letters
    cv2.putText(framed, ascii_only, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)
    return np.asarray(framed, np.uint8)
