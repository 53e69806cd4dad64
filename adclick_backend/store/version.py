"""A trained version of one project: its files, what they are good for, and what is wrong with them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adclick_backend.store.operating_points import NO_NOTE, PointsNote, read_points
from adclick_backend.store.proposal_source import (
    AUTOMATIC,
    NOTHING,
    PACKAGED,
    TRAINED,
    ProposalSource,
    parts_of,
)
from model.checkpoint.described import CLICK_PRESETS
from model.checkpoint.manifest import manifest_path
from model.labels.labelled import DEFECT

WEIGHTS = "weights.safetensors"

CLICKS = "click.safetensors"
"""A click network adapted to the project, in a version that has one."""

DETECTOR = "detector.safetensors"
"""Detectors that learned from the good images of the project, in a version that has some."""

CLICK_COUNTS = (1, 3, 5)
"""Numbers of clicks after which the mean IoU of a version's click network is measured."""


def click_measure(count: int) -> str:
    """Name of the mean IoU after so many clicks, among the metrics of a version."""
    return f"click_{count}"


@dataclass(frozen=True)
class Version:
    """A trained version of one project.

    Attributes:
        name: ``"v4"``.
        folder: holds ``weights.safetensors``, its manifest ``weights.json``, ``comparison.json`` and
            ``pictures/*.png``; with an adapted click network ``click.safetensors`` and ``click.json``, with detectors
            ``detector.safetensors`` and ``detector.json``. A version that has nothing but the second lets the packaged
            network propose masks.
        created: Unix seconds.
        metrics: of the hold-out, as its manifest has them.
        manifest: all of the manifest; empty when it cannot be read.
        serving: whether predictions come from it now.
        damage: a sentence that says why it cannot serve: what is wrong with its files, or why its network could not
            be loaded; "" when nothing is known against it.
        click_damage: the same of its click network, without which it serves all the same.
        detector_damage: the same of its detectors, without which it serves unless masks come from them.
        parts: names of its detectors; none when they are damaged.
        points: where the operating points that a person chose for it are written down.
    """

    name: str
    folder: Path
    created: float
    metrics: dict[str, Any]
    manifest: dict[str, Any]
    serving: bool
    damage: str = ""
    click_damage: str = ""
    detector_damage: str = ""
    parts: tuple[str, ...] = ()
    points: PointsNote = field(default=NO_NOTE, compare=False)

    @property
    def weights(self) -> Path | None:
        """The checkpoint of its segmentation network; None when the packaged one proposes masks."""
        return None if self.manifest.get("preset") in CLICK_PRESETS else self.folder / WEIGHTS

    @property
    def clicks(self) -> Path | None:
        """The checkpoint of its click network; None when it has none that can be used, and the shared one answers."""
        path = self.folder / CLICKS
        return path if not self.click_damage and manifest_path(path).exists() else None

    @property
    def detector(self) -> Path | None:
        """The checkpoint of its detectors; None when it has none that can be used."""
        return self.folder / DETECTOR if self.parts else None

    @property
    def source(self) -> str:
        """What its masks before the first click come from, unless somebody chose another source."""
        return str(self.manifest.get("source", PACKAGED if self.weights is None else TRAINED))

    def proposing(self, choice: str = AUTOMATIC) -> ProposalSource:
        """What its masks before the first click come from, and where they are cut; a choice that it lacks is none."""
        name = choice if choice != AUTOMATIC and self.offers(choice) else self.source
        return ProposalSource(name, self.weights, self.detector).at(read_points(self.points, name))

    def types(self, source: str) -> tuple[str, ...]:
        """The defect types that maps of a source tell apart; `DEFECT` alone where that has learned from no label."""
        named = self.manifest.get("types") if source == TRAINED else None
        return tuple(map(str, named)) if named else (DEFECT,)

    def offers(self, name: str) -> bool:
        """Whether it has what a source needs."""
        if name == TRAINED:
            return self.weights is not None
        return name != NOTHING and set(parts_of(name)) <= set(self.parts)

    @property
    def comparison(self) -> dict[str, Any]:
        """How it did against the version before; empty when that was not kept."""
        try:
            found = json.loads((self.folder / "comparison.json").read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def pictures(self) -> list[Path]:
        """Pictures of where it and the version before differ, the largest difference first."""
        return sorted((self.folder / "pictures").glob("[0-9]*.png"))

    @property
    def click_pictures(self) -> list[Path]:
        """Pictures of masks after one click, by the click network before and by the adapted one."""
        return sorted((self.folder / "pictures").glob("click-*.png"))

    @property
    def source_pictures(self) -> list[Path]:
        """Pictures of what each source of masks sees in the same images."""
        return sorted((self.folder / "pictures").glob("source-*.png"))
