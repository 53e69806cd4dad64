"""Click evidence: how near and how similar every place of an image is to the clicked ones."""

from __future__ import annotations

import torch
from torch import Tensor

from model.evidence.discriminant import projections
from model.evidence.nearness import nearness
from model.evidence.prepared import DISCRIMINANT, LAYOUT, LEVELS, Prepared, size_of, to_grid


def evidence(prepared: Prepared, clicks: Tensor) -> Tensor:
    """All channels for the network.

    Args:
        prepared: of B images.
        clicks: (B, N, 3) float32: x, y on the stride-2 grid (cell i covers [i, i + 1)), and +1 for "this", -1 for
            "not this", 0 for padding.

    Returns:
        (B, CHANNELS, h, w) float32.
    """
    return torch.cat(list(_maps(prepared, clicks).values()), 1)


def columns(*kinds: str) -> list[int]:
    """The numbers of the channels of these kinds of ``LAYOUT``."""
    starts, start = {}, 0
    for kind, count in LAYOUT.items():
        starts[kind] = start
        start += count
    return [starts[kind] + i for kind in kinds for i in range(LAYOUT[kind])]


def _maps(prepared: Prepared, clicks: Tensor) -> dict[str, Tensor]:
    """The maps of :func:`evidence` by kind; the static ones together."""
    grid = size_of(prepared.static)
    sign = clicks[..., 2]
    groups = [sign > 0, sign < 0]
    maps = {
        "static": prepared.static,
        "near": nearness(clicks, *grid),
    }
    like = {name: _similarity(prepared, name, clicks, groups, grid) for name in LEVELS}
    texture_last = like.pop("texture")
    maps |= {f"like {name}": pair for name, pair in like.items()}
    clicked = _gather(prepared.vectors, clicks, grid)
    length = clicked.square().sum(2).sqrt().clamp_min(1e-2)[..., None, None]
    distance = 2 * _distances(prepared.vectors, clicked) / length
    maps["like residual"] = torch.cat([to_grid(_most_alike(distance, group), grid) for group in groups], 1)
    maps["energy ratios"] = _energy_ratios(prepared.log_energies, clicks, groups[0])
    maps["like texture"] = texture_last
    for name, level in ((DISCRIMINANT, prepared.levels[DISCRIMINANT]), ("residual", prepared.vectors)):
        maps[f"onto {name}"] = to_grid(projections(level, _gather(level, clicks, grid), groups), grid)
    return maps


def _similarity(
    prepared: Prepared, name: str, clicks: Tensor, groups: list[Tensor], grid: tuple[int, int]
) -> Tensor:
    """(B, 2, h, w): how like the places of a level are to the clicked ones, positive and negative."""
    level, scale = prepared.levels[name], prepared.scales[:, LEVELS.index(name), None, None, None]
    distance = _distances(level, _gather(level, clicks, grid)) / scale
    return to_grid(torch.cat([_most_alike(distance, group) for group in groups], 1), grid)


def _gather(maps: Tensor, clicks: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, N, C): the vectors of ``maps`` at the clicked places."""
    h, w = maps.shape[-2:]
    x = (clicks[..., 0] * w / grid[1]).long().clamp(0, w - 1)
    y = (clicks[..., 1] * h / grid[0]).long().clamp(0, h - 1)
    index = (y * w + x)[:, None].expand(-1, maps.shape[1], -1)
    return maps.flatten(2).gather(2, index).transpose(1, 2)


def _distances(maps: Tensor, vectors: Tensor) -> Tensor:
    """(B, N, h, w): distance of each place of ``maps`` (B, C, h, w) from each of ``vectors`` (B, N, C)."""
    cells = maps.flatten(2)  # (B, C, M)
    squared = (
        cells.square().sum(1, keepdim=True) - 2 * vectors @ cells + vectors.square().sum(2, keepdim=True)
    )
    return squared.clamp_min(0).sqrt().view(*vectors.shape[:2], *size_of(maps))


def _most_alike(distances: Tensor, group: Tensor) -> Tensor:
    """(B, 1, h, w): similarity in (0, 1] to the most alike click of the group; 0 where the group is empty."""
    return torch.exp(-distances.masked_fill(~group[..., None, None], 1e4).amin(1, keepdim=True))


def _energy_ratios(logs: Tensor, clicks: Tensor, group: Tensor) -> Tensor:
    """(B, len(RATIO_ENERGIES), h, w): log-energy over that of the least conspicuous positive click, compressed."""
    clicked = _gather(logs, clicks, size_of(logs))  # (B, N, K)
    lowest = clicked.masked_fill(~group[..., None], 1e4).amin(1)  # (B, K)
    lowest = torch.where(group.any(1, keepdim=True), lowest, torch.zeros_like(lowest))
    return (logs - lowest[..., None, None]).clamp(-4, 4) / 2
