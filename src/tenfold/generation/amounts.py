"""Amounts: how many images of each label and of each prompt are asked for; pure numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from tenfold.core.errors import DataError
from tenfold.core.seeds import derive_seed

IMAGES_PER_CLASS = 10
"""Where nothing is said and prompts alone are drawn from."""


@dataclass(frozen=True)
class Amount:
    """One way to say how many; exactly one field is set."""

    images_per_class: int | None = None
    images_per_prompt: int | tuple[int, int] | None = None
    """A number, or a range from which each prompt's own number is drawn."""
    images_per_real_image: int | None = None
    balance_to: str | int | None = None
    """``largest``, or the number that each label's real and synthetic images make together."""
    total: int | None = None
    class_weights: Mapping[str, float] | None = None
    """Shares of `total`; a label that is not named has 1."""

    @property
    def needs_real_counts(self) -> bool:
        """Whether the number of real training images decides."""
        return self.images_per_real_image is not None or self.balance_to is not None


def label_counts(
    amount: Amount, templates: Mapping[str, Sequence[str]], real_counts: Mapping[str, int], *, seed: int
) -> dict[str, int]:
    """Images of each label, in the templates' order; labels of 0 are left out.

    Args:
        templates: each label's prompts, one at least.
        real_counts: each label's real training images, read where the amount asks for them.

    Raises:
        DataError: no image at all would be made.
    """
    labels = list(templates)
    if amount.total is not None:
        counts = shares(amount.total, [(amount.class_weights or {}).get(label, 1.0) for label in labels])
    elif amount.images_per_prompt is not None:
        counts = [sum(prompt_counts(amount, label, templates[label], seed=seed)) for label in labels]
    elif amount.images_per_real_image is not None:
        counts = [amount.images_per_real_image * real_counts.get(label, 0) for label in labels]
    elif amount.balance_to is not None:
        largest = max((real_counts.get(label, 0) for label in labels), default=0)
        goal = largest if isinstance(amount.balance_to, str) else amount.balance_to
        counts = [max(0, goal - real_counts.get(label, 0)) for label in labels]
    else:
        counts = [amount.images_per_class or IMAGES_PER_CLASS] * len(labels)
    found = {label: number for label, number in zip(labels, counts, strict=True) if number}
    if not found:
        real = ", ".join(f"{label} {real_counts.get(label, 0)}" for label in labels)
        raise DataError(
            "the plan asks for no image at all",
            where=f"real training images: {real}" if amount.needs_real_counts else "",
            expected="1 or more",
            todo="Ask for another amount: images_per_class, or a larger balance_to or total.",
        )
    return found


def prompt_counts(amount: Amount, label: str, templates: Sequence[str], *, seed: int) -> list[int]:
    """Images of each of a label's prompts; a range is drawn from by the prompt's own text, wherever it stands."""
    asked = amount.images_per_prompt
    if not isinstance(asked, tuple):
        return [asked or 0] * len(templates)
    first, last = asked
    return [first + derive_seed(seed, "amount", label, text) % (last - first + 1) for text in templates]


def shares(total: int, weights: Sequence[float]) -> list[int]:
    """`total` shared out by weights, by the largest remainders; the first of equal ones comes first.

    >>> shares(10, [1, 1, 1]), shares(3, [0, 5, 1])
    ([4, 3, 3], [0, 3, 0])
    """
    whole = math.fsum(weights)
    if whole <= 0:
        raise DataError("all weights are 0", where="class_weights", expected="one above 0")
    exact = [total * weight / whole for weight in weights]
    counts = [math.floor(value) for value in exact]
    by_remainder = sorted(range(len(weights)), key=lambda place: (counts[place] - exact[place], place))
    for place in by_remainder[: total - sum(counts)]:
        counts[place] += 1
    return counts


def in_turn(weights: Sequence[float], length: int) -> list[int]:
    """Places of `weights` in the order they are taken, each as often as its weight says; a longer order begins alike.

    Smooth weighted round robin: equal weights are simply taken in turn.

    >>> in_turn([1, 1, 1], 5), in_turn([2, 1], 6)
    ([0, 1, 2, 0, 1], [0, 1, 0, 0, 1, 0])
    """
    whole = math.fsum(weights)
    credit = [0.0] * len(weights)
    order = []
    for _ in range(length):
        credit = [value + weight for value, weight in zip(credit, weights, strict=True)]
        # Rounded, so that sums of thirds do not decide by their last bits.
        taken = max(range(len(weights)), key=lambda place: (round(credit[place], 9), -place))
        credit[taken] -= whole
        order.append(taken)
    return order


def interleaved(counts: Sequence[int]) -> list[tuple[int, int]]:
    """(place, turn) of every image: all places in turn until each has its count.

    >>> interleaved([2, 1])
    [(0, 0), (1, 0), (0, 1)]
    """
    order: list[tuple[int, int]] = []
    for turn in count():
        found = [(place, turn) for place, number in enumerate(counts) if turn < number]
        if not found:
            return order
        order += found
    return order
