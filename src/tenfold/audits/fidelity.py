"""Fidelity and variety: precision, recall, density and coverage at equal n, beside a row of real against real."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from tenfold.audits.estimates import AuditEstimate
from tenfold.metrics.arrays import FloatArray, IntArray
from tenfold.metrics.distribution import prdc, standardize


@dataclass(frozen=True)
class LabeledFeatures:
    """Features (N, D) of images with class numbers (N,) and group codes (N,)."""

    features: FloatArray
    labels: IntArray
    groups: IntArray

    def take(self, index: IntArray) -> LabeledFeatures:
        """The images at these places."""
        return LabeledFeatures(self.features[index], self.labels[index], self.groups[index])


@dataclass(frozen=True)
class FidelityRow:
    """Figures of `name` ("synthetic", or "real" for the reference row) against real images, `n_images` on each side."""

    name: str
    is_reference: bool
    n_images: int
    metrics: dict[str, AuditEstimate]


def fidelity_rows(
    synthetic: LabeledFeatures,
    unseen: LabeledFeatures,
    *,
    k: int,
    resamples: int,
    generator: np.random.Generator,
) -> tuple[list[FidelityRow], str]:
    """Two rows, synthetic and real, each against one half of the unseen real images, or none and the reason.

    Each resample parts the real groups into two halves anew and takes the same number of images of each class from
    either half and from the synthetic set. The figures are medians over the resamples, the intervals their 2.5 and 97.5
    percentiles; they show how much the choice of images matters, not a new cohort.
    """
    shortage = f"too few unseen real images of every class for two halves of more than {2 * k}"
    if len(unseen.labels) == 0:
        return [], shortage
    reference, made = standardize(unseen.features, synthetic.features)
    unseen = LabeledFeatures(reference, unseen.labels, unseen.groups)
    synthetic = LabeledFeatures(made, synthetic.labels, synthetic.groups)
    drawn: dict[str, list[dict[str, float]]] = {"synthetic": [], "real": []}
    counts: list[int] = []
    for _ in range(resamples):
        halves = _halves(unseen, generator)
        parts = _equal_parts([*halves, synthetic], generator)
        count = len(parts[0].labels)
        if count <= 2 * k:
            continue
        counts.append(count)
        drawn["real"].append(asdict(prdc(parts[0].features, parts[1].features, k=k)))
        drawn["synthetic"].append(asdict(prdc(parts[0].features, parts[2].features, k=k)))
    if 2 * len(counts) < resamples:
        return [], shortage
    patients = len(np.unique(unseen.groups))
    rows = [_row(name, values, counts, patients) for name, values in drawn.items()]
    return rows, ""


def _row(name: str, values: list[dict[str, float]], counts: list[int], patients: int) -> FidelityRow:
    count = int(np.median(counts))
    metrics = {}
    for metric in ("precision", "recall", "density", "coverage"):
        figures = np.array([value[metric] for value in values])
        low, middle, high = np.percentile(figures, [2.5, 50, 97.5])
        method = f"median and range over {len(figures)} random halves"
        metrics[metric] = AuditEstimate(float(middle), float(low), float(high), count, patients, method)
    return FidelityRow(name, name == "real", count, metrics)


def _halves(images: LabeledFeatures, generator: np.random.Generator) -> list[LabeledFeatures]:
    """Two halves of the groups, drawn within each class of a group's first image."""
    is_first_half = np.zeros(len(images.labels), dtype=bool)
    for label in np.unique(images.labels):
        groups = generator.permutation(np.unique(images.groups[images.labels == label]))
        is_first_half |= np.isin(images.groups, groups[: len(groups) // 2])
    return [images.take(np.flatnonzero(is_first_half)), images.take(np.flatnonzero(~is_first_half))]


def _equal_parts(sets: list[LabeledFeatures], generator: np.random.Generator) -> list[LabeledFeatures]:
    """From every set the same number of images of each class, drawn without replacement."""
    labels = np.unique(np.concatenate([images.labels for images in sets]))
    per_class = min(int((images.labels == label).sum()) for images in sets for label in labels)
    parts = []
    for images in sets:
        chosen = [
            generator.choice(np.flatnonzero(images.labels == label), per_class, replace=False) for label in labels
        ]
        parts.append(images.take(np.concatenate(chosen)))
    return parts
