"""Listing by preset: the tables of a public archive are found beside its images and read as their publisher means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tenfold.core.errors import DataError
from tenfold.data.import_items import Listing, check_classes, nearest_names
from tenfold.data.presets.catalog import COLLECTIONS, Collection
from tenfold.data.source_options import PresetName, SourceOptions
from tenfold.data.table_import import import_table
from tenfold.data.table_labels import LabelReader
from tenfold.data.table_layout import TableLayout
from tenfold.data.table_reading import read_columns, read_table
from tenfold.data.table_rows import TABLE_SUFFIXES

_MOST_TABLES = 50
_ID_PREFIX = {"nih_chestxray14": "nih_", "cohen_covid_chestxray": "cohen_"}


def find_collection(columns: Iterable[str], preset: PresetName | None = None) -> Collection | None:
    """The collection whose table has these columns, whatever their case; None when it is no known one's."""
    names = {name.lower() for name in columns}
    known = (collection for collection in COLLECTIONS if preset in (None, collection.preset))
    return next((collection for collection in known if collection.signature <= names), None)


def list_preset(source: Path, preset: PresetName, options: SourceOptions) -> Listing:
    """List an archive from its folder or its table, missing images as quarantined rows.

    A folder that holds the tables of several collections of one preset (cxr) gives the images of all. Columns that the
    column map names take precedence over the preset's. DataError when the source holds no table of this archive.
    """
    tables = find_tables(source, preset)
    if not tables:
        _raise_without_table(source, preset)
    listings = []
    chosen = _chosen_by_table(tables, options)
    for (collection, path), classes in zip(tables, chosen, strict=True):
        layout, notes = _completed(collection, path.parent, is_one_of_several=len(tables) > 1)
        listing = import_table(path, _own_part(options.column_map, path, tables), classes, layout)
        notes = [*notes, f"{collection.title}: {collection.terms} (the publisher's terms)", *listing.notes]
        listings.append(replace(listing, notes=tuple(notes)))
    return listings[0] if len(listings) == 1 else _joined(listings, [path for _, path in tables])


def find_tables(source: Path, preset: PresetName) -> list[tuple[Collection, Path]]:
    """The preset's tables: the source itself, or of each collection the best in the folder, by name and columns."""
    if source.is_file():
        collection = find_collection(read_columns(source), preset)
        return [] if collection is None else [(collection, source)]
    found = []
    for collection in COLLECTIONS:
        if collection.preset == preset:
            named = [source / name for name in collection.tables if (source / name).is_file()]
            others = [path for path in tables_in(source) if path not in named]
            fits = (path for path in (*named, *others) if find_collection(read_columns(path), preset) is collection)
            path = next(fits, None)
            if path is not None:
                found.append((collection, path))
    return found


def tables_in(folder: Path) -> list[Path]:
    """The tables that lie in a folder itself, by name; of a folder with very many the first ones."""
    try:
        names = sorted(path for path in folder.iterdir() if path.suffix.lower() in TABLE_SUFFIXES and path.is_file())
    except OSError:
        return []
    return names[:_MOST_TABLES]


def duplicate_groups(pairs: Iterable[tuple[str, str]], prefix: str) -> dict[str, str]:
    """Image -> group of the images it is connected to by pairs, named by the first of them."""
    first: dict[str, str] = {}

    def find(name: str) -> str:
        while first.setdefault(name, name) != name:
            first[name] = first[first[name]]
            name = first[name]
        return name

    for one, other in pairs:
        low, high = sorted((find(one), find(other)))
        first[high] = low
    return {name: prefix + find(name) for name in sorted(first)}


def _completed(collection: Collection, folder: Path, *, is_one_of_several: bool) -> tuple[TableLayout, list[str]]:
    """The layout with what the archive's other lists say of its images, and notes on them."""
    by_image: dict[str, dict[str, Any]] = {}
    notes: list[str] = []
    if collection.pairs:
        path = folder / collection.pairs
        groups = _read_pairs(path, collection.preset) if path.is_file() else {}
        by_image.update({name: {"group_id": group} for name, group in groups.items()})
        clusters = len(set(groups.values()))
        notes.append(
            f"{collection.pairs}: {len(groups)} images in {clusters} groups of duplicates stay together"
            if groups
            else f"{collection.pairs} is not beside the table: duplicates are found by their perceptual hash only"
        )
    for name, split in collection.split_lists:
        if (folder / name).is_file():
            lines = (folder / name).read_text(encoding="utf-8", errors="replace").split()
            for line in lines:
                by_image.setdefault(Path(line).stem, {})["attr.split"] = split
            notes.append(f"{name}: {len(lines)} images are of the publisher's {split} split (attr.split)")
    prefix = _ID_PREFIX.get(str(collection.layout.fixed.get("attr.collection")), "") if is_one_of_several else ""
    return replace(collection.layout, by_image=by_image, id_prefix=prefix), notes


def _read_pairs(path: Path, preset: str) -> dict[str, str]:
    table = read_table(path)
    columns = [name for name in table.columns if name.startswith("image_name")][:2]
    if len(columns) < 2:
        raise DataError(
            "the list of duplicates has no pairs of images", where=f"{path}:1",
            expected="the columns image_name_1 and image_name_2", todo="take the file as its publisher ships it",
        )  # fmt: skip
    rows = [tuple(row.cells.get(name, "") for name in columns) for row in table.rows]
    return duplicate_groups(((Path(one).stem, Path(other).stem) for one, other in rows if one and other), f"{preset}_")


def _chosen_by_table(
    tables: Sequence[tuple[Collection, Path]], options: SourceOptions
) -> list[Sequence[str] | None]:  # fmt: skip
    """The classes to take from each table: of several tables, those it has. DataError when none has one."""
    if options.classes is None or len(tables) == 1:
        return [options.classes] * len(tables)
    available: list[set[str]] = []
    for collection, path in tables:
        columns = collection.layout.columns or {}
        column = options.column_map.get("label", str(columns["label"]))
        reader = LabelReader(collection.layout, column, is_mapped="label" in options.column_map)
        available.append(set(reader.count(read_table(path, {column}.intersection).rows)))
    folded = [{label.casefold() for label in labels} for labels in available]
    names = {label.casefold(): label for labels in available for label in labels}
    names |= {name.casefold(): name for name in options.classes if name.casefold() in names}
    check_classes(names.values(), options.classes, where=", ".join(str(path) for _, path in tables))
    return [[name for name in options.classes if name.casefold() in labels] for labels in folded]


def _own_part(
    column_map: Mapping[str, str], path: Path, tables: Sequence[tuple[Collection, Path]]
) -> Mapping[str, str]:  # fmt: skip
    """Of a column map over several tables the columns that this one has; whole where no table has them."""
    if len(tables) == 1:
        return column_map
    all_columns = {name for _, other in tables for name in read_columns(other)}
    own = set(read_columns(path))
    return {target: name for target, name in column_map.items() if name in own or name not in all_columns}


def _joined(listings: Sequence[Listing], paths: Sequence[Path]) -> Listing:
    others: Counter[str] = Counter()
    skin_types: dict[str, Mapping[str, int]] = {}
    quarantined = []
    for listing, path in zip(listings, paths, strict=True):
        others.update(listing.other_classes)
        skin_types.update(listing.skin_types)
        quarantined += [replace(row, detail=f"{path.name}: {row.detail}") for row in listing.quarantined]
    targets = dict.fromkeys(target for listing in listings for target in listing.columns)
    columns = {
        target: " / ".join(listing.columns[target] for listing in listings if target in listing.columns)
        for target in targets
    }
    reasons = {name: why for listing in reversed(listings) for name, why in listing.reasons.items()}
    return Listing(
        listings[0].root, tuple(item for listing in listings for item in listing.items), tuple(quarantined), others,
        columns, tuple(note for listing in listings for note in listing.notes), reasons, listings[0].format, skin_types,
    )  # fmt: skip


def _raise_without_table(source: Path, preset: PresetName) -> None:
    own = [collection for collection in COLLECTIONS if collection.preset == preset]
    tables = [source] if source.is_file() else tables_in(source)
    columns = [name for path in tables for name in read_columns(path)]
    wanted = [sorted(collection.signature) for collection in own]
    near = nearest_names([name for name in wanted[0] if name not in map(str.lower, columns)], columns)
    raise DataError(
        f"{'the table is' if source.is_file() else 'the folder holds'} no table of {preset}", where=str(source),
        expected="; or ".join(
            f"{collection.tables[0]} with the columns {', '.join(names)}"
            for collection, names in zip(own, wanted, strict=True)
        ),
        todo="import it as a table instead: --format table --map label=COLUMN"
        + ("" if "choose" in near else f"; {near}"),
    )  # fmt: skip
