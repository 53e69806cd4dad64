"""The backbone as ONNX, with the joint features that places are compared by (:mod:`adclick_runtime.features`)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adclick_runtime.errors import BundleError
from model.export.onnx_file import to_onnx
from model.features.backbones import EfficientNetLite0, Lite0ViT
from model.features.vit import PATCH, WIDTH
from model.matching.retrieval import MATCH_STRIDES


class BackboneGraph(nn.Module):
    """The feature maps of an image, and those of strides 4, 8 and 16 side by side.

    What is resized with smoothed borders, the image of the transformer and its positions, comes from outside: no two
    engines do that alike.
    """

    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.backbone = backbone

    def forward(self, rgb: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        """(1, 3, H, W) in [0, 255], and of a transformer its smaller image and its positions (1, 1 + h * w, C).

        Returns:
            The maps (1, C, h, w) of strides 2, 4, 8 and 16, and (h8, w8, D), the last three of them as they are
            compared: on the stride-8 grid, 3 x 3 averaged, not standardised.
        """
        if isinstance(self.backbone, Lite0ViT):
            smaller, places = others
            blocks = self.backbone.vit.seen(smaller, places)
            pyramid = {
                **self.backbone.fine(rgb),
                16: self.backbone.projection(torch.cat(list(blocks.values()), 1)),
            }
        else:
            pyramid = self.backbone(rgb)
        return *(pyramid[stride] for stride in (2, *MATCH_STRIDES)), joint(pyramid)


def joint(pyramid: dict[int, Tensor]) -> Tensor:
    """(h8, w8, D): what :func:`model.matching.residual.joint_features` standardises first; each step is a mean."""
    four = F.avg_pool2d(pyramid[4], 2)
    four, eight, sixteen = (
        F.avg_pool2d(maps, 3, 1, 1, count_include_pad=False) for maps in (four, pyramid[8], pyramid[16])
    )
    sixteen = F.interpolate(sixteen, scale_factor=2.0, mode="bilinear", align_corners=False)
    return torch.cat([four, eight, sixteen], 1)[0].permute(1, 2, 0)


def backbone_file(backbone: nn.Module) -> tuple[bytes, Tensor | None]:
    """A backbone as ONNX, and the positions of its transformer (1 + n * n, C); None for one without.

    Raises:
        BundleError: it is none of those that can be taken along.
    """
    inputs = {"rgb": torch.rand(1, 3, 96, 128) * 255}
    moving = {"rgb": {2: "height", 3: "width"}}
    places = None
    if isinstance(backbone, Lite0ViT):
        places = backbone.vit.places[0]
        inputs |= {
            "smaller": torch.rand(1, 3, 6 * PATCH, 8 * PATCH) * 255,
            "places": torch.rand(1, 1 + 48, WIDTH),
        }
        moving |= {"smaller": {2: "rows", 3: "columns"}, "places": {1: "tokens"}}
    elif not isinstance(backbone, EfficientNetLite0):
        raise BundleError(
            f"A detector behind the backbone {type(backbone).__name__} cannot be taken along: train the project behind "
            "one of the packaged backbones, and export that version."
        )
    moving |= {f"stride{s}": {2: f"height{s}", 3: f"width{s}"} for s in (2, *MATCH_STRIDES)}
    moving["joint"] = {0: "height8", 1: "width8"}
    names = [*(f"stride{s}" for s in (2, *MATCH_STRIDES)), "joint"]
    return to_onnx(BackboneGraph(backbone), inputs, names, moving), places
