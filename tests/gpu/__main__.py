"""Measure on a GPU what nobody without one can, and print one table.

    tests/gpu/run.sh --minutes 10 --data TRAIN --dev DEV --out DIR

1. Trains ``base`` for some steps behind the paper's WideResNet-50, of random weights: for memory and speed alone.
2. Trains it behind the vision transformer that ships for ``--minutes``, and clicks through the defect images of DEV.
3. Opens and clicks images with the packaged networks, on the GPU and on the processor.
4. Trains the small generator of defects for ``--minutes``, learns a type and paints it, and so does a latent diffusion
   model (of --ldm FOLDER; without it one of random weights), where diffusers and transformers are installed.

Without a GPU all of it happens on the processor, and ``--tiny`` does it in seconds: nothing of it is a figure then.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from model.checkpoint.manifest import BACKBONES
from tests.gpu import generation, serving, training
from tests.gpu.table import Row, table


def main(words: list[str] | None = None) -> int:
    """Measure and print; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="of the training whose masks are measured"
    )
    parser.add_argument(
        "--data", type=Path, nargs="*", default=[], help="folders to train on, in MVTec layout"
    )
    parser.add_argument(
        "--dev", type=Path, nargs="*", default=[], help="folders to measure on, in MVTec layout"
    )
    parser.add_argument("--drawn", type=int, default=24, help="drawn products to train on besides")
    parser.add_argument("--images", type=int, default=8, help="defect images of each product of DEV at most")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"), help="state, curves and checkpoint")
    parser.add_argument("--ldm", type=Path, help="folder of a latent diffusion model")
    parser.add_argument("--only", choices=("training", "serving", "generation"), help="a part alone")
    parser.add_argument("--tiny", action="store_true", help="everything small: does it run at all?")
    args = parser.parse_args(words)
    gpu = torch.cuda.is_available()
    name = torch.cuda.get_device_name() if gpu else "the processor"
    print(f"torch {torch.__version__} on {name}.", flush=True)
    rows: list[Row] = []
    if args.only in (None, "training"):
        sizes = training.TINY if args.tiny else training.FULL
        rows += training.measure(sizes, args)
    if args.only in (None, "serving"):
        for device in ("cuda", "cpu") if gpu else ("cpu",):
            for packaged in BACKBONES.values():
                rows.append(serving.measure(packaged.click, device, args.tiny))
    if args.only in (None, "generation"):
        rows += generation.measure(args)
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
