"""A network as an ONNX file."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

OPSET = 18
"""Of the operators: the newest that ONNX Runtime 1.17 and OpenVINO 2024 both read."""


def to_onnx(
    network: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    moving: Mapping[str, Mapping[int, str]],
) -> bytes:
    """A network in evaluation mode as an ONNX file.

    Args:
        network: on the processor; its ``forward`` takes the inputs in their order.
        inputs: examples by name; what does not depend on their sizes must be written so that it never does.
        outputs: their names.
        moving: name of an input or output -> axis -> what its size, which may be any, is called.
    """
    written = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        # Of tracing: what it warns of is what the tests of the exported networks look for at other sizes.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            tuple(inputs.values()),
            written,  # type: ignore[arg-type, unused-ignore]
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: dict(axes) for name, axes in moving.items()},
            opset_version=OPSET,
            dynamo=False,
        )
    return written.getvalue()
