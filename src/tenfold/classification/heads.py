"""Heads: many multinomial logistic regressions on shared features, solved together.

Each head's rows are centered and turned onto their principal axes, which leaves the minimum where it is and cuts the
width to the rank. There Boehning's bound of the Hessian (Boehning 1992: at most 1/2 of the weighted Gram matrix) is
diagonal and starts the descent (`head_descent`), whose products are batched: heads of the same rows in one matrix,
other rows beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.classification.head_descent import HeadLosses, minimize
from tenfold.core.errors import DataError, InputError

_RANK_CUT = 1e-12
_NOTHING = 1e-300
_BATCH_NUMBERS = 1 << 25
"""Numbers (256 MiB) that the rows of a batch may take."""


@dataclass(frozen=True)
class HeadProblem:
    """One head to fit: `rows` (n,) places in the features, `labels` (n,) class numbers 0 to class_count - 1.

    weights: (n,) of the losses, at least 0; None: 1 each. label_smoothing: as torch's CrossEntropyLoss has it.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    class_count: int
    weights: NDArray[np.float64] | None = None
    label_smoothing: float = 0.0


@dataclass(frozen=True)
class Head:
    """logits = features @ coefficients.T + intercepts. coefficients: (C, D); intercepts: (C,), of mean 0.

    loss: the weighted sum of the losses, without the penalty.
    """

    coefficients: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    loss: float
    iterations: int

    def logits(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """(N, D) -> (N, C)."""
        return np.asarray(features @ self.coefficients.T + self.intercepts, dtype=np.float64)


def solve_heads(
    features: NDArray[np.floating],
    problems: Sequence[HeadProblem],
    l2: float | Sequence[float],
    *,
    device: str = "cpu",
) -> list[Head]:
    """The heads of all problems, in their order, each the one minimum of scikit-learn's LogisticRegression(C=1/l2).

    Minimized: weighted sum of the cross-entropies + l2 / 2 * squared coefficients (for two classes: of their
    difference, as scikit-learn has it); intercepts are free. features: (N, D); l2: above 0, one for all or one each.

    Raises:
        DataError: features are no numbers, or a class has no row of weight above 0 (its intercept has no minimum).
        InputError: l2 is not above 0, or there is not one for each problem.
        StageError: a head has not come to rest.
    """
    penalties = [float(l2)] * len(problems) if isinstance(l2, int | float) else [float(one) for one in l2]
    if len(penalties) != len(problems) or min(penalties, default=1.0) <= 0:
        raise InputError(f"penalties {sorted(set(penalties))[:5]} for {len(problems)} heads", expected="each above 0")
    for number, problem in enumerate(problems):
        _check(problem, number)
    heads: dict[int, Head] = {}
    groups = _groups(problems, penalties)
    table = torch.from_numpy(np.ascontiguousarray(features)).to(device)
    if not bool(torch.isfinite(table).all()):
        raise DataError("the features are no numbers", expected="finite features", todo="check the backbone's weights")
    for batch in _batches(groups, problems, table.shape[1]):
        bases = [_basis(table, problems[numbers[0]]) for numbers in batch]
        heads.update(_solve(bases, batch, problems, penalties))
    return [heads[number] for number in range(len(problems))]


@dataclass(frozen=True)
class _Basis:
    """Rows of one or more heads on their principal axes.

    rows: (n, r) centered and turned, weights: (n,), spread: (r,) weighted sums of squares along the axes, axes: (D, r),
    center: (D,).
    """

    rows: torch.Tensor
    weights: torch.Tensor
    spread: torch.Tensor
    axes: torch.Tensor
    center: torch.Tensor


def _check(problem: HeadProblem, number: int) -> None:
    where = f"head {number}"
    weights = _weights(problem)
    if len(problem.rows) != len(problem.labels) or len(weights) != len(problem.labels) or (weights < 0).any():
        raise DataError(
            "rows, labels and weights do not belong together", where=where, expected="(n,) each, weights >= 0"
        )
    seen = np.unique(problem.labels[weights > 0])
    outside = len(seen) and not (seen[0] >= 0 and seen[-1] < problem.class_count)
    if outside or problem.class_count < 2 or (len(seen) < problem.class_count and problem.label_smoothing == 0):
        raise DataError(
            f"{len(seen)} of {problem.class_count} classes have training rows",
            where=where,
            expected="a row of every class, and two classes or more",
            todo="leave the class out, or give images of it",
        )


def _groups(problems: Sequence[HeadProblem], l2: Sequence[float]) -> list[list[int]]:
    """Numbers of the problems that share rows, weights and classes, so that one basis serves them.

    The largest penalty first: those heads are at rest first, in every group.
    """
    groups: dict[tuple[int, bytes, bytes], list[int]] = {}
    for number, problem in enumerate(problems):
        weights = b"" if problem.weights is None else problem.weights.tobytes()
        groups.setdefault((problem.class_count, problem.rows.tobytes(), weights), []).append(number)
    return [sorted(group, key=lambda number: -l2[number]) for group in groups.values()]


def _batches(groups: list[list[int]], problems: Sequence[HeadProblem], width: int) -> Iterator[list[list[int]]]:
    """Groups of alike size and classes together, so that padding costs little."""

    def size(group: list[int]) -> tuple[int, int]:
        return problems[group[0]].class_count, len(problems[group[0]].rows)

    batch: list[list[int]] = []
    for group in sorted(groups, key=size):
        classes, rows = size(group)
        if batch:
            first_classes, first_rows = size(batch[0])
            numbers = (len(batch) + 1) * rows * min(rows, width)
            if classes != first_classes or rows > 1.25 * first_rows + 8 or numbers > _BATCH_NUMBERS:
                yield batch
                batch = []
        batch.append(group)
    if batch:
        yield batch


def _basis(table: torch.Tensor, problem: HeadProblem) -> _Basis:
    weights = torch.from_numpy(_weights(problem)).to(table.device)
    rows = table[torch.from_numpy(problem.rows).to(table.device)].double()
    center = (weights / weights.sum()) @ rows
    rows = rows - center
    scaled = rows * weights.sqrt()[:, None]
    if rows.shape[0] < rows.shape[1]:
        spread, sides = torch.linalg.eigh(scaled @ scaled.T)
        is_kept = spread > _RANK_CUT * spread[-1].clamp(min=_NOTHING)
        spread = spread[is_kept]
        axes = scaled.T @ (sides[:, is_kept] / spread.sqrt())
    else:
        spread, axes = torch.linalg.eigh(scaled.T @ scaled)
        is_kept = spread > _RANK_CUT * spread[-1].clamp(min=_NOTHING)
        spread, axes = spread[is_kept], axes[:, is_kept]
    return _Basis(rows @ axes, weights, spread, axes, center)


def _solve(
    bases: Sequence[_Basis], batch: Sequence[Sequence[int]], problems: Sequence[HeadProblem], l2: Sequence[float]
) -> dict[int, Head]:
    """Bases and heads are padded to one shape: rows of weight 0, axes of zeros, and heads twice."""
    most_heads = max(map(len, batch))
    padded = [[*numbers, *[numbers[-1]] * (most_heads - len(numbers))] for numbers in batch]
    parameters, losses, iterations = minimize(*_objective(bases, padded, problems, l2))
    heads: dict[int, Head] = {}
    for place, (basis, numbers) in enumerate(zip(bases, batch, strict=True)):
        coefficients = parameters[place, :, :, : basis.rows.shape[1]] @ basis.axes.T  # (H, C, D)
        intercepts = parameters[place, :, :, -1] - coefficients @ basis.center
        intercepts = intercepts - intercepts.mean(dim=1, keepdim=True)
        for head, number in enumerate(numbers):
            heads[number] = Head(
                coefficients[head].cpu().numpy(),
                intercepts[head].cpu().numpy(),
                float(losses[place, head]),
                int(iterations[place, head]),
            )
    return heads


def _objective(
    bases: Sequence[_Basis], padded: Sequence[Sequence[int]], problems: Sequence[HeadProblem], l2: Sequence[float]
) -> tuple[HeadLosses, torch.Tensor]:
    """The objective, and the spread of each parameter (G, 1, 1, r + 1)."""
    like = bases[0].rows
    count, width = (max(basis.rows.shape[axis] for basis in bases) for axis in (0, 1))
    groups, heads, classes = len(bases), len(padded[0]), problems[padded[0][0]].class_count
    rows, weights = like.new_zeros(groups, count, width + 1), like.new_zeros(groups, count)
    spread = like.new_zeros(groups, width + 1)
    targets = like.new_zeros(groups, heads, classes, count)
    penalty = like.new_zeros(groups, heads, width + 1)
    for place, (basis, numbers) in enumerate(zip(bases, padded, strict=True)):
        n, r = basis.rows.shape
        rows[place, :n, :r], rows[place, :n, width] = basis.rows, 1.0
        weights[place, :n] = basis.weights
        spread[place, :r], spread[place, width] = basis.spread, basis.weights.sum()
        for head, number in enumerate(numbers):
            smoothing, labels = problems[number].label_smoothing, torch.from_numpy(problems[number].labels)
            targets[place, head, :, :n] = smoothing / classes
            targets[place, head, labels.to(like.device), torch.arange(n)] += 1 - smoothing
            # Two opposite rows of half the difference: their squares sum to half of the difference's square.
            penalty[place, head, :width] = l2[number] * (2 if classes == 2 else 1)
    objective = HeadLosses(rows, weights[:, None, None], targets, penalty[:, :, None])
    return objective, spread[:, None, None]


def _weights(problem: HeadProblem) -> NDArray[np.float64]:
    return np.ones(len(problem.labels)) if problem.weights is None else np.asarray(problem.weights, dtype=np.float64)
