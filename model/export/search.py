"""The search for the best match as ONNX: its engine is quicker at products than numpy is, and keeps to its threads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.export.onnx_file import to_onnx


class SearchGraph(nn.Module):
    """The number of the largest product of each query; see :class:`adclick_runtime.matching.Cells`."""

    def forward(self, query: Tensor, searched: Tensor) -> Tensor:
        """(n, D) and (D, m) -> (n,)."""
        return (query @ searched).argmax(1)


def search_file() -> bytes:
    """The search as ONNX; see :class:`SearchGraph`."""
    inputs = {"query": torch.rand(4, 3), "searched": torch.rand(3, 5)}
    moving = {
        "query": {0: "cells", 1: "numbers"},
        "searched": {0: "numbers", 1: "others"},
        "best": {0: "cells"},
    }
    return to_onnx(SearchGraph(), inputs, ["best"], moving)
