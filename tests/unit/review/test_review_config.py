"""The review's configuration: its defaults, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tenfold.review.config import ReviewConfig


def test_the_defaults_blind_repeat_and_let_one_rejection_count() -> None:
    config = ReviewConfig()
    assert 0 < config.real_fraction < 1 and config.repeat_fraction > 0 and config.reviewers_needed == 2
    assert config.consensus == "any_reject" and not config.auto_accept


def test_targets_are_read() -> None:
    config = ReviewConfig.model_validate({"targets": {"total": 500, "per_severity": 50, "per_class": {"df": 10}}})
    assert (config.targets.total, config.targets.per_severity, config.targets.per_class["df"]) == (500, 50, 10)


@pytest.mark.parametrize(
    "wrong",
    [
        {"real_fraction": 1.0},
        {"repeat_fraction": -0.1},
        {"overlap_fraction": 1.5},
        {"reviewers_needed": 0},
        {"consensus": "vote"},
        {"sets": ["../x"]},
        {"sets": ["a", "a"]},
        {"targets": {"total": -1}},
        {"targets": {"per_class": {"df": -1}}},
        {"nonsense": 1},
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ReviewConfig.model_validate(wrong)
