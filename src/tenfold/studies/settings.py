"""The parts of the stages' configs that a recipe sets; the rest (names, image ids, seeds) the study fills in."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import copy
from typing import Any, TypeVar

from pydantic import ValidationError, create_model

from tenfold.core.config import StageConfig
from tenfold.core.errors import RecipeError

Config = TypeVar("Config", bound=StageConfig)


def settings_of(config: type[StageConfig], name: str, owned: Collection[str]) -> type[StageConfig]:
    """A config class with the fields of `config` except those `owned` by the study; defaults and limits are kept."""
    unknown = set(owned) - set(config.model_fields)
    if unknown:
        raise AttributeError(f"{config.__name__} has no fields {sorted(unknown)}")
    fields: dict[str, Any] = {
        field_name: (field.annotation, copy(field))
        for field_name, field in config.model_fields.items()
        if field_name not in owned
    }
    return create_model(name, __base__=StageConfig, __doc__=config.__doc__, **fields)


def fill_config(config: type[Config], settings: StageConfig, section: str, filled: Mapping[str, Any]) -> Config:
    """`config` from a recipe's section and what the study fills in. Raises RecipeError when they do not agree."""
    try:
        return config(**{name: getattr(settings, name) for name in type(settings).model_fields}, **filled)
    except ValidationError as error:
        details = "; ".join(str(one["msg"]).removeprefix("Value error, ") for one in error.errors())
        raise RecipeError(f"the section {section} cannot be used: {details}", where=section) from error
