"""Table layout: what is known beforehand of an archive's table and of where its images lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TableLayout:
    """How a table is read beyond its cells. The empty layout is that of any table.

    columns: manifest column -> the archive's own column (or its names in several releases), in place of the usual
    names; None where those tell. other_images: further columns that may name the image. folders, mask_folders: where
    files lie, seen from the table. labels: label cell in lower case -> label, for the archive's own label column;
    unlabeled: cells in lower case that say there is none. separator: what parts several labels of one image. fixed:
    fields of every image. by_image: image name without suffix -> fields of that image. id_prefix: put before patient
    and lesion ids. is_whole_folder: the source is the table's folder with all in it, so what no row names is told.
    """

    format: str = "table"
    columns: Mapping[str, str | tuple[str, ...]] | None = None
    other_images: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    mask_folders: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    unlabeled: frozenset[str] = frozenset()
    separator: str | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    by_image: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    id_prefix: str = ""
    is_whole_folder: bool = False


ANY_TABLE = TableLayout()
