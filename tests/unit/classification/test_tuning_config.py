"""The space of a tuning: what may be searched, checked before any training."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tenfold.classification.config import ClassifierConfig
from tenfold.classification.tuning_config import Choices, Range, TuningConfig, with_values

CLASSIFIER: dict[str, Any] = {
    "cell": "c", "arm": "real", "labels": ("a", "b"), "training_size": 4, "train_ids": ("1",), "validation_ids": ("2",)
}  # fmt: skip


def tuning(**changes: Any) -> TuningConfig:
    return TuningConfig.model_validate({"name": "t", "classifier": CLASSIFIER} | changes)


def test_the_space_at_first_is_synthvisions() -> None:
    space = tuning().space
    assert space["max_train_epochs"] == Range(low=20, high=200, step=10)
    assert space["learning_rate"] == Range(low=1e-5, high=1e-2, log=True)
    assert space["optimizer"] == Choices(choices=("adam", "rmsprop"))
    assert Range(low=1, high=9).is_whole and not Range(low=1, high=9.5).is_whole


@pytest.mark.parametrize(
    "space, reason",
    [
        ({}, "at least 1"),
        ({"lr": {"low": 1, "high": 2}}, "lr cannot be searched; what can: .*learning_rate"),
        ({"validation_ids": {"choices": ["a", "b"]}}, "validation_ids cannot be searched"),
        ({"classifier_seed": {"low": 1, "high": 2}}, "classifier_seed cannot be searched"),
        ({"learning_rate": {"low": 1, "high": 1}}, "is not below"),
        ({"learning_rate": {"low": 0, "high": 1, "log": True}}, "low above 0"),
        ({"learning_rate": {"low": -1, "high": 1}}, "learning_rate cannot be -1"),
        ({"optimizer": {"choices": ["adam", "lion"]}}, "optimizer cannot be 'lion'"),
        ({"optimizer": {"choices": ["adam", "adam"]}}, "given twice"),
        ({"optimizer": {"choices": ["adam"]}}, "at least 2"),
        ({"batch_size": {"low": 8.5, "high": 16}}, "batch_size cannot be 8.5"),
    ],
)
def test_spaces_that_cannot_be_searched_are_refused(space: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        tuning(space=space)


def test_steps_of_a_head_that_is_solved_cannot_be_searched() -> None:
    head = CLASSIFIER | {"train": "head", "freeze_blocks": 0}
    with pytest.raises(ValidationError, match="batch_size, learning_rate, max_train_epochs, optimizer change nothing"):
        tuning(classifier=head)
    tuning(classifier=head, space={"feature_views": {"low": 1, "high": 8}})
    tuning(classifier=head | {"transforms": "strong"})


def test_values_are_checked_with_the_other_settings() -> None:
    classifier = ClassifierConfig.model_validate(CLASSIFIER)
    assert with_values(classifier, {"batch_size": 8}).batch_size == 8
    with pytest.raises(ValidationError, match="freeze_blocks must be 0"):
        with_values(classifier, {"pretrained": False})
    tuning(space={"pretrained": {"choices": [True, False]}, "freeze_blocks": {"low": 0, "high": 1}})
