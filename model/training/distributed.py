"""The processes that train one network together, as ``torchrun`` starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Worker:
    """One of the processes.

    Attributes:
        rank: its number.
        count: how many there are.
        device: where it computes.
    """

    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """Whether this one writes the files and speaks to the person."""
        return self.rank == 0

    def share(self, network: nn.Module) -> nn.Module:
        """The same network, but its gradients become the mean of those of all processes, and its weights equal."""
        if self.count == 1:
            return network
        # Not before each forward as well: processes simulate clicks a different number of times between two steps.
        return DistributedDataParallel(network, broadcast_buffers=False)


ALONE = Worker()


@contextmanager
def worker() -> Iterator[Worker]:
    """This process among those that ``torchrun`` started; without ``torchrun`` the only one.

    Each computes on a GPU of its own (NCCL) where there are GPUs, else on the processor (Gloo).
    """
    cuda = torch.cuda.is_available()
    if "RANK" not in os.environ:
        yield Worker(device=torch.device("cuda" if cuda else "cpu"))
        return
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Worker(distributed.get_rank(), distributed.get_world_size(), device)
    finally:
        distributed.destroy_process_group()
