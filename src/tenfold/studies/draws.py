"""The training and validation subsets and the seeds of one repetition of a study; torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from tenfold.core.seeds import derive_seed
from tenfold.data.subsets import nested_subset

_Orders = Mapping[str, Sequence[str]]


class Draw:
    """The subsets and seeds of one repetition."""

    def __init__(
        self, train: pd.DataFrame, validation: pd.DataFrame, labels: Sequence[str], root_seed: int, seed_index: int
    ) -> None:
        self._root_seed = root_seed
        self.labels = tuple(labels)
        self.seed_index = seed_index
        self._train = _orders(train, labels, self.seed("subset"))
        self._validation = _orders(validation, labels, self.seed("subset"))

    def seed(self, kind: str) -> int:
        """The repetition's seed of a kind: subset, generator or classifier."""
        return derive_seed(self._root_seed, kind, self.seed_index)

    def training(
        self, per_class: int, counts: Mapping[str, int] | None = None, labels: Sequence[str] | None = None
    ) -> tuple[str, ...]:
        """At most `per_class` training images of each class, or of these labels; `counts` are other numbers of some."""
        wanted = {label: (counts or {}).get(label, per_class) for label in labels or self.labels}
        return _first_of_each(self._train, wanted)

    def every(self, labels: Sequence[str] | None = None) -> tuple[str, ...]:
        """All training images, or those of these labels."""
        return tuple(image_id for label in labels or self.labels for image_id in self._train[label])

    def fresh(self, per_class: int, ratio: int) -> tuple[str, ...]:
        """Up to `ratio` further images of the nested order for each training image."""
        own = set(self.training(per_class))
        return tuple(image_id for image_id in self.training(per_class * (1 + ratio)) if image_id not in own)

    def validation(self, per_class: int) -> tuple[str, ...]:
        """At most `per_class` validation images of each class."""
        return _first_of_each(self._validation, dict.fromkeys(self.labels, per_class))


def _orders(table: pd.DataFrame, labels: Sequence[str], seed: int) -> dict[str, list[str]]:
    """Of each class all images, in the order in which nested subsets take them."""
    orders = {}
    for label in labels:
        rows = table[table["label"] == label]
        orders[label] = nested_subset(rows, per_class=len(rows), seed=seed)
    return orders


def _first_of_each(orders: _Orders, counts: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(image_id for label, count in counts.items() for image_id in orders[label][:count])
