"""The workers of the Ray cluster for a command that a person started."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from adclick_backend.cluster.connection import joined
from adclick_backend.cluster.pool import Pool
from adclick_backend.cluster.shards import Item, Result
from adclick_backend.settings import Settings


@contextmanager
def cluster_pool(
    settings: Settings, make: Callable[..., Callable[[list[Item]], Result]], *given: Any, advice: str
) -> Iterator[Pool[Item, Result]]:
    """A pool of the cluster of the settings, for as long as the command works.

    Args:
        settings: with the address of the cluster.
        make: called in each worker with the settings for it, as JSON, and with `given`.
        given: further arguments.
        advice: what to do when the head dies, as a sentence: the command ends then.

    Raises:
        ClusterError: the cluster cannot be used.
    """
    there = settings.on_node()
    with joined(settings.ray_address, partial(head_is_lost, advice)) as cluster:
        yield Pool(
            cluster,
            make,
            (there.model_dump_json(), *given),
            gpus=int(there.device == "cuda"),
            most=settings.ray_workers,
        )


def head_is_lost(advice: str) -> None:
    """End the command."""
    print(f"The head of the Ray cluster does not answer any more. {advice}", file=sys.stderr, flush=True)
    os._exit(1)
