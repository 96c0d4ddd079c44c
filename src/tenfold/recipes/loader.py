"""Recipes from YAML: built-in or a file, with overrides, checked; every fault with its place and nearest name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tenfold.core.errors import Faults, RecipeError
from tenfold.recipes.schema import Recipe
from tenfold.recipes.shipped import BUILTIN
from tenfold.recipes.yaml_source import KeyPath, Source, parse_mapping, parse_value

Model = TypeVar("Model", bound=BaseModel)


def recipe_text(name_or_path: str) -> str:
    """The YAML of a built-in recipe or of a file. Raises RecipeError when there is none (nearest name offered)."""
    return _read(_find(name_or_path))


def load_recipe(
    name_or_path: str,
    settings: Sequence[str] | Mapping[str, Any] = (),
    *,
    variants: Sequence[str] = (),
    mini: bool = False,
    needs_required: bool = True,
) -> Recipe:
    """The checked recipe with its overrides.

    Args:
        settings: ``a.b=c`` texts with YAML values, or a mapping of dotted names to values.
        variants: names of the recipe's own variants, applied in this order.
        mini: apply the recipe's own one-minute variant after these and before `settings`.
        needs_required: refuse a recipe whose required settings are not given.

    Raises:
        RecipeError: one fault; FaultsError: several, collected. Each says the file and line, or the setting.
    """
    path = _find(name_or_path)
    source = parse_mapping(_read(path), path.name if path.is_relative_to(BUILTIN) else str(path))
    data, places = dict(source.data), dict(source.places)
    known = data.pop("variants", None)
    quick = data.pop("mini", None)
    faults = Faults()
    for name in variants:
        _apply_changes(_variant(known, name, path, faults), ("variants", name), (data, places), faults, path)
    required = data.pop("required", None)
    if mini:
        _apply_changes(quick, ("mini",), (data, places), faults, path)
        if not isinstance(quick, dict):
            expected = "a section `mini` of dotted names"
            faults.add(RecipeError("the recipe has no mini variant", where=str(path), expected=expected))
    for dotted, value, where in _overrides(settings, faults):
        _set(data, places, dotted, value, where, faults)
    if needs_required:
        replaced = tuple(f"{dotted}." for dotted in (quick or {})) if mini else ()  # what mini sets, nobody need give
        asked = _examples(required, places, faults)
        asked = {dotted: example for dotted, example in asked.items() if not f"{dotted}.".startswith(replaced)}
        _check_required(asked, data, (name_or_path, variants), faults)
    faults.raise_if_any()
    return validate(Recipe, Source(data, places))


def load_settings(
    model: type[Model],
    settings: Sequence[str],
    options: Mapping[str, tuple[str, Any]] | None = None,
    *,
    file: Path | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Model:
    """A config from ``a.b=c`` texts and a command's own options. Raises as `load_recipe` does.

    Args:
        options: dotted name -> (the option as a person types it, its value); texts in `settings` come after them.
        file: a YAML file of the config's fields, which options and settings replace.
        defaults: values that all of these replace.
    """
    faults = Faults()
    source = Source({}) if file is None else parse_mapping(_read(file), str(file))
    data, places = {**(defaults or {}), **source.data}, dict(source.places)
    given = [(dotted, value, where) for dotted, (where, value) in (options or {}).items()]
    for dotted, value, where in [*given, *_overrides(settings, faults)]:
        _set(data, places, dotted, value, where, faults)
    faults.raise_if_any()
    for section in {dotted.rpartition(".")[0] for dotted, _, _ in given} - {""}:
        # A rule over several options is broken by all of them together.
        names = [where for dotted, _, where in given if dotted.rpartition(".")[0] == section]
        places[tuple(section.split("."))] = ", ".join(names)
    return validate(model, Source(data, places))


def validate(model: type[Model], source: Source) -> Model:
    """`source` as `model`. Raises RecipeError or FaultsError with the place of each fault."""
    try:
        return model.model_validate(source.data)
    except ValidationError as error:
        faults = Faults()
        details = error.errors(include_url=False)
        for detail in details:
            # A list whose only item is refused is then also found too short: once is enough.
            inner = [other for other in details if other["loc"][: len(detail["loc"])] == detail["loc"]]
            if detail["type"] != "too_short" or len(inner) == 1:
                faults.add(_fault(model, source, detail["loc"], dict(detail)))
        faults.raise_if_any()
        raise


def _find(name_or_path: str) -> Path:
    if name_or_path.endswith((".yaml", ".yml")) or "/" in name_or_path:
        path = Path(name_or_path)
        if not path.is_file():
            raise RecipeError("there is no such recipe file", where=name_or_path, expected="a .yaml file")
        return path
    names = {path.stem: path for path in sorted(BUILTIN.rglob("*.yaml"))}
    if name_or_path not in names:
        raise RecipeError(
            f"there is no built-in recipe {name_or_path!r}",
            expected=f"one of {', '.join(names)}, or a path ending in .yaml",
            todo=_nearest(name_or_path, names) or "See `tenfold recipe list`.",
        )
    return names[name_or_path]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else f"no UTF-8 text at byte {error.start}"
        raise RecipeError(
            f"the file cannot be read: {said}", where=str(path), expected="a YAML file in UTF-8",
            todo="Give the path of such a file, or save it again.",
        ) from error  # fmt: skip


def _variant(known: Any, name: str, path: Path, faults: Faults) -> Any:
    """The changes of a variant; a fault when the recipe has none of this name."""
    names = list(known) if isinstance(known, dict) else []
    if name in names:
        return known[name]
    faults.add(
        RecipeError(
            f"the recipe has no variant {name!r}",
            where=str(path),
            expected=f"one of {', '.join(names)}" if names else "a recipe with a section `variants`",
            todo=_nearest(name, names),
        )
    )
    return None


def _apply_changes(
    changes: Any, keys: KeyPath, target: tuple[dict[str, Any], dict[KeyPath, str]], faults: Faults, path: Path
) -> None:
    """Set the dotted names of a variant; `required` adds to the recipe's own. target: data and places."""
    for dotted, value in (changes if isinstance(changes, dict) else {}).items():
        where = target[1].get((*keys, dotted), str(path))
        if dotted == "required" and isinstance(value, dict):
            own = target[0].get("required")
            value = {**own, **value} if isinstance(own, dict) else value
        _set(*target, str(dotted), value, where, faults)


def _overrides(settings: Sequence[str] | Mapping[str, Any], faults: Faults) -> Iterator[tuple[str, Any, str]]:
    """(dotted name, value, place) of each setting; a name given twice is a fault."""
    if isinstance(settings, Mapping):
        for dotted, value in settings.items():
            yield dotted, value, f"settings[{dotted!r}]"
        return
    seen: dict[str, str] = {}
    for text in settings:
        dotted, equals, value_text = text.partition("=")
        dotted = dotted.strip()
        where = f"--set {text}"
        if not equals or not dotted:
            faults.add(RecipeError("a setting without `=`", where=where, expected="a.b=c, such as study.seeds=3"))
            continue
        if dotted in seen:
            faults.add(RecipeError(f"{dotted} is set twice", where=where, expected=f"one of it and {seen[dotted]}"))
            continue
        seen[dotted] = where
        try:
            value = parse_value(value_text, where)
        except RecipeError as error:
            faults.add(error)
            continue
        yield dotted, value, where


def _set(data: dict[str, Any], places: dict[KeyPath, str], dotted: str, value: Any, where: str, faults: Faults) -> None:
    """Put `value` at `dotted`, making sections on the way; the places below it become `where`."""
    keys = tuple(dotted.split("."))
    if not all(keys):
        faults.add(RecipeError(f"{dotted!r} is no dotted name", where=where, expected="section.name"))
        return
    section = data
    for depth, key in enumerate(keys[:-1], 1):
        inner = section.get(key)
        if inner is None:
            inner = {}
            places.setdefault(keys[:depth], where)
        if not isinstance(inner, dict):
            faults.add(
                RecipeError(f"{'.'.join(keys[:depth])} is a value, not a section", where=where, expected="section.name")
            )
            return
        section[key] = dict(inner)
        section = section[key]
    section[keys[-1]] = value
    for path in [path for path in places if path[: len(keys)] == keys]:
        del places[path]
    places[keys] = where


def _examples(required: Any, places: Mapping[KeyPath, str], faults: Faults) -> dict[str, Any]:
    if required is None or isinstance(required, dict):
        return required or {}
    faults.add(
        RecipeError(
            "`required` is not a mapping",
            where=places.get(("required",), ""),
            expected="dotted names, each with an example",
        )
    )
    return {}


def _check_required(
    required: dict[str, Any], data: dict[str, Any], named: tuple[str, Sequence[str]], faults: Faults
) -> None:
    """named: the recipe and its variants, as the command has them."""
    name, variants = named
    missing = {dotted: example for dotted, example in required.items() if _get(data, dotted) is None}
    if missing:
        words = " ".join(f"--set {dotted}={example}" for dotted, example in missing.items())
        faults.add(
            RecipeError(
                f"the recipe {name!r} needs a value for {', '.join(missing)}",
                expected=", ".join(f"{dotted}, such as {example}" for dotted, example in missing.items()),
                todo=" ".join(["tenfold run", name, *(f"--variant {one}" for one in variants), words]),
            )
        )


def _get(data: dict[str, Any], dotted: str) -> Any:
    value: Any = data
    for key in dotted.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def _fault(model: type[BaseModel], source: Source, loc: tuple[int | str, ...], detail: dict[str, Any]) -> RecipeError:
    dotted = ".".join(str(part) for part in loc)
    where = source.place(loc)
    if detail["type"] == "extra_forbidden":
        known = _fields_at(model, loc[:-1])
        return RecipeError(
            f"unknown key {dotted!r}",
            where=where,
            expected=f"one of {', '.join(sorted(known))}" if known else "",
            todo=_nearest(str(loc[-1]), known) or "Remove it; `tenfold recipe schema` lists every key.",
        )
    if detail["type"] == "missing":
        return RecipeError(f"{dotted} is missing", where=where, expected="a value for it")
    message = str(detail["msg"]).removeprefix("Value error, ").replace("Input should be", "").strip()
    if detail["type"] == "value_error" and isinstance(detail.get("input"), dict):
        return RecipeError(f"the settings of {dotted or 'the recipe'} do not agree", where=where, expected=message)
    found = repr(detail.get("input"))
    found = found if len(found) <= 80 else found[:77] + "..."
    choices = re.findall(r"'([^']+)'", message) if detail["type"] == "literal_error" else []
    todo = _nearest(str(detail.get("input")), choices)
    return RecipeError(f"{dotted or 'the recipe'} is {found}", where=where, expected=message, todo=todo)


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The field names of the section at `path`; empty when it is not a section of known fields."""
    current: Any = model
    for part in path:
        fields = getattr(current, "model_fields", {})
        field = fields.get(part)
        current = _section_model(field.annotation) if field is not None else None
    return list(getattr(current, "model_fields", {}))


def _section_model(annotation: Any) -> Any:
    """The pydantic model in an annotation such as ``X`` or ``X | None``; None when there is none."""
    candidates = [annotation, *getattr(annotation, "__args__", ())]
    return next((one for one in candidates if isinstance(one, type) and issubclass(one, BaseModel)), None)


def _nearest(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else ""
