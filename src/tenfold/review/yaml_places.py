"""Plain YAML, read safely, with the line and column of every key and value for messages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from tenfold.core.errors import DataError, Faults

KeyPath = tuple[str | int, ...]
_DEEPEST = 20
_BREAKS = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
"""What YAML counts as the end of a line."""
_BAD_VALUES = (ValueError, LookupError, AttributeError, TypeError, ArithmeticError)
"""What the safe loader lets through of dates, numbers and bytes that are none."""


@dataclass(frozen=True)
class Placed:
    """Data and where each part of it stands."""

    data: Any
    name: str
    node: yaml.Node | None

    def place(self, path: KeyPath) -> str:
        """The place of `path` (``file:line:column``), or of the nearest part above it that has one.

        A key can be named as it is written or as YAML reads it: ``yes`` as True, which pydantic tells as 1.
        """
        if self.node is None:
            return f"{self.name}:1:1"
        node, mark = self.node, None
        for part in path:
            found = _inside(node, part)
            if found is None:
                break
            mark, node = found
        return _place(mark, self.name) if mark is not None else f"{self.name}:1:1"


def read_placed(text: str, name: str) -> Placed:
    """Parse YAML by the safe loader.

    Raises:
        DataError: it is not YAML, or uses an alias or a tag; keys given twice are all listed.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        data = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = _place(mark, name) if mark else name
        raise DataError(f"this is not plain YAML: {error.problem}", where=where, expected="plain YAML") from None
    except yaml.reader.ReaderError as error:
        before = _BREAKS.split(text[: error.position])
        raise DataError(
            f"this is not plain YAML: the character U+{ord(text[error.position]):04X} is not allowed",
            where=f"{name}:{len(before)}:{len(before[-1]) + 1}",
            expected="plain YAML in UTF-8",
        ) from None
    faults = Faults()
    if node is not None:
        _find_doubles(node, name, faults)
    faults.raise_if_any()
    return Placed(data, name, node)


class _Loader(yaml.SafeLoader):
    """Refuses aliases, by which a small file can stand for a huge one, and tells of every fault where it stands."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.MarkedYAMLError(None, None, "aliases (*name) are not read", mark)
        if self._depth >= _DEEPEST:
            raise yaml.MarkedYAMLError(None, None, f"it is nested too deeply: more than {_DEEPEST} levels", mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except _BAD_VALUES as error:
            raise yaml.MarkedYAMLError(None, None, f"a value cannot be read: {error}", node.start_mark) from None


def _inside(node: yaml.Node, part: str | int) -> tuple[yaml.Mark, yaml.Node] | None:
    """What stands under a key or index: the place to tell, and its node."""
    if isinstance(node, yaml.SequenceNode):
        if not isinstance(part, int) or not 0 <= part < len(node.value):
            return None
        return node.value[part].start_mark, node.value[part]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if str(part) in _spellings(key):
                return key.start_mark, value
    return None


def _spellings(key: yaml.Node) -> set[str]:
    """How a key may be named: as it is written, and as it is read."""
    if not isinstance(key, yaml.ScalarNode):
        return set()
    read = yaml.constructor.SafeConstructor().construct_object(key)
    return {str(key.value), str(read), repr(read), *([str(int(read))] if isinstance(read, bool) else [])}


def _find_doubles(node: yaml.Node, name: str, faults: Faults) -> None:
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _find_doubles(child, name, faults)
    elif isinstance(node, yaml.MappingNode):
        first: dict[str, str] = {}
        for key, value in node.value:
            here = str(key.value)
            if here in first:
                faults.add(
                    DataError(
                        f"the key {key.value!r} is given twice",
                        where=_place(key.start_mark, name),
                        expected=f"one {key.value!r}; the first is at {first[here]}",
                    )
                )
                continue
            first[here] = _place(key.start_mark, name)
            _find_doubles(value, name, faults)


def _place(mark: yaml.Mark, name: str) -> str:
    return f"{name}:{mark.line + 1}:{mark.column + 1}"
