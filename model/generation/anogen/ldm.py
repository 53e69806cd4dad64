"""The preset ``ldm``: AnoGen's two stages on a published latent diffusion model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from model.generation.anogen.diffusion import masked_mean
from model.generation.anogen.examples import Example, parts, signed
from model.generation.anogen.generator import NOTHING_SEEN, GeneratorError, Learned, Painted, recent
from model.generation.anogen.ldm_captions import CAPTIONS, WORD
from model.generation.anogen.ldm_loading import load_latent_diffusion
from model.generation.anogen.ldm_picture import composed
from model.generation.anogen.window import Box, Floats, Image, Window

LEARNING_STEPS = 1000
"""Of the embedding. The paper has up to 6100, of a loss that small defects hardly count in."""

BATCH = 4

RATE = 5e-3

DDIM_STEPS = 50

GUIDANCE = 10.0

TRIES = 3
"""How often a box is painted until something can be seen in it."""


class LdmGenerator:
    """Learns a type as one word of a frozen text-guided model, and paints it in the box by DDIM.

    Pictures are squares round the defect or the box, at the size that the model was trained with, as in the preset
    ``small``: of a whole image a small defect would be less than one latent, and there would be nothing to learn.

    Args:
        name: a folder of a ``diffusers`` pipeline, or its name on the hub.
        device: where it computes; in float16 on a GPU, in float32 on a processor.
        dtype: another number format.
        learning_steps: of the embedding.
        steps: of the sampling.
        guidance: how far the type is followed.

    Raises:
        GeneratorError: it cannot be loaded; the message says why and what to do.
    """

    def __init__(
        self,
        name: str,
        device: str = "cpu",
        *,
        dtype: torch.dtype | None = None,
        learning_steps: int = LEARNING_STEPS,
        steps: int = DDIM_STEPS,
        guidance: float = GUIDANCE,
    ):
        with _enough_memory(name):
            self.networks = load_latent_diffusion(name, device, dtype)
        self.name, self.device = self.networks.name, device
        self.learning_steps, self.steps, self.guidance = learning_steps, steps, guidance

    def learn(
        self,
        examples: Sequence[Example],
        *,
        seed: int = 0,
        report: Callable[[float, float], None] = lambda share, loss: None,
    ) -> Learned:
        """See :meth:`model.generation.anogen.generator.Generator.learn`."""
        started = time.monotonic()
        seen = [(example, found) for example in examples if (found := parts(example.mask))]
        if not seen:
            raise GeneratorError(NOTHING_SEEN)
        rng, source = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        vector = self.networks.captions.first().requires_grad_(True)
        optimiser = torch.optim.Adam([vector], RATE)
        # gradients of float16 would vanish unscaled
        scaler = torch.amp.GradScaler(self.networks.device.type, enabled=self.networks.dtype == torch.float16)
        losses: list[float] = []
        with _enough_memory(self.name):
            for step in range(self.learning_steps):
                loss = self._loss(seen, vector, rng, source)
                self._check(loss)
                optimiser.zero_grad()
                scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
                scaler.step(optimiser)
                scaler.update()
                losses.append(float(loss.detach()))
                report((step + 1) / self.learning_steps, recent(losses))
        return Learned.by(self.name, vector, losses, started, len(seen))

    def _loss(
        self,
        seen: Sequence[tuple[Example, list[NDArray[np.bool_]]]],
        vector: Tensor,
        rng: np.random.Generator,
        source: torch.Generator,
    ) -> Tensor:
        """The squared error of the noise inside of the defects of a batch, its mean over them, ()."""
        networks = self.networks
        crops, masks, boxes, captions = [], [], [], []
        for _ in range(BATCH):
            example, defects = seen[int(rng.integers(len(seen)))]
            crop, mask, box = _crop(example, defects[int(rng.integers(len(defects)))], networks.side, rng)
            crops.append(torch.from_numpy(crop))
            masks.append(self._touched(mask))
            boxes.append(self._touched(box.mask(mask.shape)))
            captions.append(CAPTIONS[int(rng.integers(len(CAPTIONS)))].format(WORD))
        whole, inside = torch.stack(crops), torch.stack(boxes)
        clean, around = networks.encode(whole), networks.around(whole, inside)
        noise = torch.randn(clean.shape, generator=source).to(clean.device)
        moment = torch.randint(networks.times, (BATCH,), generator=source).to(clean.device)
        noisy = networks.scheduler.add_noise(clean, noise, moment)
        predicted = networks.predict(noisy, moment, around, networks.captions.states(captions, vector))
        error = (networks.noise(predicted, noisy, moment) - noise).square()
        return masked_mean(error, torch.stack(masks)).mean()

    def _touched(self, mask: NDArray[np.bool_]) -> Tensor:
        """A mask (S, S) in latents, (1, C, C) in {0, 1}: every one that it touches."""
        pooled = F.max_pool2d(torch.from_numpy(mask.astype(np.float32))[None], self.networks.cell)
        return pooled.to(self.networks.device)

    def _check(self, numbers: Tensor) -> None:
        """Make sure that the model overflows nowhere.

        Raises:
            GeneratorError: it does, as some do in float16.
        """
        if not numbers.isfinite().all():
            raise GeneratorError(
                f"{self.name} computes no numbers in {str(self.networks.dtype).removeprefix('torch.')}. "
                "Choose another model, or the preset small."
            )

    @torch.no_grad()
    def paint(
        self, normal: Image, box: Box, learned: Learned, seed: int, go_on: Callable[[], None] = lambda: None
    ) -> Painted | None:
        """See :meth:`model.generation.anogen.generator.Generator.paint`."""
        learned.check(self.name)
        networks = self.networks
        window = Window.round(box, (normal.shape[0], normal.shape[1]))
        before = torch.from_numpy(signed(window.cut(normal, networks.side)))[None]
        inner = window.inside(box, networks.side)
        inside = self._touched(inner.mask((networks.side, networks.side)))[None]
        vector = torch.from_numpy(learned.vector).to(networks.device)
        with _enough_memory(self.name):
            known, around = networks.encode(before), networks.around(before, inside)
            states = networks.captions.states(["", WORD], vector)
            for again in range(TRIES):
                noise = torch.randn(
                    known.shape, generator=torch.Generator().manual_seed(seed * TRIES + again)
                ).to(known.device)
                found = self._sampled(known, inside, around, states, noise, go_on)
                self._check(found)
                painted, unpainted = (_pixels(crop) for crop in networks.decode(torch.cat([found, known])))
                if (image := composed(normal, window, box, painted, unpainted)) is not None:
                    return image
        return None

    def _sampled(
        self,
        known: Tensor,
        inside: Tensor,
        around: Tensor,
        states: Tensor,
        noise: Tensor,
        go_on: Callable[[], None],
    ) -> Tensor:
        """DDIM with eta 0, guided without a classifier; outside of the box the noised good latents at every step.

        Args:
            known: (1, 4, C, C), of the good crop.
            inside: (1, 1, C, C) in {0, 1}: where is painted.
            around: (1, 0 or 5, C, C), see :meth:`LatentDiffusion.around`.
            states: (2, L, D), of no caption, and of the type's.
            noise: (1, 4, C, C), decides what comes out.
            go_on: called before each step.

        Returns:
            (1, 4, C, C); outside of the box it is ``known``.
        """
        networks, scheduler = self.networks, self.networks.scheduler
        scheduler.set_timesteps(self.steps)
        x = noise
        for moment in scheduler.timesteps:
            go_on()
            now = moment.to(known.device)
            x = torch.where(inside > 0, x, scheduler.add_noise(known, noise, now[None]))
            twice = networks.predict(x.repeat(2, 1, 1, 1), now, around.repeat(2, 1, 1, 1), states)
            without, with_type = twice.chunk(2)
            predicted = without + self.guidance * (with_type - without)
            x = scheduler.step(predicted, moment, x, eta=0.0).prev_sample
        return torch.where(inside > 0, x, known)


def _crop(
    example: Example, defect: NDArray[np.bool_], side: int, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.bool_], Box]:
    """A square round a defect, mirrored half of the time.

    Returns:
        (3, S, S) float32 in [-1, 1]; where the defect is, (S, S) bool; and a box round it with some room.
    """
    shape = defect.shape[0], defect.shape[1]
    window = Window.round(Box.of(defect), shape, float(rng.uniform(1.25, 2.8)))
    crop = window.cut(np.dstack([example.pixels, defect.astype(np.uint8) * 255]), side)
    if rng.random() < 0.5:
        crop = np.ascontiguousarray(crop[:, ::-1])
    mask = np.asarray(crop[..., 3] > 0)
    found = Box.of(mask)
    grow = rng.uniform(0, 0.3, 4) * max(found.width, found.height)
    box = Box(
        max(0, round(found.left - grow[0])),
        max(0, round(found.top - grow[1])),
        min(side, round(found.right + grow[2])),
        min(side, round(found.bottom + grow[3])),
    )
    return signed(crop[..., :3]), mask, box


def _pixels(crop: Tensor) -> Floats:
    """(3, S, S) about [-1, 1] -> (S, S, 3) float32 in [0, 255]."""
    return ((crop.clamp(-1, 1) + 1) * 127.5).permute(1, 2, 0).cpu().numpy()


@contextmanager
def _enough_memory(name: str) -> Iterator[None]:
    """One sentence where the memory of a GPU does not suffice."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise GeneratorError(
            f"The GPU has not enough free memory for {name}. End what else uses it, choose a smaller model, "
            "or the preset small."
        ) from error
