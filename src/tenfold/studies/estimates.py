"""Estimated seconds of a study's parts, from figures measured on one machine; they weigh progress and dry runs."""

from __future__ import annotations

REFERENCE = "figures measured with the embedded models at 64 px on one core of a 2-core machine"

DREAMBOOTH_SECONDS_PER_IMAGE = 0.012
"""One image of one training step, instance or prior."""
GENERATE_SECONDS_PER_IMAGE_STEP = 0.006
"""One guided sampling step of one image."""
RECONSTRUCT_SECONDS_PER_IMAGE = 0.015
SECONDS_PER_MADE_IMAGE = {"autoencoder": RECONSTRUCT_SECONDS_PER_IMAGE, "recolor": 0.004, "composite": 0.012}
"""By strategy, where no noise is drawn."""
STEPS = 20
"""Sampling steps where the recipe leaves them to the checkpoint."""
CLASSIFY_SECONDS_PER_IMAGE = 0.0013
"""One image of one training step of the embedded small net."""
AUDIT_SECONDS_PER_IMAGE = 0.004
START_SECONDS = 2.0
"""Loading models and reading images, once a stage."""
INTAKE_SECONDS_PER_IMAGE = 0.005
CHECKS_SECONDS = 6.0
INTAKE_PAGE_SECONDS = 3.0
EVALUATION_SECONDS_PER_CELL = 0.1
REPORT_SECONDS = 5.0
KILOBYTES_PER_IMAGE = 12.0
MEGABYTES_PER_GENERATOR = 17.0
MEGABYTES_PER_CLASSIFIER = 2.3


def dreambooth_seconds(steps: int, images_per_step: int) -> float:
    """One fine-tuning."""
    return START_SECONDS + steps * images_per_step * DREAMBOOTH_SECONDS_PER_IMAGE


def generate_seconds(images: int, steps: int, *, is_guided: bool) -> float:
    """One set that is drawn from noise."""
    per_step = GENERATE_SECONDS_PER_IMAGE_STEP if is_guided else GENERATE_SECONDS_PER_IMAGE_STEP / 2
    return START_SECONDS + images * (steps * per_step + RECONSTRUCT_SECONDS_PER_IMAGE)


def make_seconds(strategy: str, images: int) -> float:
    """One set by a strategy that draws no noise."""
    return START_SECONDS + images * SECONDS_PER_MADE_IMAGE[strategy]


def classify_seconds(steps: int, images_per_step: int) -> float:
    """One classifier."""
    return START_SECONDS + steps * images_per_step * CLASSIFY_SECONDS_PER_IMAGE


def audit_seconds(images: int) -> float:
    """One audit."""
    return START_SECONDS + images * AUDIT_SECONDS_PER_IMAGE
