"""Table labels: the one class of a row, by its label cell, where a cell may also hold several or none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from tenfold.data.label_spelling import tidy
from tenfold.data.table_layout import TableLayout
from tenfold.data.table_rows import TableRow

SEVERAL = "(several labels)"


class LabelReader:
    """Reads the labels of one column. `is_mapped`: the person named the column, so the layout's words do not apply.

    An image with several labels is of one class when exactly one of the chosen classes is among them; else, and when
    no classes are chosen, it is set aside: which of them it should count as cannot be known.
    """

    def __init__(self, layout: TableLayout, column: str, *, is_mapped: bool) -> None:
        self._column = column
        self._separator = layout.separator
        self._words = {} if is_mapped else layout.labels
        self._unlabeled = frozenset() if is_mapped else layout.unlabeled
        self._taken_of_several = 0

    def count(self, rows: Iterable[TableRow]) -> Counter[str]:
        """Rows by label; an image with several counts for each."""
        return Counter(label for row in rows for label in self._labels(row))

    def read(
        self, row: TableRow, spelling: Callable[[str], str], classes: Sequence[str] | None
    ) -> tuple[str | None, tuple[str, str] | None]:
        """The row's label, None when it is of no chosen class; or reason and detail when it must be set aside."""
        labels = list(dict.fromkeys(spelling(label) for label in self._labels(row)))
        if not labels:
            text = row.cells.get(self._column, "")
            detail = f"column {self._column} says {text!r}" if text else f"column {self._column} is empty"
            return None, ("no_label", detail)
        chosen = labels if classes is None else [label for label in labels if label in classes]
        if len(chosen) > 1:
            detail = f"{len(chosen)} labels in one cell: {', '.join(chosen)}; choose classes of which images have one"
            return None, ("several_labels", detail)
        if chosen and len(labels) > 1:
            self._taken_of_several += 1
        return (chosen[0] if chosen else None), None

    def other(self, row: TableRow, spelling: Callable[[str], str]) -> str:
        """Under which label a row counts that is of no chosen class."""
        labels = self._labels(row)
        return spelling(labels[0]) if len(labels) == 1 else SEVERAL

    def is_one_of_several(self, row: TableRow) -> bool:
        """Whether the cell holds more than one label."""
        return len(self._labels(row)) > 1

    def notes(self) -> list[str]:
        """A note on images that have other labels besides that of their class."""
        if not self._taken_of_several:
            return []
        return [
            f"{self._taken_of_several} images of the chosen classes have other labels besides, kept in "
            f"attr.all_labels: what a classifier learns may be those"
        ]

    def _labels(self, row: TableRow) -> list[str]:
        cell = row.cells.get(self._column, "")
        parts = cell.split(self._separator) if self._separator else [cell]
        labels = [tidy(part) for part in parts]
        return [
            self._words.get(label.lower(), label) for label in labels if label and label.lower() not in self._unlabeled
        ]
