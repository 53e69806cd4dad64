"""CutPaste (Li et al., CVPR 2021): a piece of an image, its colours changed, in another place of the same image."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from model.generation.synthesis import Image, Mask

AREA = (0.02, 0.15)  # of a rectangle, as a share of the image
ASPECT = (0.3, 1 / 0.3)  # of a rectangle
SCAR_WIDTH, SCAR_LENGTH = (2, 16), (10, 25)  # pixels of an image whose longer side is 256
SCAR_TURN = 45.0  # degrees, at most
JITTER = (0.4, 0.4, 0.4, 0.1)  # of brightness, contrast, saturation and hue, at most


def cut_paste(image: Image, rng: np.random.Generator) -> tuple[Image, Mask]:
    """A copy of ``image`` with a rectangle or a scar pasted elsewhere, either as likely as the other.

    Args:
        image: (H, W, 3) uint8 RGB.
        rng: source of all randomness.

    Returns:
        The image, and the mask (H, W) of the pasted pixels.
    """
    patch, shape = _rectangle(image, rng) if rng.random() < 0.5 else _scar(image, rng)
    (h, w), (height, width) = shape.shape, image.shape[:2]
    top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
    result, mask = image.copy(), np.zeros((height, width), bool)
    place = np.s_[top : top + h, left : left + w]
    mask[place] = shape
    result[place][shape] = patch[shape]
    return result, mask


def _rectangle(image: Image, rng: np.random.Generator) -> tuple[Image, Mask]:
    height, width = image.shape[:2]
    area = rng.uniform(*AREA) * height * width
    aspect = float(np.exp(rng.uniform(*np.log(ASPECT))))
    patch = _cut(image, round((area / aspect) ** 0.5), round((area * aspect) ** 0.5), rng)
    return patch, np.ones(patch.shape[:2], bool)


def _scar(image: Image, rng: np.random.Generator) -> tuple[Image, Mask]:
    """A narrow strip, turned."""
    scale = max(image.shape[:2]) / 256
    w, h = (max(2, round(rng.uniform(*side) * scale)) for side in (SCAR_WIDTH, SCAR_LENGTH))
    patch = _cut(image, h, w, rng)
    h, w = patch.shape[:2]
    angle = rng.uniform(-SCAR_TURN, SCAR_TURN)
    turn = cv2.getRotationMatrix2D((w / 2, h / 2), angle, 1.0)
    box = cv2.boxPoints(((0, 0), (w, h), angle))
    size = [min(int(np.ceil(np.ptp(box[:, axis]))) + 1, image.shape[1 - axis]) for axis in (0, 1)]
    turn[:, 2] += (np.array(size) - (w, h)) / 2
    turned = cv2.warpAffine(patch, turn, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    shape = cv2.warpAffine(np.ones((h, w), np.uint8), turn, size, flags=cv2.INTER_NEAREST)
    return np.asarray(turned, np.uint8), np.asarray(shape > 0)


def _cut(image: Image, h: int, w: int, rng: np.random.Generator) -> Image:
    """A piece of an image of about h x w pixels, in other colours."""
    height, width = image.shape[:2]
    h, w = min(max(1, h), height), min(max(1, w), width)
    top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
    return _in_other_colours(image[top : top + h, left : left + w], rng)


def _in_other_colours(patch: Image, rng: np.random.Generator) -> Image:
    """Brightness, contrast, saturation and hue changed by up to :data:`JITTER`, in this order."""
    brightness, contrast, saturation = (rng.uniform(1 - most, 1 + most) for most in JITTER[:3])
    hue = rng.uniform(-JITTER[3], JITTER[3])
    changed: NDArray[np.float32] = patch.astype(np.float32) * np.float32(brightness / 255)
    changed = np.clip(changed, 0, 1)
    changed = np.clip((changed - changed.mean()) * np.float32(contrast) + changed.mean(), 0, 1)
    hsv = cv2.cvtColor(changed, cv2.COLOR_RGB2HSV)  # hue in degrees
    hsv[..., 0] = (hsv[..., 0] + 360 * hue) % 360
    hsv[..., 1] = np.clip(hsv[..., 1] * saturation, 0, 1)
    return np.asarray(np.rint(255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)), np.uint8)
