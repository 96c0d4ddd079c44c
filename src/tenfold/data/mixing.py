"""Mixing: which real and which extra images make up each training batch, keyed by the step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tenfold.core.errors import DesignError
from tenfold.core.seeds import derive_seed, numpy_generator

Sampling = Literal["balanced", "uniform"]

_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class TrainingMix:
    """A sampler without state: `batch(step)` depends on the arguments and the step only, so a resumed run draws alike.

    Every batch holds `extra_share` of extra images (synthetic, autoencoded or fresh real ones), exactly so over time
    when share x batch size is no whole number. With sampling "balanced" it is also balanced over the classes (to within
    one slot, the odd slots going round); with "uniform" the classes come as often as their images. Images are drawn
    with replacement, within their class and origin, or their origin, alike or in proportion to their weights. Real
    slots do not depend on which extra images there are, only on how many.

    real_labels, extra_labels: class numbers (0 to C - 1) of the real and of the extra images, in their own order;
    real_weights, extra_weights: numbers >= 0 for them, or None for all alike.
    Raises DesignError when the share cannot be drawn from these images.
    """

    real_labels: Sequence[int]
    extra_labels: Sequence[int]
    extra_share: float
    batch_size: int
    seed: int
    sampling: Sampling = "balanced"
    real_weights: Sequence[float] | None = None
    extra_weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1 or not 0.0 <= self.extra_share <= 1.0:
            raise DesignError(
                f"a batch of {self.batch_size} images with a share of {self.extra_share} extra ones cannot be drawn",
                expected="at least 1 image and a share from 0 to 1",
            )
        real, extra = set(map(int, self.real_labels)), set(map(int, self.extra_labels))
        if not real and not extra:
            raise DesignError("there is no image to train on", todo="give real images, extra images or both")
        if self.sampling == "balanced":
            self._check_share(real, extra)
        elif (self.extra_share > 0 and not extra) or (self.extra_share < 1 and not real):
            raise DesignError(
                f"a share of {self.extra_share} extra images is out of reach",
                where=f"{len(self.real_labels)} real and {len(self.extra_labels)} extra images to draw from",
            )

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
    def _real_pools(self) -> dict[int, _Pool]:
        return _pools(self.real_labels, self.real_weights, is_one=self.sampling == "uniform")

    @cached_property
    def _extra_pools(self) -> dict[int, _Pool]:
        return _pools(self.extra_labels, self.extra_weights, is_one=self.sampling == "uniform")

    def batch(self, step: int) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Of one step: is_extra (B,), and index (B,) into the real or the extra images accordingly."""
        rng = numpy_generator(derive_seed(self.seed, "batch", step))
        slots = self._slot_classes(step, rng)
        is_extra = self._extra_slots(step, slots, rng)
        uniforms = rng.random(self.batch_size)
        index = np.empty(self.batch_size, dtype=np.int64)
        for place, label in enumerate(slots):
            pool = (self._extra_pools if is_extra[place] else self._real_pools)[int(label)]
            index[place] = pool.at(uniforms[place])
        return is_extra, index

    def expected_shares(self) -> NDArray[np.float64]:
        """Share (N,) of all draws that falls to each real, then to each extra image, over many steps; sums to 1."""
        real, extra = np.zeros(len(self.real_labels)), np.zeros(len(self.extra_labels))
        classes = self._real_pools.keys() | self._extra_pools.keys()
        both = self._real_pools.keys() & self._extra_pools.keys()
        forced = len(self._extra_pools.keys() - self._real_pools.keys()) / len(classes)
        spread = max(0.0, self.extra_share - forced) / len(both) if both else 0.0
        for label in classes:
            of_extra = spread if label in both else float(label in self._extra_pools) / len(classes)
            for pools, shares, share in (
                (self._real_pools, real, 1 / len(classes) - of_extra),
                (self._extra_pools, extra, of_extra),
            ):
                if label in pools:
                    shares[pools[label].places] = share * pools[label].chances()
        return np.concatenate([real, extra])

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


@dataclass(frozen=True, eq=False)
class TwoStageMix:
    """Extra images alone for the first `first_steps` steps, real ones alone from then on: a mix for each stage."""

    first: TrainingMix
    last: TrainingMix
    first_steps: int

    def batch(self, step: int) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """As `TrainingMix.batch`."""
        return (self.first if step < self.first_steps else self.last).batch(step)


def equalizing_weights(
    labels: Sequence[int], values: Sequence[str], weights: Sequence[float] | NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Weights (N,) by which, within each class, every value is drawn equally often; within a value, as `weights` say.

    >>> equalizing_weights([0, 0, 0, 1], ["I-II", "I-II", "V-VI", "I-II"]).tolist()
    [0.5, 0.5, 1.0, 1.0]
    """
    own = np.ones(len(labels)) if weights is None else np.asarray(weights, dtype=np.float64)
    keys = [f"{int(label)} {value}" for label, value in zip(labels, values, strict=True)]
    _, group = np.unique(np.array(keys, dtype=object).astype(str), return_inverse=True)
    total = np.bincount(group, weights=own)[group] if len(keys) else own
    return np.divide(own, total, out=np.zeros_like(own), where=total > 0)


@dataclass(frozen=True, eq=False)
class _Pool:
    """Images to draw from: their places, and their weights summed up (None: all alike)."""

    places: NDArray[np.int64]
    cumulative: NDArray[np.float64] | None

    def at(self, uniform: float) -> int:
        """The place of a number in [0, 1)."""
        if self.cumulative is None:
            return int(self.places[int(uniform * len(self.places))])
        return int(self.places[np.searchsorted(self.cumulative, uniform * self.cumulative[-1], side="right")])

    def chances(self) -> NDArray[np.float64]:
        """Of each place; they sum to 1."""
        if self.cumulative is None:
            return np.full(len(self.places), 1 / len(self.places))
        chances: NDArray[np.float64] = np.diff(self.cumulative, prepend=0.0) / self.cumulative[-1]
        return chances


def _pools(labels: Sequence[int], weights: Sequence[float] | None, *, is_one: bool) -> dict[int, _Pool]:
    """By class number; everything under 0 when it is one pool."""
    numbers = np.asarray(labels, dtype=np.int64)
    pools = {}
    for label in np.unique(numbers * (not is_one)):
        places = np.flatnonzero(numbers == label) if not is_one else np.arange(len(numbers))
        cumulative = None if weights is None else np.cumsum(np.asarray(weights, dtype=np.float64)[places])
        if cumulative is not None and not (np.isfinite(cumulative[-1]) and cumulative[-1] > 0):
            raise DesignError(
                f"the {len(places)} images of class number {label} all have the weight 0",
                expected="at least one image of each class that can be drawn",
                todo="check the weights, or leave them out",
            )
        pools[int(label)] = _Pool(places, cumulative)
    return pools


def _rank_within_class(slots: NDArray[np.int64]) -> NDArray[np.int64]:
    rank = np.empty(len(slots), dtype=np.int64)
    for label in np.unique(slots):
        places = np.flatnonzero(slots == label)
        rank[places] = np.arange(len(places))
    return rank
