"""Mixing: which real and which extra images make up each training batch, keyed by the step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tenfold.core.errors import DesignError
from tenfold.core.seeds import derive_seed, numpy_generator

_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class TrainingMix:
    """A sampler without state: `batch(step)` depends on the arguments and the step only, so a resumed run draws alike.

    Every batch is balanced over the classes (to within one slot, the odd slots going round) and holds `extra_share` of
    extra images (synthetic, autoencoded or fresh real ones), exactly so over time when share x batch size is no whole
    number. Within a class and origin, images are drawn uniformly with replacement. Real slots do not depend on which
    extra images there are, only on how many.

    real_labels, extra_labels: class numbers (0 to C - 1) of the real and of the extra images, in their own order.
    Raises DesignError when the share cannot be drawn from these images.
    """

    real_labels: Sequence[int]
    extra_labels: Sequence[int]
    extra_share: float
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        if self.batch_size < 1 or not 0.0 <= self.extra_share <= 1.0:
            raise DesignError(
                f"a batch of {self.batch_size} images with a share of {self.extra_share} extra ones cannot be drawn",
                expected="at least 1 image and a share from 0 to 1",
            )
        real, extra = set(map(int, self.real_labels)), set(map(int, self.extra_labels))
        if not real and not extra:
            raise DesignError("there is no image to train on", todo="give real images, extra images or both")
        self._check_share(real, extra)

    def _check_share(self, real: set[int], extra: set[int]) -> None:
        if self.extra_share == 0.0:
            extra = set()
        if self.extra_share == 1.0:
            real = set()
        classes = set(map(int, self.real_labels)) | set(map(int, self.extra_labels))
        lowest, highest = len(classes - real) / len(classes), len(extra) / len(classes)
        if not lowest - _TOLERANCE <= self.extra_share <= highest + _TOLERANCE or classes - real - extra:
            raise DesignError(
                f"a share of {self.extra_share} extra images in class-balanced batches is out of reach",
                where=f"{len(classes)} classes, {len(real)} with real and {len(extra)} with extra images to draw from",
                expected=f"a share from {lowest:.3g} to {highest:.3g}, and images to draw from in every class",
                todo="change synthetic_share, or add images for the classes that lack them",
            )

    @cached_property
    def _real_pools(self) -> dict[int, NDArray[np.int64]]:
        return _pools(self.real_labels)

    @cached_property
    def _extra_pools(self) -> dict[int, NDArray[np.int64]]:
        return _pools(self.extra_labels)

    def batch(self, step: int) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Of one step: is_extra (B,), and index (B,) into the real or the extra images accordingly."""
        rng = numpy_generator(derive_seed(self.seed, "batch", step))
        slots = self._slot_classes(step, rng)
        is_extra = self._extra_slots(step, slots, rng)
        uniforms = rng.random(self.batch_size)
        index = np.empty(self.batch_size, dtype=np.int64)
        for place, label in enumerate(slots):
            pool = (self._extra_pools if is_extra[place] else self._real_pools)[int(label)]
            index[place] = pool[int(uniforms[place] * len(pool))]
        return is_extra, index

    def _slot_classes(self, step: int, rng: np.random.Generator) -> NDArray[np.int64]:
        classes = np.array(sorted(self._real_pools.keys() | self._extra_pools.keys()), dtype=np.int64)
        places = step * self.batch_size + np.arange(self.batch_size)
        return rng.permutation(classes[places % len(classes)])

    def _extra_slots(self, step: int, slots: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.bool_]:
        """Extra slots spread evenly over the classes that have any; classes without real images are all extra."""
        before, after = (int(np.floor(s * self.extra_share * self.batch_size + _TOLERANCE)) for s in (step, step + 1))
        has_real = np.isin(slots, list(self._real_pools))
        has_extra = np.isin(slots, list(self._extra_pools))
        rank = _rank_within_class(slots) + rng.random(self.batch_size)
        order = [place for place in np.argsort(rank) if has_real[place] and has_extra[place]]
        is_extra: NDArray[np.bool_] = ~has_real
        is_extra[order[: max(0, after - before - int(is_extra.sum()))]] = True
        return is_extra


def _pools(labels: Sequence[int]) -> dict[int, NDArray[np.int64]]:
    numbers = np.asarray(labels, dtype=np.int64)
    return {int(label): np.flatnonzero(numbers == label) for label in np.unique(numbers)}


def _rank_within_class(slots: NDArray[np.int64]) -> NDArray[np.int64]:
    rank = np.empty(len(slots), dtype=np.int64)
    for label in np.unique(slots):
        places = np.flatnonzero(slots == label)
        rank[places] = np.arange(len(places))
    return rank
