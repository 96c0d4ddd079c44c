"""The predictor stage's configuration: which cell is made ready for new images."""

from __future__ import annotations

from pydantic import Field

from tenfold.core.config import FolderName, StageConfig


class PredictorConfig(StageConfig):
    """Make a trained cell ready for new images; it goes to classifiers/<cell>/predictor."""

    cell: FolderName = Field(description="folder name under classifiers/")
    device: str = Field("auto", description="auto, cpu or cuda")
