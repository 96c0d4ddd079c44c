"""The tree of errors: each says what was found, where, what was expected and what to do.

::

    TenfoldError                 exit code 1
    ├── InputError               exit code 2: the user's files, recipe or options
    │   ├── RecipeError          a recipe: unknown key, wrong type, with file and line
    │   ├── DataError            images, tables, manifests, splits
    │   ├── WorkspaceError       a workspace: locked, another version, another seed
    │   ├── CheckpointError      a model folder or weight file: missing, damaged, refused
    │   ├── DesignError          a study whose design cannot answer its question
    │   └── FaultsError          several errors, collected and raised once (see `Faults`)
    ├── StorageError             exit code 1: disk full, read-only, not permitted
    ├── StageError               exit code 1: a stage failed while it worked
    └── WaitingForPeople         exit code 3: human review is not finished
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


class TenfoldError(Exception):
    """An error for a person: `what` was found, `where`, what was `expected` and what `todo`."""

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", expected: str = "", todo: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.expected = expected
        self.todo = todo

    def as_dict(self) -> dict[str, Any]:
        """Name, the four parts and the exit code, ready for JSON."""
        return {
            "error": type(self).__name__,
            "what": self.what,
            "where": self.where,
            "expected": self.expected,
            "todo": self.todo,
            "exit_code": self.exit_code,
        }

    def __str__(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append(f"Where: {self.where}")
        if self.expected:
            parts.append(f"Expected: {self.expected}")
        if self.todo:
            parts.append(f"What to do: {self.todo}")
        return "\n".join(parts)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.what, self.where, self.expected, self.todo)


def _rebuild(kind: type[TenfoldError], what: str, where: str, expected: str, todo: str) -> TenfoldError:
    return kind(what, where=where, expected=expected, todo=todo)


class InputError(TenfoldError):
    """The user's input cannot be used as it is."""

    exit_code = 2


class RecipeError(InputError):
    """A recipe or an option of it is wrong."""


class DataError(InputError):
    """Images, tables, manifests or splits are wrong."""


class WorkspaceError(InputError):
    """A workspace cannot be used."""


class CheckpointError(InputError):
    """A model folder or weight file is missing, damaged or of a refused kind."""


class DesignError(InputError):
    """A study is designed so that it cannot answer its question."""


class StorageError(TenfoldError):
    """The disk is full, read-only or not permitted."""


class StageError(TenfoldError):
    """A stage failed while it worked."""


class WaitingForPeople(TenfoldError):
    """A stage waits for people's decisions."""

    exit_code = 3


class FaultsError(InputError):
    """Several errors found in one pass; `errors` holds each."""

    def __init__(self, errors: Sequence[TenfoldError], *, shown: int = 20) -> None:
        self.errors = tuple(errors)
        lines = [f"{len(self.errors)} faults were found:"]
        lines += [f"{number}. {error}" for number, error in enumerate(self.errors[:shown], 1)]
        if len(self.errors) > shown:
            lines.append(f"... and {len(self.errors) - shown} more")
        super().__init__("\n".join(lines))

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "errors": [error.as_dict() for error in self.errors]}

    def __reduce__(self) -> tuple[Any, ...]:
        return FaultsError, (self.errors,)


class Faults:
    """Collects errors of one pass over a manifest or recipe, to raise them once."""

    def __init__(self) -> None:
        self._errors: list[TenfoldError] = []

    def add(self, error: TenfoldError) -> None:
        """Remember one error."""
        self._errors.append(error)

    def raise_if_any(self) -> None:
        """Raise the only error as it is, or a `FaultsError` of several; nothing when none was added."""
        if len(self._errors) == 1:
            raise self._errors[0]
        if self._errors:
            raise FaultsError(self._errors)

    def __iter__(self) -> Iterator[TenfoldError]:
        return iter(self._errors)

    def __len__(self) -> int:
        return len(self._errors)
