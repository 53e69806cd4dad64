from __future__ import annotations

import torch

from model.features.projection import principal_components


def test_the_directions_of_the_largest_variance_are_kept() -> None:
    """Of eight channels that two numbers make up, in other units each, two directions say all."""
    generator = torch.Generator().manual_seed(0)
    mixing, units = torch.randn(8, 2, generator=generator), torch.tensor([1.0, 1e-3, 50, 1, 1, 7, 1, 1])

    def image(h: int, w: int) -> torch.Tensor:
        hidden = torch.randn(2, h * w, generator=generator)
        return ((mixing @ hidden) * units[:, None] + 3.0).view(1, 8, h, w)

    images = [image(20, 30), image(16, 16)]
    weight, bias, kept = principal_components(images, 2)
    assert weight.shape == (2, 8, 1, 1)
    assert kept > 0.9999
    projected = torch.nn.functional.conv2d(
        torch.cat([i.flatten(2) for i in images], 2)[..., None], weight, bias
    )
    values = projected[0, :, :, 0]
    assert float(values.mean(1).abs().max()) < 0.2
    assert abs(float(torch.corrcoef(values)[0, 1])) < 0.1
    assert principal_components(images, 1)[2] < 0.95


def test_the_same_images_give_the_same_projection() -> None:
    maps = torch.randn(1, 6, 40, 40, generator=torch.Generator().manual_seed(1))
    one, other = (principal_components([maps], 3, seed=5) for _ in range(2))
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])
