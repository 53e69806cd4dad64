#!/usr/bin/env bash
# All figures of a machine with a GPU in one go, without internet; the arguments are those of tests/gpu/__main__.py.
# Needs torch, numpy, opencv-python-headless, safetensors and tqdm (and, for a latent diffusion model, diffusers and
# transformers), and nothing installed of this repository.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PYTHONUNBUFFERED=1
exec "${PYTHON:-python3}" -m tests.gpu "$@"
