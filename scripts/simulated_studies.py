"""Made-up studies whose truth is known: predictions of several arms and training seeds on test patients.

A study has three classes, test patients with one image or with one to four each, two arms, and five training seeds an
arm. The logit of an image's own class rises with the arm's strength, which varies over seeds; patients, images,
patients within an arm, and images within a seed each add normal noise. The truth is the expected figure over patients
and seeds, of 200,000 patients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from tenfold.metrics.catalog import METRICS

CLASSES, SEEDS = 3, 5
SEED_SPREAD = 0.15


@dataclass(frozen=True)
class Sample:
    """One simulated test set: patients and labels (N,), and logits (A, K, N, C) of A arms and K seeds."""

    patients: np.ndarray
    labels: np.ndarray
    logits: np.ndarray

    @property
    def probs(self) -> np.ndarray:
        return special.softmax(self.logits, axis=-1)


def simulate(
    rng: np.random.Generator,
    patient_count: int,
    images: tuple[int, int],
    strengths: np.ndarray,
) -> Sample:
    """Patients in equal numbers of each class; strengths: (A, K)."""
    counts = rng.integers(images[0], images[1] + 1, patient_count)
    patients = np.repeat(np.arange(patient_count), counts)
    labels = (patients % CLASSES).astype(np.int64)
    arms, seeds = strengths.shape
    n = len(patients)
    shared = rng.normal(0, 0.7, (patient_count, CLASSES))[patients] + rng.normal(0, 0.5, (n, CLASSES))
    of_arm = rng.normal(0, 0.4, (arms, patient_count, CLASSES))[:, patients]
    noise = rng.normal(0, 0.6, (arms, seeds, n, CLASSES))
    own = np.eye(CLASSES)[labels]
    return Sample(patients, labels, strengths[:, :, None, None] * own + shared + of_arm[:, None] + noise)


def truth(metrics: tuple[str, ...], signals: tuple[float, ...]) -> dict[str, np.ndarray]:
    """The expected figure of each arm over patients and seeds (Gauss-Hermite over the seeds' strengths)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    sample = simulate(
        np.random.default_rng(123), 200_001, (1, 1), np.array(signals)[:, None] + SEED_SPREAD * nodes[None]
    )
    return {
        name: np.array(
            [
                sum(
                    weight * METRICS[name].point(sample.labels, probs)
                    for weight, probs in zip(weights, arm, strict=True)
                )
                / weights.sum()
                for arm in sample.probs
            ]
        )
        for name in metrics
    }
