"""Estimated seconds of a study's parts, from figures measured on one machine or by a probe of this one."""

from __future__ import annotations

from dataclasses import dataclass

REFERENCE = "figures measured with the embedded models at 64 px on one core of a 2-core machine"

STEPS = 20
"""Sampling steps where the recipe leaves them to the checkpoint."""
INTAKE_SECONDS_PER_IMAGE = 0.005
CHECKS_SECONDS = 6.0
INTAKE_PAGE_SECONDS = 3.0
EVALUATION_SECONDS_PER_CELL = 0.1
REPORT_SECONDS = 5.0


@dataclass(frozen=True)
class Linear:
    """Seconds of a stage: a start, and so much for each unit of its work."""

    start: float
    each: float

    def seconds(self, units: float) -> float:
        """Of so many units."""
        return self.start + units * self.each


@dataclass(frozen=True)
class Rates:
    """How fast one worker is; `basis` says where the figures come from."""

    basis: str = REFERENCE
    fine_tuning: Linear = Linear(2.0, 0.012)
    """A unit is one image of one training step, instance or prior."""
    drawing: Linear = Linear(2.0, 0.006)
    """A unit is one guided sampling step of one image."""
    decoding: float = 0.015
    """Of one drawn image."""
    training: Linear = Linear(2.0, 0.0013)
    """A unit is one image of one training step of a classifier."""
    audit: Linear = Linear(2.0, 0.004)
    teacher: Linear = Linear(3.0, 0.004)
    made: tuple[tuple[str, float], ...] = (("autoencoder", 0.015), ("recolor", 0.004), ("composite", 0.012))
    """Seconds of one image, by strategy, where no noise is drawn."""
    kilobytes_per_image: float = 12.0
    megabytes_per_generator: float = 17.0
    megabytes_per_classifier: float = 2.3

    def fine_tuning_seconds(self, steps: int, images_per_step: int) -> float:
        """One fine-tuning."""
        return self.fine_tuning.seconds(steps * images_per_step)

    def set_seconds(self, strategy: str, images: int, steps: int, *, is_guided: bool) -> float:
        """One set of images; steps: of the sampler."""
        made = dict(self.made)
        if strategy in made:
            return self.drawing.start + images * made[strategy]
        passes = 2 if strategy == "in_then_outpaint" else 1
        units = images * passes * steps * (1.0 if is_guided else 0.5)
        return self.drawing.seconds(units) + images * self.decoding

    def training_seconds(self, steps: int, images_per_step: int) -> float:
        """One classifier."""
        return self.training.seconds(steps * images_per_step)


DEFAULT_RATES = Rates()
