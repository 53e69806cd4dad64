from __future__ import annotations

import pytest
import torch
from torch import Tensor

from model.generation.anogen.diffusion import (
    levels,
    noise_loss,
    noised,
    residual,
    restored,
    sample,
    separated,
    velocity,
)
from tests.helpers.tiny_painter import tiny_painter


def crops(seed: int, count: int = 2, channels: int = 4, side: int = 64) -> Tensor:
    return torch.randn(count, channels, side, side, generator=torch.Generator().manual_seed(seed)).clamp(
        -1, 1
    )


def test_a_crop_is_clean_at_the_beginning_and_noise_at_the_end() -> None:
    signal, share = levels(torch.tensor([0.0, 0.5, 1.0]))
    assert torch.allclose(signal.flatten(), torch.tensor([1.0, 0.5**0.5, 0.0]), atol=1e-6)
    assert torch.allclose(signal**2 + share**2, torch.ones(3, 1, 1, 1))


def test_crop_and_noise_follow_from_the_velocity() -> None:
    clean, noise, time = crops(0), crops(1), torch.tensor([0.2, 0.7])
    found = separated(noised(clean, noise, time), velocity(clean, noise, time), time)
    assert torch.allclose(found[0], clean, atol=1e-5) and torch.allclose(found[1], noise, atol=1e-5)


def test_a_crop_is_its_residual_to_what_is_given_and_comes_back() -> None:
    clean, given = crops(0), crops(1)
    seen = residual(clean, given)
    assert torch.equal(seen[:, 3:], clean[:, 3:]), "where the defect is has no surroundings"
    assert torch.allclose(restored(seen, given), clean, atol=1e-6)
    assert restored(seen + 9, given).max() == 1


def test_the_loss_of_a_small_defect_counts_as_much_as_that_of_a_large_one() -> None:
    """AnoGen, section 3.1: the mean over the mask, not over the crop."""
    clean, noise, time = crops(0), crops(1), torch.tensor([0.5, 0.5])
    noisy = noised(clean, noise, time)
    wrong = velocity(clean, noise, time) + 0.3
    inside = torch.zeros(2, 1, 64, 64)
    inside[0, :, 10:14, 10:14] = 1
    inside[1, :, :48] = 1
    losses = noise_loss(wrong, noisy, noise, time, inside)
    by_hand = (separated(noisy, wrong, time)[1] - noise).square()
    assert losses[0] == pytest.approx(float(by_hand[0, :, 10:14, 10:14].mean()), rel=1e-4)
    assert losses[0] == pytest.approx(float(losses[1]), rel=1e-3)


def test_what_is_predicted_outside_of_the_mask_has_no_loss() -> None:
    clean, noise, time = crops(0), crops(1), torch.tensor([0.5, 0.5])
    inside = torch.zeros(2, 1, 64, 64)
    inside[:, :, :8] = 1
    predicted = velocity(clean, noise, time)
    predicted[:, :, 8:] += 5
    assert noise_loss(predicted, noised(clean, noise, time), noise, time, inside).max() < 1e-9
    assert noise_loss(predicted, noised(clean, noise, time), noise, time, 1 - inside).min() > 1


class Watched(torch.nn.Module):
    """Keeps what a denoiser was shown; knows the one clean crop of its world."""

    def __init__(self, clean: Tensor):
        super().__init__()
        self.clean, self.any_type = clean, torch.nn.Parameter(torch.zeros(8))
        self.seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def forward(self, noisy: Tensor, given: Tensor, time: Tensor, vector: Tensor) -> Tensor:
        self.seen.append((noisy.clone(), time.clone(), vector.clone()))
        seen, (signal, share) = residual(self.clean.expand(len(given), -1, -1, -1), given), levels(time)
        noise = (noisy - signal * seen) / share
        return signal * noise - share * seen


GIVEN = crops(7, 1)


def painted(denoiser: torch.nn.Module, known: Tensor, inside: Tensor, noise: Tensor, **how: float) -> Tensor:
    settings = {"steps": 6, "guidance": 1.0, **how}
    return sample(
        denoiser,  # type: ignore[arg-type]
        GIVEN,
        known,
        inside,
        torch.ones(1, 8),
        noise,
        steps=int(settings["steps"]),
        guidance=settings["guidance"],
    )


def test_outside_of_the_box_the_known_crop_is_imposed_at_every_step() -> None:
    known, noise, inside = crops(0, 1), crops(1, 1), torch.zeros(1, 1, 64, 64)
    inside[..., 20:40, 20:40] = 1
    world = Watched(crops(2, 1))
    found = painted(world, known, inside, noise)
    assert len(world.seen) == 6
    for noisy, time, _ in world.seen:
        expected = noised(residual(known, GIVEN), noise, time)
        assert torch.equal(torch.where(inside > 0, expected, noisy), expected)
    assert torch.equal(torch.where(inside > 0, known, found), known), "to the last bit"


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_sampling_ends_at_what_the_network_holds_to_be_clean(guidance: float) -> None:
    world, inside = Watched(crops(2, 1)), torch.ones(1, 1, 64, 64)
    found = painted(world, crops(0, 1), inside, crops(1, 1), guidance=guidance)
    assert torch.allclose(found, world.clean, atol=1e-3)


def test_guidance_exaggerates_what_the_type_changes() -> None:
    denoiser = tiny_painter().denoiser.eval()
    known, noise, inside = crops(0, 1), crops(1, 1), torch.ones(1, 1, 64, 64)
    with torch.inference_mode():
        plain, more, most = (
            painted(denoiser, known, inside, noise, steps=1, guidance=guidance)
            for guidance in (1.0, 1.5, 2.0)
        )
    free = (plain.abs() < 1) & (more.abs() < 1) & (most.abs() < 1)
    assert torch.allclose((most - plain)[free], 2 * (more - plain)[free], atol=1e-5)
    assert (most - plain).abs().max() > 1e-4


def test_sampling_can_be_ended() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample(
            tiny_painter().denoiser,
            torch.zeros(1, 4, 64, 64),
            crops(0, 1),
            torch.ones(1, 1, 64, 64),
            torch.ones(1, 8),
            crops(1, 1),
            steps=3,
            guidance=2.0,
            go_on=stop,
        )
