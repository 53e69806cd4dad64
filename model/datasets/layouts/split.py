"""Which labelled images are learned from, tuned by and tested with."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence

from model.datasets.layouts.picture import PARTS, Part


def split(
    images: Mapping[str, Sequence[str]],
    shares: Mapping[Part, float],
    seed: int,
    kept_back: Collection[str] = (),
) -> dict[str, Part]:
    """The part of each image: the same images in the same parts for the same seed, in whatever order they come.

    One image after the other, those with the same types together, goes to the part that lacks most of its share, so
    that every part has its share of each combination of types, as far as whole images allow.

    Args:
        images: name, such as the SHA-256 of a file, -> its defect types; none for an image free of defects.
        shares: of the parts; they are divided by their sum.
        seed: another one mixes the images in another way.
        kept_back: images that must not be learned from. They stay together: in ``test``, or in ``val`` where
            ``test`` has no share.

    Raises:
        ValueError: the shares are none, or negative, or nothing but ``train`` has one while images are kept back.
    """
    total = sum(shares.values())
    if total <= 0 or min(shares.values()) < 0:
        raise ValueError(f"Shares are numbers from 0 on, one of them larger, not {dict(shares)}.")
    wanted = {part: shares.get(part, 0.0) / total for part in PARTS}
    kept = set(kept_back) & set(images)
    home: Part = "test" if wanted["test"] else "val"
    if kept and not wanted[home]:
        raise ValueError(
            f"{len(kept)} of the images are kept back by the version that serves and must not be learned from, so "
            "give val or test a share."
        )
    counts, found = dict.fromkeys(PARTS, 0), {}

    def take(name: str, part: Part) -> None:
        counts[part] += 1
        found[name] = part

    strata: dict[tuple[str, ...], list[str]] = {}
    for name, types in images.items():
        strata.setdefault(tuple(sorted(types)), []).append(name)
    for _, names in sorted(strata.items()):
        for name in sorted(kept & set(names)):
            take(name, home)
        for name in sorted(set(names) - kept, key=lambda name: _order(name, seed)):
            seen = sum(counts.values()) + 1
            take(
                name,
                max(PARTS, key=lambda part: wanted[part] * seen - counts[part] if wanted[part] else -1e9),
            )
    return found


def _order(name: str, seed: int) -> str:
    """A place in an order that has nothing to do with how the images came in."""
    return hashlib.sha256(f"{seed} {name}".encode()).hexdigest()
