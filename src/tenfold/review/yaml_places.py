"""Plain YAML, read safely, with the line and column of every key and value for messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tenfold.core.errors import DataError, Faults

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Placed:
    """Data and, by key path, where it stands (``file:line:column``)."""

    data: Any
    places: Mapping[KeyPath, str]

    def place(self, path: KeyPath) -> str:
        """The place of `path`, or of the nearest part above it that has one."""
        return next(
            (self.places[path[:length]] for length in range(len(path), -1, -1) if path[:length] in self.places), ""
        )


def read_placed(text: str, name: str) -> Placed:
    """Parse YAML by the safe loader.

    Raises:
        DataError: it is not YAML, or uses an alias or a tag; keys given twice are all listed.
    """
    try:
        node = _NoAliases(text).get_single_node()
        data = None if node is None else yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise DataError(f"this is not plain YAML: {error.problem}", where=where, expected="plain YAML") from None
    except (yaml.YAMLError, ValueError) as error:
        raise DataError(f"this is not plain YAML: {error}", where=name, expected="plain YAML in UTF-8") from None
    except RecursionError:
        raise DataError("the YAML is nested too deeply", where=name, expected="a few levels") from None
    places: dict[KeyPath, str] = {(): f"{name}:1:1"}
    faults = Faults()
    if node is not None:
        _walk(node, (), name, places, faults)
    faults.raise_if_any()
    return Placed(data, places)


class _NoAliases(yaml.SafeLoader):
    """Refuses aliases, by which a small file can stand for a huge one."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(None, None, "aliases (*name) are not read", event.start_mark)
        return super().compose_node(parent, index)


def _walk(node: yaml.Node, path: KeyPath, name: str, places: dict[KeyPath, str], faults: Faults) -> None:
    places.setdefault(path, _place(node, name))
    if isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            _walk(child, (*path, index), name, places, faults)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            if here in places:
                faults.add(
                    DataError(
                        f"the key {key.value!r} is given twice",
                        where=_place(key, name),
                        expected=f"one {key.value!r}; the first is at {places[here]}",
                    )
                )
                continue
            places[here] = _place(key, name)
            _walk(value, here, name, places, faults)


def _place(node: yaml.Node, name: str) -> str:
    return f"{name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"
