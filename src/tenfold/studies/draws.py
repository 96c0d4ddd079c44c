"""The training and validation subsets and the seeds of one repetition of a study; torch-free."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from tenfold.core.seeds import derive_seed
from tenfold.data.subsets import nested_subset


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

    def training(self, per_class: int) -> tuple[str, ...]:
        """At most `per_class` training images of each class."""
        return _first_of_each(self._train, per_class)

    def fresh(self, per_class: int, ratio: int) -> tuple[str, ...]:
        """Up to `ratio` further images of the nested order for each training image."""
        own = set(self.training(per_class))
        return tuple(image_id for image_id in self.training(per_class * (1 + ratio)) if image_id not in own)

    def validation(self, per_class: int) -> tuple[str, ...]:
        """At most `per_class` validation images of each class."""
        return _first_of_each(self._validation, per_class)


def _orders(table: pd.DataFrame, labels: Sequence[str], seed: int) -> list[list[str]]:
    """Of each class all images, in the order in which nested subsets take them."""
    orders = []
    for label in labels:
        rows = table[table["label"] == label]
        orders.append(nested_subset(rows, per_class=len(rows), seed=seed))
    return orders


def _first_of_each(orders: Sequence[Sequence[str]], count: int) -> tuple[str, ...]:
    return tuple(image_id for order in orders for image_id in order[:count])
