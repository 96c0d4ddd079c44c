"""Names of the arrays that metrics take: labels (N,) of class numbers, probabilities (N, C), weights (D, N).

Every weighted metric scores D weightings of the same N images at once; a row of weights holds how often each image
counts, so a row of ones is the plain figure and a row of bootstrap multiplicities is one bootstrap draw.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

WeightedMetric = Callable[[IntArray, FloatArray, FloatArray], FloatArray]
"""(labels (N,), probs (N, C), weights (D, N)) -> (D,), or (D, C) per class; NaN where a weighting leaves a figure
undefined."""


def one_weighting(image_count: int) -> FloatArray:
    """Weights (1, N) of ones: every image counts once."""
    return np.ones((1, image_count), dtype=np.float64)


def divide(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Element-wise ratio, NaN where the denominator is 0."""
    result = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    np.divide(numerator, denominator, out=result, where=np.asarray(denominator) != 0)
    return result


def mean_of_defined(values: FloatArray, axis: int) -> FloatArray:
    """Mean over `axis` without NaN entries; NaN, silently, where none is defined."""
    defined = np.isfinite(values)
    total = np.where(defined, values, 0.0).sum(axis=axis)
    return divide(total, defined.sum(axis=axis).astype(np.float64))
