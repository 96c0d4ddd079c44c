"""Settings of stages in recipes: the stage's own fields, limits and defaults, without what the study fills in."""

from __future__ import annotations

import pytest
from pydantic import Field, ValidationError, model_validator

from tenfold.core.config import StageConfig
from tenfold.core.errors import RecipeError
from tenfold.studies.config import StudyConfig
from tenfold.studies.settings import fill_config, settings_of


class Whole(StageConfig):
    """A stage's config."""

    name: str
    steps: int = Field(10, ge=1, description="how many")
    is_odd: bool = False

    @model_validator(mode="after")
    def _check(self) -> Whole:
        if self.is_odd and self.steps % 2 == 0:
            raise ValueError("steps are even")
        return self


Part = settings_of(Whole, "Part", ("name",))


def test_fields_keep_defaults_and_limits() -> None:
    assert set(Part.model_fields) == {"steps", "is_odd"}
    assert Part().model_dump() == {"steps": 10, "is_odd": False}
    with pytest.raises(ValidationError):
        Part(steps=0)
    with pytest.raises(ValidationError):
        Part(name="mine")


def test_an_owned_field_must_exist() -> None:
    with pytest.raises(AttributeError, match="nome"):
        settings_of(Whole, "Part", ("nome",))


def test_filling_checks_the_whole() -> None:
    assert fill_config(Whole, Part(steps=3), "part", {"name": "a"}) == Whole(name="a", steps=3)
    with pytest.raises(RecipeError, match="steps are even"):
        fill_config(Whole, Part(is_odd=True), "part", {"name": "a"})


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"arms": ("hybrid", "hybrid")}, "twice"),
        ({"curve_arms": ("hybrid",)}, "curve_arms"),
        ({"training_sizes": (8,), "synthetic_training_sizes": (4,)}, "not among training_sizes"),
        ({"synthetic_share": 1.0}, "less than 1"),
        ({"seeds": 0}, "greater than 0"),
        ({"arms": ("hybird",)}, "hybrid"),
    ],
)
def test_designs_that_make_no_sense_are_refused(values: dict[str, object], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        StudyConfig(**values)  # type: ignore[arg-type]
