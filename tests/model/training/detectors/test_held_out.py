"""The held-out check: synthetic defects on good images that nothing was trained on."""

from __future__ import annotations

from functools import cache

import numpy as np

from model.checkpoint.backbone_id import BackboneId
from model.detectors.detector import Found, Scene
from model.generation.synthesis import add_defect
from model.segmentation.scenes import Scenes
from model.training.detectors.held_out import OWN, HeldOut
from tests.helpers.plates import SmallPredictor, plate


@cache
def held_out(seed: int = 0) -> HeldOut:
    scenes = Scenes(SmallPredictor(), {"plate": [plate(i) for i in range(3)]})
    return HeldOut(scenes, {"plate": [plate(8), plate(9)]}, 2, seed)


class Oracle:
    """Knows the masks; ``right`` says how it uses them."""

    name, needs, long_side, backbone_id = "oracle", 0, 128, BackboneId("lite0_vit", "0")

    def __init__(self, right: bool) -> None:
        self.right = right
        self.masks = {id(held.scene): held.mask for held in held_out().held}

    def look(self, scene: Scene) -> Found:
        mask = self.masks[id(scene)]
        map_ = np.asarray(mask if self.right else ~mask, np.float32)
        return Found(map_, float(mask.any()) if self.right else -float(mask.any()))


def test_each_image_is_looked_at_whole_and_with_defects_of_its_own() -> None:
    held = held_out().held
    assert [bool(h.mask.any()) for h in held] == 2 * [False, True, True]
    assert all(h.mask.shape == (192, 256) for h in held)
    assert all(len(h.scene.references) == 3 and h.scene.prepared is not None for h in held)
    assert len({h.mask.tobytes() for h in held if h.mask.any()}) == 4
    _, drawn, _ = add_defect(plate(8), np.random.default_rng([OWN, 0, 0, 0, 0]))
    overlap = np.kron(drawn, np.ones((2, 2))).astype(bool) & held[1].mask
    assert overlap.sum() > 0.8 * held[1].mask.sum()
    assert held_out().good("plate") == [held[0].scene, held[3].scene]
    assert not held_out().good("bolt")


def test_what_finds_the_defects_has_1_and_what_finds_all_else_has_little() -> None:
    assert held_out().measure(Oracle(right=True)) == {"pixel_ap": 1.0, "image_auroc": 1.0}
    wrong = held_out().measure(Oracle(right=False))
    assert wrong["pixel_ap"] < 0.2
    assert wrong["image_auroc"] == 0


def test_without_images_kept_back_nothing_is_measured() -> None:
    empty = HeldOut(Scenes(SmallPredictor(), {}), {"plate": []}, 2)
    assert empty.measure(Oracle(right=True)) == {}
