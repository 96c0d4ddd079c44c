"""Seeds keyed by identity: the same keys give the same stream whatever the batch, order or worker.

This is the only module that seeds torch. `torch.Generator` on the CPU keeps only the low 32 bits of a seed
(its Mersenne twister is started from one word), so two of some 77,000 identities share a stream by chance;
`torch_generator` stays the plain one all the same, so that anyone can replay an image with diffusers alone.
"""

from __future__ import annotations

import hashlib
import json
import operator
import random
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

_json_text = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode
"""Made once: a plan derives hundreds of thousands of seeds."""


def derive_seed(root_seed: int, *keys: str | int) -> int:
    """A seed in [0, 2**63) from the root seed and keys: SHA-256 over their JSON list, first 8 bytes.

    Numpy integers count as integers; any other type is a TypeError, never a silent text.
    """
    plain = [key if isinstance(key, str) else operator.index(key) for key in (root_seed, *keys)]
    return int.from_bytes(hashlib.sha256(_json_text(plain).encode("ascii")).digest()[:8], "big") & (2**63 - 1)


def numpy_generator(seed: int) -> np.random.Generator:
    """A generator of its own for one identity (PCG64)."""
    return np.random.Generator(np.random.PCG64(seed))


def torch_generator(seed: int) -> torch.Generator:
    """A CPU generator of its own for one identity; the same as `torch.Generator().manual_seed(seed)`."""
    import torch

    return torch.Generator(device="cpu").manual_seed(seed)


def seed_everything(seed: int) -> None:
    """Seed the global streams of random, numpy and torch: for libraries that offer no generator argument."""
    import torch

    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    torch.manual_seed(seed)
