"""Predictions: logits of images in fixed batches, and the table that the evaluation reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import softmax as scipy_softmax
from torch import nn

from tenfold.models.features import to_batch

BATCH_SIZE = 128
IDENTITY = ("image_id", "patient_id", "group_id", "label", "split")


def predict_logits(model: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Logits (N, C) of images (N, H, W, 3) uint8, at least one; leaves the model in evaluation mode."""
    model.eval()
    device = next(model.parameters()).device
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), BATCH_SIZE):
            batch = to_batch(images[start : start + BATCH_SIZE]).to(device)
            parts.append(model(batch).float().cpu().numpy())
    return np.concatenate(parts).astype(np.float64)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities (N, C) of logits (N, C)."""
    return np.asarray(scipy_softmax(logits, axis=1), dtype=np.float64)


def prediction_table(
    rows: pd.DataFrame, logits: NDArray[np.float64], labels: Sequence[str], cell: Mapping[str, Any]
) -> pd.DataFrame:
    """One row per image: who it is, the cell's settings, prob.<class> and logit.<class>.

    rows: manifest rows (N,) with their split; logits: (N, C); cell: the columns that are the same in every row.
    """
    table = rows[list(IDENTITY)].reset_index(drop=True).astype("string")
    table = table.assign(**cell)
    probs = softmax(logits)
    for kind, values in (("prob", probs), ("logit", logits)):
        for index, label in enumerate(labels):
            table[f"{kind}.{label}"] = values[:, index]
    return table
