"""Split lists: a split that others made, from a column of theirs or from lists of ids. Torch-free."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, Literal

import pandas as pd

from tenfold.core.errors import DataError, Faults
from tenfold.data.manifest import ATTRIBUTE_PREFIX, SPLITS, labels_of

Rest = Literal["refuse", "train", "drop"]
"""Images that the upstream split does not name: an error, training images, or left out of every split."""

USUAL_VALUES: Mapping[str, str] = MappingProxyType({
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
})  # fmt: skip
"""What upstream columns call the splits, in small letters."""

ID_COLUMNS = (
    "image_id", "md5hash", "md5", "isic_id", "image_name", "file_name", "filename", "image", "file", "path", "ddi_file",
    "original_path", "id",
)  # fmt: skip
"""Names, in small letters, of columns that identify an image, the surer ones first."""

_SHOWN = 5


@dataclass(frozen=True)
class ListedSplit:
    """train, val or test by image_id, missing where an image is in no split, and what a person should know of it."""

    split: pd.Series[str]
    notes: tuple[str, ...]


def upstream_split(manifest: pd.DataFrame, *, column: str, values: Mapping[str, str], rest: Rest) -> ListedSplit:
    """The split that a column of the manifest names.

    column: with or without `attr.`, upstream's own first. values: value of the column -> train, val or test, beside the
    usual names (`USUAL_VALUES`); letter case does not matter. Raises DataError for a missing column (with the nearest
    names), for values that mean no split, and for images without a value when `rest` is `refuse`.
    """
    named = manifest[_column(manifest, column)]
    meaning = {**USUAL_VALUES, **{value.strip().casefold(): name for value, name in values.items()}}
    cells = [None if pd.isna(cell) else str(cell).strip() for cell in named]
    strange = Counter(cell for cell in cells if cell and cell.casefold() not in meaning)
    if strange:
        listed = ", ".join(f"{value!r} ({count} images)" for value, count in strange.most_common(_SHOWN))
        raise DataError(
            f"the column {named.name} has values that name no split: {listed}",
            expected=", ".join(USUAL_VALUES),
            todo="say what they mean, such as split.upstream_values={" + f"{next(iter(strange))}: test" + "}",
        )
    names = [meaning[cell.casefold()] if cell else None for cell in cells]
    split = pd.Series(names, index=manifest["image_id"].astype(str).tolist(), dtype="string")
    return _with_rest(manifest, split, rest, f"have no value in {named.name}", ())


def listed_split(
    manifest: pd.DataFrame, lists: Mapping[str, Sequence[str]], *, id_column: str | None, rest: Rest
) -> ListedSplit:
    """The split that lists of ids name: split name -> ids, as `split_id_files.read_ids` reads them.

    An id is an image_id, the value of a column that identifies images (`ID_COLUMNS`, as upstream's attr.md5hash), or
    the path, the file name or its stem of the original. id_column: match this manifest column alone; it may name
    several images at once, such as patient_id. Ids of no image are told in the notes. Raises DataError, or FaultsError
    for several, for a list none of whose ids is known, an id that several images share, an image in two lists, and
    images in no list when `rest` is `refuse`.
    """
    index = _Index.of(manifest, id_column)
    chosen: dict[str, str] = {}
    twice: dict[str, str] = {}
    notes: list[str] = []
    faults = Faults()
    for name in SPLITS:
        unknown = []
        for listed in dict.fromkeys(lists.get(name, ())):
            found = index.find(listed)
            if not found:
                unknown.append(listed)
            elif len(found) > 1 and id_column is None:
                faults.add(
                    DataError(
                        f"{listed!r} in the list of {name} fits {len(found)} images",
                        where="image_id " + ", ".join(found[:_SHOWN]), expected="ids that name one image each",
                        todo="list paths from the source's root, or name the column with split.id_column",
                    )
                )  # fmt: skip
            for image_id in found:
                if chosen.setdefault(image_id, name) != name:
                    twice[image_id] = f"{listed} ({chosen[image_id]} and {name})"
        if unknown and len(unknown) == len(set(lists[name])):
            example = ", ".join(index.examples())
            faults.add(
                DataError(
                    f"none of the {len(unknown)} ids in the list of {name} is an image of this workspace",
                    where=", ".join(unknown[:_SHOWN]), expected=f"ids such as {example}",
                    todo="name the manifest's column that holds such ids with split.id_column",
                )
            )  # fmt: skip
        elif unknown:
            more = ", ..." if len(unknown) > _SHOWN else ""
            notes.append(
                f"Note: {len(unknown)} of {len(set(lists[name]))} ids in the list of {name} are of no image here: "
                f"{', '.join(unknown[:_SHOWN])}{more}"
            )
    if twice:
        faults.add(
            DataError(
                f"{len(twice)} images are in two lists",
                where="; ".join(list(twice.values())[:_SHOWN]),
                expected="every image in one list at most",
                todo="take them out of one list: an image that trains cannot test",
            )
        )
    faults.raise_if_any()
    ids = manifest["image_id"].astype(str).tolist()
    split = pd.Series([chosen.get(image_id) for image_id in ids], index=ids, dtype="string")
    return _with_rest(manifest, split, rest, "are in none of the lists", notes)


def check_every_class(manifest: pd.DataFrame, split: pd.Series[str], names: Sequence[str] = SPLITS) -> None:
    """DataError, or FaultsError for several, for classes that have no image in one of these splits."""
    of_row = split.reindex(manifest["image_id"].astype(str)).fillna("").tolist()
    labels = manifest["label"].astype(str).tolist()
    found = {name: {label for label, own in zip(labels, of_row, strict=True) if own == name} for name in names}
    known = labels_of(manifest)
    complete = [label for label in known if all(label in found[name] for name in names)]
    faults = Faults()
    for name in names:
        if lacking := [label for label in known if label not in found[name]]:
            faults.add(
                DataError(
                    f"this split has no {name} image of {', '.join(lacking[:_SHOWN])}"
                    + (f" and {len(lacking) - _SHOWN} classes more" if len(lacking) > _SHOWN else ""),
                    expected="images of every class for training, validation and test",
                    todo=f"go on without them: intake.classes=[{','.join(complete)}]" if len(complete) > 1
                    else "use split.method=grouped, which gives every class its share",
                )
            )  # fmt: skip
    faults.raise_if_any()


def _with_rest(
    manifest: pd.DataFrame, split: pd.Series[str], rest: Rest, what: str, notes: Iterable[str]
) -> ListedSplit:
    left = split.isna().to_numpy(dtype=bool)
    if not left.any():
        return ListedSplit(split, tuple(notes))
    counts = Counter(manifest.loc[left, "label"].astype(str))
    listed = f"{int(left.sum())} images {what}: " + ", ".join(f"{label} {n}" for label, n in sorted(counts.items()))
    if rest == "refuse":
        raise DataError(
            listed,
            where="image_id " + ", ".join(split.index[left][:_SHOWN]),
            expected="a split for every image",
            todo="choose with split.rest: train (they train) or drop (they are left out of every split)",
        )
    if rest == "train":
        return ListedSplit(split.fillna("train"), (*notes, f"Note: {listed}. They are training images."))
    return ListedSplit(split, (*notes, f"Note: {listed}. They are in no split."))


def _column(manifest: pd.DataFrame, column: str) -> str:
    """The manifest's column of this name that has a value in some row; upstream's own `attr.` goes first."""
    for name in (ATTRIBUTE_PREFIX + column, column):
        if name in manifest.columns and manifest[name].notna().any():
            return name
    filled = [name for name in manifest.columns if manifest[name].notna().any()]
    upstream = [name for name in filled if name.startswith(ATTRIBUTE_PREFIX)]
    near = difflib.get_close_matches(column, filled, n=3) or upstream[:8]
    raise DataError(
        f"no image has a value in the column {column!r}",
        expected="a column of the manifest" + (f", such as {', '.join(near)}" if near else ""),
        todo="name the column with split.upstream_column or split.id_column, or use split.method=grouped",
    )


@dataclass(frozen=True)
class _Index:
    """Image ids by what may stand in a list, the surest kind first."""

    exact: tuple[Mapping[str, Sequence[str]], ...]
    file_names: Mapping[str, Sequence[str]]
    stems: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, manifest: pd.DataFrame, id_column: str | None) -> _Index:
        ids = manifest["image_id"].astype(str).tolist()

        def by(values: Iterable[Any]) -> dict[str, list[str]]:
            found: dict[str, list[str]] = {}
            for value, image_id in zip(values, ids, strict=True):
                if not pd.isna(value):
                    found.setdefault(str(value).strip(), []).append(image_id)
            return found

        if id_column is not None:
            return cls((by(manifest[_column(manifest, id_column)]),), {}, {})
        kinds = {name.removeprefix(ATTRIBUTE_PREFIX).casefold(): name for name in manifest.columns}
        upstream = [kinds[name] for name in ID_COLUMNS if name in kinds and kinds[name].startswith(ATTRIBUTE_PREFIX)]
        exact = [by(manifest["image_id"]), *(by(manifest[name]) for name in upstream)]
        if "attr.original_path" not in manifest.columns:
            return cls(tuple(exact), {}, {})
        places = [None if pd.isna(cell) else PurePosixPath(str(cell)) for cell in manifest["attr.original_path"]]
        names = by(None if place is None else place.name for place in places)
        return cls(tuple(exact), names, by(None if place is None else place.stem for place in places))

    def find(self, listed: str) -> Sequence[str]:
        """The images of an id; of a path, the file name and then its stem are tried last."""
        place = PurePosixPath(listed.strip().replace("\\", "/"))
        keys = dict.fromkeys((listed.strip(), listed.strip().lower(), str(place), place.stem, place.stem.lower()))
        for known in self.exact:
            for key in keys:
                if key in known:
                    return known[key]
        return self.file_names.get(place.name) or self.stems.get(place.name) or self.stems.get(place.stem, ())

    def examples(self) -> list[str]:
        """An id of each kind."""
        return list(dict.fromkeys(next(iter(known)) for known in (*self.exact, self.file_names) if known))[:4]
