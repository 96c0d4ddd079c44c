"""Training sizes of a study: as told, or chosen from the data; pure, torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from tenfold.core.errors import DesignError, Faults

SMALLEST_AUTOMATIC_SIZE = 5
PREFERRED_GENERATOR_SIZE = 10


@dataclass(frozen=True)
class Sizes:
    """Real training images per class, ascending: of curve arms, of all arms, and of the grid's variants."""

    training: tuple[int, ...]
    synthetic: tuple[int, ...]
    grid: tuple[int, ...]


def choose_sizes(
    training: Sequence[int] | None,
    synthetic: Sequence[int] | None,
    grid: Sequence[int] | None,
    available: dict[str, int],
) -> tuple[Sizes, list[str]]:
    """The sizes, with notes on those that were chosen from the data. Raises DesignError where they do not nest."""
    notes: list[str] = []
    smallest = min(available.values())
    if training is not None:
        sizes = tuple(sorted(training))
    else:
        sizes = automatic_training_sizes(smallest)
        notes.append(
            f"Training sizes were chosen from the data: {listed(sizes)} images a class "
            f"(5, 10, 20, 40, ... up to the smallest class's {smallest} training images)."
        )
        if smallest < SMALLEST_AUTOMATIC_SIZE:
            small = [label for label, count in available.items() if count < SMALLEST_AUTOMATIC_SIZE]
            notes.append(f"{listed(small)} alone keeps the sizes this small; intake.classes can leave it out.")
    if synthetic is not None:
        fitted = tuple(sorted(synthetic))
    else:
        below = [size for size in sizes if size <= PREFERRED_GENERATOR_SIZE]
        fitted = (max(below) if below else sizes[0],)
        notes.append(f"Generators are fitted at {listed(fitted)} images a class.")
    varied = fitted if grid is None else tuple(sorted(grid))
    for name, some, wider in (("synthetic_training_sizes", fitted, sizes), ("grid_sizes", varied, fitted)):
        if missing := sorted(set(some) - set(wider)):
            raise DesignError(
                f"{name} {missing} are not among {list(wider)}",
                where=f"study.{name}",
                expected="sizes at which the controls are trained too",
            )
    return Sizes(sizes, fitted, varied), notes


def automatic_training_sizes(smallest_class_images: int) -> tuple[int, ...]:
    """5, 10, 20, 40, ... up to what the smallest class holds in training; all it holds when that is below 5.

    >>> automatic_training_sizes(66)
    (5, 10, 20, 40)
    """
    sizes = []
    size = SMALLEST_AUTOMATIC_SIZE
    while size <= smallest_class_images:
        sizes.append(size)
        size *= 2
    return tuple(sizes) or (max(smallest_class_images, 1),)


def check_sizes(
    sizes: tuple[int, ...], available: dict[str, int], validation: pd.DataFrame, labels: Sequence[str]
) -> None:
    """Raises DesignError where the data cannot carry the sizes, with what is possible."""
    faults = Faults()
    short = {label: count for label, count in available.items() if count < sizes[-1]}
    if short:
        possible = automatic_training_sizes(min(available.values())) if min(available.values()) else ()
        counts = ", ".join(f"{label} {count}" for label, count in available.items())
        faults.add(
            DesignError(
                f"{sizes[-1]} training images a class were asked for, but {listed(tuple(short))} "
                f"{'has' if len(short) == 1 else 'have'} fewer",
                where="study.training_sizes",
                expected=f"at most {min(available.values())} a class; images in the training split: {counts}",
                todo=f"--set study.training_sizes={list(possible)}, or null to choose from the data"
                if possible
                else "give more images of the class, or leave it out of intake.classes",
            )
        )
    held = set(validation["label"].astype(str))
    without = tuple(label for label in labels if label not in held)
    if without:
        faults.add(
            DesignError(
                f"no validation image of {listed(without)}", where="split", expected="at least one image a class"
            )
        )
    faults.raise_if_any()


def listed(values: Sequence[object]) -> str:
    """Words joined by commas and `and`."""
    words = [str(value) for value in values]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
