"""Seeds: known values, and streams that depend on nothing but their keys."""

import numpy as np
import pytest
import torch

from tenfold.core.seeds import derive_seed, numpy_generator, seed_everything, torch_generator


def test_known_values_never_change() -> None:
    assert derive_seed(0) == 5817701917209559351
    assert derive_seed(7, "generate", 3) == 5474330498576438724
    assert derive_seed(7, "Größe") == 6134483894667281836


def test_keys_are_told_apart() -> None:
    seeds = {derive_seed(7, "a", 1), derive_seed(7, "a", "1"), derive_seed(7, "a1"), derive_seed(8, "a", 1)}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_numpy_integers_are_integers_and_floats_are_refused() -> None:
    assert derive_seed(7, np.int64(3)) == derive_seed(7, 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        derive_seed(7, 3.0)  # type: ignore[arg-type]


def test_generators_repeat() -> None:
    assert numpy_generator(5).integers(1 << 30) == numpy_generator(5).integers(1 << 30)
    seed = derive_seed(7, "image", 3)
    plain = torch.Generator().manual_seed(seed)
    assert torch.equal(torch.randn(4, generator=torch_generator(seed)), torch.randn(4, generator=plain))


def test_seed_everything_seeds_the_global_streams() -> None:
    seed_everything(2**62 + 1)
    first = (np.random.rand(), torch.rand(1).item())
    seed_everything(2**62 + 1)
    assert (np.random.rand(), torch.rand(1).item()) == first
