"""YAML text to plain data, with the line of every key and value kept for error messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from tenfold.core.errors import Faults, RecipeError

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Source:
    """Plain data and, per key path, the place it came from (``file:line:column`` or ``--set a.b=c``)."""

    data: dict[str, Any]
    places: Mapping[KeyPath, str] = field(default_factory=dict)

    def place(self, path: KeyPath) -> str:
        """The place of `path`, or of its nearest parent that has one; empty when nothing is known."""
        for length in range(len(path), -1, -1):
            found = self.places.get(path[:length])
            if found:
                return found
        return ""


def parse_mapping(text: str, name: str) -> Source:
    """Parse a YAML mapping by the core schema of YAML 1.2 (so ``no`` is a string and ``1e-3`` a number).

    Anchors, aliases, merge keys and tags are refused: a recipe says everything once and where it is read.

    Raises:
        RecipeError: not YAML, not a mapping, or a refused feature; duplicate keys are all listed.
    """
    node = _compose(text, name)
    if node is None:
        raise RecipeError("the recipe is empty", where=name, expected="a mapping of sections (intake, study, ...)")
    if not isinstance(node, yaml.MappingNode):
        raise RecipeError(
            f"the recipe is a {_kind(node)}", where=_place(node, name), expected="a mapping of sections at the top"
        )
    builder = _Builder(name)
    data = builder.mapping(node, ())
    builder.faults.raise_if_any()
    return Source(data, builder.places)


def parse_value(text: str, where: str) -> Any:
    """One YAML value, as given after ``=`` on the command line: ``3``, ``[df, vasc]``, ``null``, ``a path``."""
    if not text.lstrip().startswith(("[", "{", "'", '"')):
        return _plain_scalar(text.strip())
    node = _compose(text, where)
    if node is None:
        return None
    builder = _Builder(where)
    value = builder.value(node, ())
    builder.faults.raise_if_any()
    return value


class _Loader(yaml.SafeLoader):
    """The safe loader with YAML 1.2 scalars and no aliases."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(None, None, "aliases (*name) are not used in recipes", event.start_mark)
        return super().compose_node(parent, index)


for _tag, _pattern, _first in (
    ("null", r"^(?:null|Null|NULL|~|)$", ["n", "N", "~", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?[0-9]+$", list("-+0123456789")),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)

_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map")}


def _compose(text: str, name: str) -> yaml.Node | None:
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark and not name.startswith("--") else name
        raise RecipeError(
            f"this is not readable as YAML: {error.problem or error}", where=where, expected="plain YAML"
        ) from None
    except yaml.YAMLError as error:
        raise RecipeError(f"this is not readable as YAML: {error}", where=name, expected="plain YAML") from None
    except RecursionError:
        raise RecipeError("the YAML is nested too deeply", where=name, expected="a few levels") from None


class _Builder:
    def __init__(self, name: str) -> None:
        self.name = name
        self.places: dict[KeyPath, str] = {}
        self.faults = Faults()

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self.places.setdefault(path, _place(node, self.name))
        if node.tag not in _PLAIN_TAGS:
            self.faults.add(RecipeError(f"the tag {node.tag!r} is not used in recipes", where=_place(node, self.name)))
            return None
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*path, index)) for index, child in enumerate(node.value)]
        return _scalar(node)

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        self.places.setdefault(path, _place(node, self.name))
        built: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.faults.add(RecipeError("a key is not plain text", where=_place(key_node, self.name)))
                continue
            key = str(key_node.value)
            here = (*path, key)
            if key in built:
                self.faults.add(
                    RecipeError(
                        f"the key {key!r} is given twice",
                        where=_place(key_node, self.name),
                        expected=f"one {key!r}; the first is at {self.places[here]}",
                    )
                )
                continue
            self.places[here] = _place(key_node, self.name)
            built[key] = self.value(value_node, here)
        return built


def _plain_scalar(text: str) -> Any:
    for tag, pattern in _Loader.yaml_implicit_resolvers.get(text[:1], []):
        if pattern.match(text):
            return _scalar(yaml.ScalarNode(tag, text))
    return text


def _scalar(node: yaml.Node) -> Any:
    text = str(node.value)
    kind = node.tag.rsplit(":", 1)[-1]
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        return int(text)
    if kind == "float":
        return float(text)
    return text


def _place(node: yaml.Node, name: str) -> str:
    if name.startswith("--"):
        return name
    return f"{name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


def _kind(node: yaml.Node) -> str:
    return "list" if isinstance(node, yaml.SequenceNode) else "single value"
