"""What a benchmark measures: which images, which references, which methods and settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import numpy as np

from adclick_backend.benchmark.peers import CLASSICAL
from adclick_backend.benchmark.rows import Results, Row, Setting
from adclick_backend.benchmark.variants import ADCLICK, CHANGES, is_adclick
from model.datasets.mvtec import Category

MOBILE_SAM = "MobileSAM"


@dataclass(frozen=True)
class Work:
    """One image with what has to be measured on it.

    Attributes:
        number: of its product, from 1.
        category: set and product.
        name: what the image is called in the results.
        image: its file.
        mask: its true mask's file.
        good: the defect-free images of the product; the first of them are the references.
        settings: what is missing.
    """

    number: int
    category: str
    name: str
    image: Path
    mask: Path
    good: tuple[Path, ...]
    settings: tuple[Setting, ...]


@dataclass(frozen=True)
class Plan:
    """The images, methods and settings of a benchmark.

    Attributes:
        categories: the products.
        methods: ADClick, its variants (:mod:`adclick_backend.benchmark.variants`) and peers.
        references: numbers of references as words, or ``all``; a product that has fewer is measured with what it has.
        jitters: standard deviations of the clicks, in percent of the longer side.
        limit: at most so many images of each product, drawn by ``seed``; None for all.
        seed: also of the order in which defect-free images become references.
        number_format: in which ADClick computes.
    """

    categories: Sequence[Category]
    methods: Sequence[str]
    references: Sequence[str]
    jitters: Sequence[float]
    limit: int | None
    seed: int
    number_format: str
    _pairs: dict[str, list[tuple[Path, Path]]] = field(default_factory=dict)
    _good: dict[str, tuple[Path, ...]] = field(default_factory=dict)

    def missing(self, results: Results, version: str, clicks: int) -> list[Work]:
        """What was not yet measured with weights of this version, in the plan's number format, and so many clicks.

        The first image of every product comes first, then the second of each: a run that is stopped early has
        measured all products alike, and processes seldom wait for each other's references.
        """
        products = [
            list(self._work(number, category, results, version, clicks))
            for number, category in enumerate(self.categories, 1)
        ]
        return [work for images in zip_longest(*products) for work in images if work is not None]

    def _work(
        self, number: int, category: Category, results: Results, version: str, clicks: int
    ) -> Iterator[Work]:
        wanted = [s for method in self.methods for s, _ in self._settings(category, method)]
        for image, mask in self.images(category):
            name = image_name(category, image)
            lacking = tuple(
                s
                for s in dict.fromkeys(wanted)
                if not results.has((category.name, name, s), *self._by(s.method, version), clicks)
            )
            if lacking:
                yield Work(number, category.name, name, image, mask, self.good(category), lacking)

    def lines(
        self, results: Results, version: str
    ) -> Iterator[tuple[str, Setting, Category, list[tuple[Row, Path, Path]]]]:
        """What is there to report: (references as asked, setting, product, images).

        Each image with its row, its file and its mask's file. Of peers all that was ever measured, of ADClick what
        these weights did in the plan's number format. Where a method was measured in some products, the others have
        no images.
        """
        found = {row.key: row for row in results.rows() if row.by == self._by(row.setting.method, version)}
        for method in (ADCLICK, *CHANGES, *CLASSICAL, MOBILE_SAM):
            for place in range(len(self.jitters) * (len(self.references) if is_adclick(method) else 1)):
                measured = []
                for category in self.categories:
                    setting, asked = self._settings(category, method)[place]
                    images = [
                        (found[key], image, mask)
                        for image, mask in self.images(category)
                        if (key := (category.name, image_name(category, image), setting)) in found
                    ]
                    measured.append((asked, setting, category, images))
                if any(images for *_, images in measured):
                    yield from (line for line in measured if self.images(line[2]))

    def _by(self, method: str, version: str) -> tuple[str, str]:
        """The weights and the number format of a method; peers have none."""
        return (version, self.number_format) if is_adclick(method) else ("", "")

    def _settings(self, category: Category, method: str) -> list[tuple[Setting, str]]:
        """The settings of a method, each with the references as they were asked for; ``-`` for what knows none."""
        if not is_adclick(method):
            return [(Setting(method, None, jitter), "-") for jitter in self.jitters]
        there = len(self.good(category))
        return [
            (Setting(method, there if asked == "all" else min(int(asked), there), jitter), asked)
            for asked in self.references
            for jitter in self.jitters
        ]

    def images(self, category: Category) -> list[tuple[Path, Path]]:
        """The defect images that are measured, with their masks."""
        if category.name not in self._pairs:
            pairs = category.defects()
            if self.limit is not None and self.limit < len(pairs):
                order = np.random.default_rng(self.seed).permutation(len(pairs))[: self.limit]
                pairs = [pairs[i] for i in sorted(order)]
            self._pairs[category.name] = pairs
        return self._pairs[category.name]

    def good(self, category: Category) -> tuple[Path, ...]:
        """The defect-free images in the order in which they become references."""
        if category.name not in self._good:
            files = category.good()
            order = np.random.default_rng(self.seed).permutation(len(files))
            self._good[category.name] = tuple(files[i] for i in order)
        return self._good[category.name]


def image_name(category: Category, image: Path) -> str:
    """What an image is called in the results: its path from the set's folder on."""
    return str(image.relative_to(category.root.parent.parent))
