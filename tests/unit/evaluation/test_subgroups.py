"""Subgroups: age bands, sources, and groups of three patients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tenfold.core.progress import NullProgress
from tenfold.evaluation.config import EvaluationConfig
from tenfold.evaluation.predictions import StudyPredictions, load_study
from tenfold.evaluation.run import evaluate
from tenfold.evaluation.subgroups import subgroup_masks
from tests.unit.evaluation.studies_made_up import AT_EIGHT, test_images, write_study

test_images.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyPredictions:
    return load_study(write_study(tmp_path_factory.mktemp("subgroups"), AT_EIGHT, seeds=3))


def test_ages_fall_into_bands_and_sources_are_the_upstream_ones(study: StudyPredictions) -> None:
    images = test_images()
    ages = np.array([15.0, 40.0, 59.9, 60.0, np.nan])[np.arange(len(images)) % 5]
    manifest = images.assign(age=ages, **{"attr.dataset": ["a", "b"] * (len(images) // 2)})
    masks, notes = subgroup_masks(study, manifest, ("age_band", "source"))
    assert [(attribute, value, int(mask.sum())) for attribute, value, mask in masks] == [
        ("age_band", "under 40", 24),
        ("age_band", "40 to 59", 48),
        ("age_band", "60 and over", 24),
        ("source", "a", 60),
        ("source", "b", 60),
    ]
    assert notes == ["24 of 120 test images have no age_band and are in none of its rows."]


def test_without_ages_or_sources_nothing_is_said(study: StudyPredictions) -> None:
    assert subgroup_masks(study, test_images(), ("age_band", "source")) == ([], [])


def test_three_patients_are_shown_but_never_ranked(study: StudyPredictions, tmp_path: Path) -> None:
    images = test_images()
    manifest = images.assign(sex=["x" if number < 6 else "f" for number in range(len(images))])
    config = EvaluationConfig(bootstrap_draws=200, subgroup_attributes=("sex",))
    found = evaluate(config, study, manifest, NullProgress())
    small = [row for row in found.subgroups if row.value == "x"]
    assert small and all(row.estimate.n_patients == 3 and row.estimate.n_images == 6 for row in small)
    assert all(row.is_underpowered and not row.is_worst for row in small)
