"""The preset ldm, on pipelines of a few channels that are written to disk as the hub has large ones."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from model.generation.anogen import ldm
from model.generation.anogen.examples import Example, parts
from model.generation.anogen.generator import GeneratorError, Learned
from model.generation.anogen.ldm import LdmGenerator
from model.generation.anogen.ldm_captions import WORD
from model.generation.anogen.window import Box
from tests.helpers.pipeline import write_bert_pipeline, write_pipeline
from tests.helpers.plates import plate, stained

pytestmark = pytest.mark.skipif(
    find_spec("diffusers") is None or find_spec("transformers") is None,
    reason="the extra generation is not installed: pip install 'adclick-backend[generation]'",
)

BOX = Box(30, 20, 70, 50)
KINDS = ("text to image", "in-painting", "velocity", "the paper's")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("pipelines")
    return {
        "text to image": write_pipeline(root / "text"),
        "in-painting": write_pipeline(root / "fills", channels=9),
        "velocity": write_pipeline(root / "velocity", predicts="v_prediction"),
        "the paper's": write_bert_pipeline(root / "bert"),
    }


@pytest.fixture(scope="module")
def generators(folders: dict[str, Path]) -> dict[str, LdmGenerator]:
    return {kind: LdmGenerator(str(folder), learning_steps=2, steps=4) for kind, folder in folders.items()}


@pytest.fixture
def generator(generators: dict[str, LdmGenerator]) -> LdmGenerator:
    return generators["text to image"]


def examples() -> list[Example]:
    return [Example(*stained(seed)) for seed in range(2)]


def untrained(generator: LdmGenerator) -> Learned:
    first = generator.networks.captions.first().numpy()
    return Learned(first, generator.name, 0.0, 0, 0.0, 1)


def parameters(generator: LdmGenerator) -> Iterator[Tensor]:
    networks = generator.networks
    for network in (networks.unet, networks.vae, networks.captions.encoder):
        yield from network.parameters()


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_reaches_the_vector_and_nothing_else(
    generators: dict[str, LdmGenerator], kind: str
) -> None:
    generator = generators[kind]
    before = [one.clone() for one in parameters(generator)]
    told: list[tuple[float, float]] = []
    learned = generator.learn(examples(), report=lambda share, loss: told.append((share, loss)))
    assert all(torch.equal(was, now) for was, now in zip(before, parameters(generator), strict=True)), (
        "the model is frozen"
    )
    assert all(one.grad is None for one in parameters(generator))
    first = untrained(generator).vector
    assert learned.vector.shape == first.shape and learned.vector.dtype == np.float32
    assert np.isfinite(learned.vector).all() and (learned.vector != first).any()
    assert [share for share, _ in told] == [0.5, 1.0] and learned.loss == told[-1][1]
    assert (learned.generator, learned.steps, learned.examples) == (generator.name, 2, 2)


def test_the_vector_learns_the_noise_inside_of_the_defects(
    generator: LdmGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generator, "learning_steps", 16)
    monkeypatch.setattr(ldm, "RATE", 0.05)
    learned = generator.learn(examples())
    seen = [(example, parts(example.mask)) for example in examples()]

    def loss(vector: np.ndarray) -> float:
        rng, source = np.random.default_rng(9), torch.Generator().manual_seed(9)
        with torch.no_grad():
            found = [float(generator._loss(seen, torch.from_numpy(vector), rng, source)) for _ in range(3)]
        return float(np.mean(found))

    assert loss(learned.vector) < loss(untrained(generator).vector)
    assert (generator.learn(examples()).vector == learned.vector).all(), "the same seed, the same vector"


def test_the_loss_is_the_mean_inside_of_the_defect_however_small_it_is(
    generator: LdmGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = generator.networks
    pixels, mask = np.full((64, 64, 3), 90, np.uint8), np.zeros((64, 64), bool)
    mask[30:34, 30:34] = True
    example = Example(pixels, mask)
    inside: list[Tensor] = []
    touched = generator._touched
    monkeypatch.setattr(generator, "_touched", lambda mask: inside.append(touched(mask)) or inside[-1])
    # a denoiser that is off by 3 inside of the defects alone
    given: list[Tensor] = []
    add = networks.scheduler.add_noise
    monkeypatch.setattr(
        networks.scheduler, "add_noise", lambda x, noise, t: given.append(noise) or add(x, noise, t)
    )

    def off(self: object, noisy: Tensor, time: Tensor, around: Tensor, states: Tensor) -> Tensor:
        return given[-1] + 3 * torch.stack(inside[::2])

    monkeypatch.setattr(type(networks), "predict", off)
    first = networks.captions.first()
    loss = generator._loss([(example, parts(mask))], first, np.random.default_rng(0), torch.Generator())
    assert torch.stack(inside[::2]).mean() < 0.6, "there is much round the defects"
    assert float(loss) == pytest.approx(9.0)


def test_a_defect_counts_in_every_latent_that_it_touches(generator: LdmGenerator) -> None:
    mask = np.zeros((32, 32), bool)
    mask[3:5, 9] = True
    assert torch.nonzero(generator._touched(mask)[0]).tolist() == [[0, 2], [1, 2]]


@pytest.mark.parametrize("kind", KINDS)
def test_outside_of_the_box_it_is_the_good_image_to_the_last_bit(
    generators: dict[str, LdmGenerator], kind: str
) -> None:
    generator, good = generators[kind], plate(3)
    painted = generator.paint(good, BOX, untrained(generator), seed=5)
    assert painted is not None and painted.box == BOX
    inside = BOX.mask(painted.mask.shape)
    assert (painted.pixels[~inside] == good[~inside]).all()
    assert painted.mask.any() and not painted.mask[~inside].any()
    change = np.abs(painted.pixels.astype(int) - good).max(2)
    assert change[painted.mask].mean() >= 10
    again = generator.paint(good, BOX, untrained(generator), seed=5)
    other = generator.paint(good, BOX, untrained(generator), seed=6)
    assert again is not None and (again.pixels == painted.pixels).all() and (again.mask == painted.mask).all()
    assert other is not None and (other.pixels != painted.pixels).any()


def test_the_good_latents_are_imposed_at_every_step_and_at_the_end(
    generator: LdmGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = generator.networks
    known, noise = (torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(n)) for n in (0, 1))
    inside = torch.zeros(1, 1, 8, 8)
    inside[..., 2:5, 3:6] = 1
    seen: list[tuple[Tensor, Tensor]] = []
    predict = type(networks).predict

    def watched(self: object, noisy: Tensor, time: Tensor, around: Tensor, states: Tensor) -> Tensor:
        seen.append((noisy[:1], time))
        return predict(networks, noisy, time, around, states)

    monkeypatch.setattr(type(networks), "predict", watched)
    with torch.no_grad():
        states = networks.captions.states(["", WORD], networks.captions.first())
        found = generator._sampled(known, inside, inside[:, :0], states, noise, lambda: None)
    outside = (inside == 0).expand_as(known)
    assert len(seen) == generator.steps
    for noisy, time in seen:
        there = networks.scheduler.add_noise(known, noise, time[None])
        assert torch.equal(noisy[outside], there[outside])
    assert torch.equal(found[outside], known[outside])
    assert (found[~outside] != known[~outside]).all()


def test_guidance_is_what_makes_it_the_type(generator: LdmGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    one = untrained(generator)
    other = Learned(-3 * one.vector, generator.name, 0.0, 0, 0.0, 1)

    def same() -> bool:
        found = [generator.paint(plate(3), BOX, look, seed=1) for look in (one, other)]
        return all(image is not None for image in found) and (found[0].pixels == found[1].pixels).all()  # type: ignore[union-attr]

    assert not same()
    monkeypatch.setattr(generator, "guidance", 0.0)
    assert same()


def test_an_in_painting_model_is_shown_what_is_round_the_box(generators: dict[str, LdmGenerator]) -> None:
    networks = generators["in-painting"].networks
    crop = torch.rand(1, 3, 32, 32) * 2 - 1
    inside = torch.zeros(1, 1, 8, 8)
    inside[..., 2:4, 2:4] = 1
    around = networks.around(crop, inside)
    assert torch.equal(around[:, :1], inside)
    hidden, seen = crop.clone(), crop.clone()
    hidden[..., 8:16, 8:16] = 1
    seen[..., 20:24, 20:24] = 1
    assert torch.equal(networks.around(hidden, inside), around)
    assert not torch.equal(networks.around(seen, inside), around)
    assert generators["text to image"].networks.around(crop, inside).shape == (1, 0, 8, 8)


def test_in_float16_the_denoiser_computes_and_the_vector_stays_float32(
    folders: dict[str, Path], generator: LdmGenerator
) -> None:
    half = LdmGenerator(str(folders["text to image"]), dtype=torch.float16, learning_steps=2, steps=3)
    networks = half.networks
    kept = [next(one.parameters()).dtype for one in (networks.unet, networks.captions.encoder, networks.vae)]
    assert kept == [torch.float16, torch.float16, torch.float32]
    assert half.name == generator.name, "a vector that was learned in one format is read in the other"
    learned = half.learn(examples())
    assert learned.vector.dtype == np.float32 and np.isfinite(learned.vector).all()
    painted = half.paint(plate(3), BOX, learned, seed=0)
    assert painted is not None and np.isfinite(learned.loss)


def test_learning_and_painting_are_ended_by_raising(generator: LdmGenerator) -> None:
    def stop(*_: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        generator.learn(examples(), report=stop)
    with pytest.raises(InterruptedError):
        generator.paint(plate(3), BOX, untrained(generator), 0, stop)


def test_the_look_of_another_model_is_refused_in_words(generators: dict[str, LdmGenerator]) -> None:
    other = generators["velocity"]
    with pytest.raises(
        GeneratorError, match=r"learned by ldm-text-\w{8}, and ldm-velocity-\w{8} paints: learn"
    ):
        other.paint(plate(3), BOX, untrained(generators["text to image"]), 0)


def test_labels_without_a_defect_are_refused_in_words(generator: LdmGenerator) -> None:
    with pytest.raises(GeneratorError, match="None of the labelled defects has a mask of twelve pixels"):
        generator.learn([Example(plate(0), np.zeros(plate(0).shape[:2], bool))])


def test_a_gpu_that_is_full_is_said_in_words(
    generator: LdmGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(type(generator.networks), "predict", full)
    with pytest.raises(GeneratorError, match="The GPU has not enough free memory for ldm-text"):
        generator.learn(examples())
    with pytest.raises(GeneratorError, match="choose a smaller model, or the preset small"):
        generator.paint(plate(3), BOX, untrained(generator), 0)


def test_a_model_that_overflows_is_said_in_words(
    generator: LdmGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overflowing(self: object, noisy: Tensor, *_: Tensor) -> Tensor:
        return noisy * torch.inf

    monkeypatch.setattr(type(generator.networks), "predict", overflowing)
    with pytest.raises(
        GeneratorError, match=r"ldm-text-\w+ computes no numbers in float32. Choose another model"
    ):
        generator.learn(examples())
    with pytest.raises(GeneratorError, match="Choose another model, or the preset small"):
        generator.paint(plate(3), BOX, untrained(generator), 0)
