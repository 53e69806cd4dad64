"""The detectors that are networks: how each is made from what a checkpoint says of it, and the sizes there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import nn

from model.checkpoint.backbone_id import BackboneId
from model.checkpoint.files import build
from model.checkpoint.manifest import CheckpointError
from model.detectors.checkpoint import Part
from model.detectors.detector import Detector
from model.detectors.invad.config import INVAD, INVAD_LITE, INVAD_TINY, InvADConfig
from model.detectors.invad.detector import InvADDetector
from model.detectors.invad.network import InvAD
from model.detectors.onenip.config import ONENIP, ONENIP_TINY, OneNIPConfig
from model.detectors.onenip.detector import OneNIPDetector
from model.detectors.onenip.network import OneNIP
from model.detectors.patchcore import PatchCoreBanks, PatchCoreConfig, PatchCoreDetector


class Method(NamedTuple):
    """A kind of detector that is a network.

    Attributes:
        read: its sizes, from what a manifest says and the name of the checkpoint; raises CheckpointError.
        network: makes the network of its sizes, untrained.
        detector: makes a detector of a name, a network, the backbone, the longer side of the frame and a device.
    """

    read: Callable[[Mapping[str, Any], str], Any]
    network: Callable[[Any], nn.Module]
    detector: Callable[[str, Any, BackboneId, int, str], Detector]


METHODS: dict[str, Method] = {
    "invad": Method(InvADConfig.read, InvAD, InvADDetector),
    "patchcore": Method(PatchCoreConfig.read, PatchCoreBanks, PatchCoreDetector),
    "onenip": Method(OneNIPConfig.read, OneNIP, OneNIPDetector),
}


class Preset(NamedTuple):
    """A detector by name.

    Attributes:
        method: of `METHODS`.
        config: its sizes; behind a packaged backbone they are fitted to its channels (``config.behind``).
        timm: timm's name of the backbone; "" for the packaged one.
        strides: of the maps that are used of a backbone of timm.
        long_side: of the working frame behind a backbone of timm, pixels.
    """

    method: str
    config: Any
    timm: str = ""
    strides: tuple[int, ...] = ()
    long_side: int = 256


PRESETS: dict[str, Preset] = {
    "invad": Preset("invad", INVAD, "wide_resnet50_2", INVAD.strides),
    "invad-lite": Preset("invad", INVAD_LITE, "resnet34", INVAD_LITE.strides),
    "invad-tiny": Preset("invad", INVAD_TINY),
    "onenip": Preset("onenip", ONENIP, "tf_efficientnet_b4.aa_in1k", ONENIP.strides, long_side=224),
    "onenip-tiny": Preset("onenip", ONENIP_TINY),
}


def detector_of(part: Part, behind: BackboneId, long_side: int, source: str, device: str = "cpu") -> Detector:
    """The detector that a part of a checkpoint holds.

    Args:
        part: one whose method is among `METHODS`.
        behind: the backbone of the checkpoint.
        long_side: of the working frame, pixels.
        source: name of the checkpoint, for messages.
        device: where it computes.

    Raises:
        CheckpointError: there is no such method here, or its sizes or tensors do not fit.
    """
    if part.method not in METHODS:
        raise CheckpointError(
            f"{source} holds {part.name!r:.60} of the method {part.method!r:.60}; this release has the networks "
            f"{', '.join(METHODS)}: update the backend, or train the detector again."
        )
    method = METHODS[part.method]
    config = method.read(part.network, source)
    network = build(lambda: method.network(config), dict(part.tensors), f"{source} ({part.name})")
    return method.detector(part.name, network, behind, long_side, device)
