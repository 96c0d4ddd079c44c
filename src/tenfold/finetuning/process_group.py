"""Processes that train the same weights: each draws its own batches, the loop averages gradients between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch.distributed


@dataclass(frozen=True)
class Rank:
    """This process among ``world_size`` ones; rank 0 writes the checkpoints."""

    rank: int = 0
    world_size: int = 1


@contextmanager
def joined(rank: Rank, rendezvous: Path) -> Iterator[None]:
    """Join the group that meets at the file ``rendezvous``, a fresh path for each meeting; alone, nothing is joined."""
    if rank.world_size == 1:
        yield
        return
    rendezvous.parent.mkdir(parents=True, exist_ok=True)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous.resolve()}", rank=rank.rank, world_size=rank.world_size,
        timeout=timedelta(minutes=10),
    )  # fmt: skip
    try:
        yield
        torch.distributed.barrier()
    finally:
        torch.distributed.destroy_process_group()
