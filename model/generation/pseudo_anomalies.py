"""The pseudo-anomalies that OneNIP learns to restore (section 3.3): CutPaste or a texture, either as likely."""

from __future__ import annotations

import numpy as np

from model.generation.cutpaste import cut_paste
from model.generation.perlin import perlin_defect
from model.generation.synthesis import Image, Mask


def pseudo_anomaly(image: Image, rng: np.random.Generator) -> tuple[Image, Mask]:
    """A copy of ``image`` (H, W, 3) uint8 RGB with something that does not belong there, and where (H, W)."""
    return (cut_paste if rng.random() < 0.5 else perlin_defect)(image, rng)
