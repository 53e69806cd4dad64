"""``adclick train detector``: networks that learn from good images alone, of folders of images.

Behind the packaged backbone they train on two processor cores. The published sizes have a backbone of timm, and train
on as many GPUs as ``torchrun`` is given:

    torchrun --nproc-per-node 8 -m -- adclick_backend train detector DATA --method invad --preset full

Without ``torchrun`` the same command trains on one GPU, or on the processor where there is none. A command that was
interrupted goes on when it is called again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from model.checkpoint.manifest import BACKBONES, CheckpointError, read_manifest
from model.commands.arguments import above_zero, add_behind, add_number_format, at_least_one, seed
from model.commands.products import find_products
from model.commands.run_folder import taken
from model.datasets.mvtec import ImageFiles, good_split
from model.detectors.eyes import BackboneEyes, Eyes, Image
from model.detectors.methods import METHODS, PRESETS
from model.features.timm_pyramid import TimmPyramid
from model.interactive.predictor import Predictor
from model.training.detectors.project import PATCHCORE, train_behind
from model.training.detectors.recipes import RECIPES
from model.training.detectors.settings import DetectorTraining
from model.training.distributed import Worker, worker
from model.training.progress import Progress

FULL = "full"
"""What the published size of a method is called; its detector has no more than the name of the method."""

BAR = "{desc} {percentage:3.0f} %|{bar}| {elapsed}{postfix}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``adclick train detector``."""
    parser.add_argument("folders", type=Path, nargs="+", help="folders with products in MVTec layout")
    parser.add_argument(
        "--method",
        nargs="+",
        choices=tuple(METHODS),
        default=["invad"],
        help="one or several, which are trained one after the other and held by one checkpoint (default: invad)",
    )
    parser.add_argument(
        "--preset",
        choices=tuple(dict.fromkeys(_preset(name) for name in RECIPES)),
        default="tiny",
        help="tiny: for two processor cores, behind the packaged backbone; the others as published, behind one of timm "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--one-class",
        action="store_true",
        help="a checkpoint of each product (default: one for all of them)",
    )
    parser.add_argument(
        "--run", type=Path, default=Path("runs/detector"), help="state and checkpoint (default: %(default)s)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="checkpoint to write, with --one-class a folder of them (default: in RUN)",
    )
    parser.add_argument(
        "--version", help="name that predictions carry (default: adclick-, the name of the detector, -1)"
    )
    parser.add_argument("--steps", type=at_least_one, help="of each method (default: what belongs to it)")
    parser.add_argument(
        "--batch", type=at_least_one, help="images a step (default: what belongs to the method)"
    )
    parser.add_argument(
        "--learning-rate",
        type=above_zero,
        default=DetectorTraining.learning_rate,
        help="times the one that belongs to the method (default: %(default)g)",
    )
    parser.add_argument(
        "--images",
        type=at_least_one,
        default=400,
        help="good images at most, over all products; their features are kept in memory, 4 MB each for tiny, 8 MB for "
        "the published sizes (default: %(default)s)",
    )
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument(
        "--backbone-weights",
        metavar="FILE",
        help="for the published sizes: weights of their backbone, as timm knows them, or hub, to fetch them (default: "
        "hub)",
    )
    parser.add_argument(
        "--exclude", nargs="*", default=[], metavar="SET/PRODUCT", help="products to leave out"
    )
    add_behind(parser)
    add_number_format(parser)


def run(args: argparse.Namespace) -> int:
    """Train, write the checkpoints; returns the exit status."""
    try:
        names = detectors(args.method, args.preset)
    except ValueError as error:
        print(error)
        return 2
    categories = find_products(args.folders, args.exclude)
    if not categories:
        return 2
    good = {category.name: ImageFiles(good_split(category)[0]) for category in categories}
    with worker() as me:
        try:
            return _train(args, names, {name: images for name, images in good.items() if len(images)}, me)
        except (CheckpointError, ValueError) as error:
            print(error)
            return 2
        except FloatingPointError as error:
            print(error)
            return 1
        except OSError as error:
            print(
                f"{error.filename or args.run} cannot be written: {error.strerror}. What was trained until the last "
                "state was written is kept: make room, and call the command again."
            )
            return 1


def detectors(methods: Sequence[str], preset: str) -> list[str]:
    """The names of detectors: those of some methods at a size.

    Raises:
        ValueError: a method has no such size.
    """
    names = []
    for method in dict.fromkeys(methods):
        name = method if preset == FULL or method == PATCHCORE else f"{method}-{preset}"
        if name != PATCHCORE and name not in RECIPES:
            sizes = [_preset(there) for there in RECIPES if PRESETS[there].method == method]
            raise ValueError(f"{method} has no preset {preset!r}; it has {', '.join(sizes)}.")
        names.append(name)
    return names


def _preset(name: str) -> str:
    return name.removeprefix(PRESETS[name].method).removeprefix("-") or FULL


def _train(
    args: argparse.Namespace, names: Sequence[str], good: Mapping[str, Sequence[Image]], me: Worker
) -> int:
    """Train all that is asked for; returns the exit status."""
    eyes = eyes_of(args, names, str(me.device))
    behind = eyes.backbone_id.name if isinstance(eyes, BackboneEyes) else args.behind
    if why := taken(args.run, behind):
        print(why)
        return 2
    config = DetectorTraining(
        steps=args.steps,
        batch=args.batch,
        seed=args.seed,
        learning_rate=args.learning_rate,
        images=args.images,
    )
    version = args.version or f"adclick-{'-'.join(names)}-1"
    if not args.one_class:
        out = args.out or args.run / f"{version}.safetensors"
        _one(args, names, good, config, version, out, args.run / "last.safetensors", eyes, me)
        return 0
    status = 0
    for product, images in good.items():
        out = (args.out or args.run) / f"{product}.safetensors"
        if _there(out, version, config):
            print(f"{out} is there already: delete it to train it again.")
            continue
        state = args.run / "states" / product / "last.safetensors"
        try:
            _one(args, names, {product: images}, config, version, out, state, eyes, me)
        except ValueError as error:  # too few images of this one
            print(f"{product}: {error}")
            status = 2
    return status


def _there(out: Path, version: str, config: DetectorTraining) -> bool:
    """Whether a checkpoint was written by this command, before it was interrupted."""
    try:
        manifest = read_manifest(out)
    except CheckpointError:
        return False
    settings = manifest.get("training", {}).get("settings")
    return out.exists() and (manifest["version"], settings) == (version, asdict(config))


def _one(
    args: argparse.Namespace,
    names: Sequence[str],
    good: Mapping[str, Sequence[Image]],
    config: DetectorTraining,
    version: str,
    out: Path,
    state: Path,
    eyes: Eyes,
    me: Worker,
) -> None:
    """Train one checkpoint."""
    with tqdm(total=100, disable=not me.first, bar_format=BAR) as bar:
        about = train_behind(
            eyes,
            good,
            out,
            version=version,
            methods=names,
            config=config,
            resume=state,
            report=_shown(bar),
            asked=args.number_format,
            worker=me,
        )
    if me.first:
        for note in about["notes"]:
            print(note)
        for name, measures in about["held_out"].items():
            said = ", ".join(f"{key.replace('_', ' ')} {100 * value:.1f}" for key, value in measures.items())
            steps = f" after {about['detectors'][name]['steps']} steps" if name in about["detectors"] else ""
            print(f"{name}{steps}: {said or 'not measured'}")
        print(f"Wrote {out}.")


def _shown(bar: tqdm) -> Callable[[Progress], None]:  # type: ignore[type-arg]
    """What shows progress in a bar."""

    def show(progress: Progress) -> None:
        bar.set_description_str(progress.stage, refresh=False)
        told = {**({} if progress.loss is None else {"loss": progress.loss}), **progress.metrics}
        bar.set_postfix({name: f"{value:.3f}" for name, value in told.items()}, refresh=False)
        bar.n = round(100 * progress.share)
        bar.refresh()

    return show


def eyes_of(args: argparse.Namespace, names: Sequence[str], device: str) -> Eyes:
    """What the detectors see with: the packaged click network, or a backbone of timm.

    Raises:
        CheckpointError: the backbone cannot be had.
        ValueError: the detectors do not see with the same one.
    """
    presets = [PRESETS[name] for name in names if name != PATCHCORE]
    seen = {(preset.timm, preset.strides, preset.long_side) for preset in presets if preset.timm}
    if not seen:
        return Predictor(BACKBONES[args.behind].click, device, asked=args.number_format)
    if len(seen) > 1:
        models = ", ".join(sorted(model for model, *_ in seen))
        raise ValueError(f"These methods see with different backbones ({models}): train one at a time.")
    model, strides, long_side = seen.pop()
    weights: Path | str = args.backbone_weights or "hub"
    backbone = TimmPyramid(model, strides, weights if weights == "hub" else Path(weights))
    print(f"The licence of the weights of {model} is {backbone.licence}.")
    return BackboneEyes(backbone.to(device), backbone.backbone_id, long_side, device)
