"""``adclick on-ray``: a training of several processes on a Ray cluster, as ``torchrun`` starts them on one machine.

    adclick on-ray --processes 8 --gpu -- train click DATA_DIR --preset base --run runs/base

A command that was stopped, or whose node was lost, goes on where it saved its state last with its option ``--resume``.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from adclick_backend.cluster.connection import ClusterError, WorkerLost, joined
from adclick_backend.cluster.remote_process import Program, run_together
from adclick_backend.commands.cluster_pool import head_is_lost
from adclick_backend.settings import get_settings

GO_ON = "Run the command again with its option --resume: it goes on where its state was saved last."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``adclick on-ray``."""
    parser.add_argument("--processes", type=int, required=True, metavar="N", help="how many train together")
    parser.add_argument("--gpu", action="store_true", help="each with a GPU of its own")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="processors of each [1]")
    parser.add_argument("--program", type=Path, help=argparse.SUPPRESS)  # in the place of adclick
    parser.add_argument("words", nargs="+", metavar="WORD", help="the command of adclick, after --")


def run(args: argparse.Namespace) -> int:
    """Run the command on the cluster; returns its exit status."""
    address = get_settings().ray_address
    if not address:
        print("ADCLICK_RAY_ADDRESS is not set: set it to the head of the cluster.", file=sys.stderr)
        return 2
    program = Program(
        [*([str(args.program)] if args.program else ["-m", "adclick_backend"]), *args.words],
        b"",
        {"OMP_NUM_THREADS": str(args.threads), "PYTHONUNBUFFERED": "1"},
        cpus=args.threads,
        gpus=int(args.gpu),
    )
    said: set[str] = set()

    def waiting(sentence: str) -> None:
        if sentence not in said:
            print(sentence, flush=True)
            said.add(sentence)

    try:
        with joined(address, partial(head_is_lost, GO_ON)) as cluster:
            return run_together(cluster, program, args.processes, _write, waiting)
    except WorkerLost as error:
        print(f"A node of the Ray cluster was lost: {error} {GO_ON}", file=sys.stderr)
    except ClusterError as error:
        print(error, file=sys.stderr)
    return 1


def _write(output: bytes) -> None:
    sys.stdout.buffer.write(output)
    sys.stdout.flush()
