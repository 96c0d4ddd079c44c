"""Typed facts as plain JSON values and back: for dataclasses of dataclasses, tuples, mappings and plain types."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

Facts = TypeVar("Facts")


def to_plain(facts: Any) -> dict[str, Any]:
    """Plain dicts, lists, strings and finite numbers of a dataclass (a NaN becomes null)."""
    return typing.cast(dict[str, Any], _to_plain(facts))


def from_plain(kind: type[Facts], value: Mapping[str, Any]) -> Facts:
    """The dataclass again; a missing field takes its default.

    Raises KeyError for a missing field without one, TypeError for a field of the wrong shape.
    """
    return typing.cast(Facts, _from_plain(kind, value))


def _to_plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_to_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _from_plain(kind: Any, value: Any) -> Any:
    """Rebuild `kind`, one of: a dataclass, Mapping[str, X], tuple[X, ...], X | None, or a plain type."""
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        fields = {
            field.name: _from_plain(hints[field.name], value[field.name])
            for field in dataclasses.fields(kind)
            if field.name in value or not _has_default(field)
        }
        return typing.cast(Any, kind)(**fields)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        inner = next(argument for argument in arguments if argument is not type(None))
        return None if value is None else _from_plain(inner, value)
    if origin is tuple:
        return tuple(_from_plain(arguments[0], item) for item in value)
    if origin is not None and issubclass(origin, Mapping) if isinstance(origin, type) else False:
        return {key: _from_plain(arguments[1], item) for key, item in value.items()}
    if kind is float:
        return float(value)
    return value


def _has_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
