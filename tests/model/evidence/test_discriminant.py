from __future__ import annotations

import torch

from model.evidence.discriminant import DIRECTIONS, discriminant, projections

GRID = 24, 32


def levels(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"stride4": (24, 2.0), "stride8": (40, 1.0), "stride16": (112, 0.5), "texture": (38, 1.0)}
    return {
        name: torch.randn(1, c, round(GRID[0] * r), round(GRID[1] * r), generator=generator)
        for name, (c, r) in shapes.items()
    }


def test_directions_are_uncorrelated_and_centred() -> None:
    maps = discriminant(levels(), GRID)
    assert maps.shape == (1, DIRECTIONS, *GRID)
    cells = maps[0].flatten(1)
    covariance = cells @ cells.T / cells.shape[1]
    off = covariance - torch.diag(covariance.diagonal())
    assert float(cells.mean(1).abs().max()) < 1e-4
    assert float(off.abs().max()) < 1e-3 * float(covariance.diagonal().max())


def test_one_click_tells_a_defect_from_variation_that_the_whole_image_has() -> None:
    given = levels()
    wave = torch.sin(torch.arange(GRID[1]) / 2.0)
    given["texture"] += 8 * wave  # the product's own pattern, far stronger than the defect
    given["texture"][:, :6, 8:16, 10:20] += 3.0
    inside = torch.zeros(GRID, dtype=torch.bool)
    inside[8:16, 10:20] = True
    click = torch.tensor([[[15.5, 12.5]]])

    def contrast(maps: torch.Tensor) -> float:
        at = maps[:, :, int(click[0, 0, 1]), int(click[0, 0, 0])][:, None]
        likeness = projections(maps, at, [torch.ones(1, 1, dtype=torch.bool)])[0, 0]
        return float(likeness[inside].mean() - likeness[~inside].mean()) / float(likeness.std())

    assert contrast(discriminant(given, GRID)) > 2 * max(0.1, contrast(given["texture"]))


def test_a_clicked_place_is_wholly_like_itself_and_nothing_is_like_no_click() -> None:
    maps = discriminant(levels(), GRID)
    at = maps[:, :, 5, 7][:, None]
    some, none = torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, 1, dtype=torch.bool)
    ratio, cosine, no_ratio, no_cosine = projections(maps, at, [some, none])[0]
    assert abs(float(ratio[5, 7]) - 1) < 1e-3
    assert abs(float(cosine[5, 7]) - 1) < 1e-3
    assert float(no_ratio.abs().max()) == float(no_cosine.abs().max()) == 0.0


def test_the_most_alike_of_several_clicks_counts() -> None:
    maps = discriminant(levels(), GRID)
    at = torch.stack([maps[:, :, 5, 7], maps[:, :, 20, 30]], 1)
    ratio = projections(maps, at, [torch.ones(1, 2, dtype=torch.bool)])[0, 0]
    assert float(ratio[5, 7]) > 0.99
    assert float(ratio[20, 30]) > 0.99
