"""Families of facts that say nothing of the disease: of the files, and upstream columns of few values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tenfold.intake.checks.material import Material

Weight = Literal["file", "origin", "column", "shown"]
"""file: facts of the files; origin: a column that names where images come from; column: any other column; shown: facts
that also follow from what a picture shows, so they are shown and not judged."""

ALL_FACTS = "all file facts"
MISSING = "(none)"
MOST_VALUES = 20
FEWEST_IMAGES = 5
"""Images that the second most frequent value of a column must have for the column to be worth a look."""

_OWN_COLUMNS = frozenset(
    "attr." + name
    for name in (
        "caption_source", "original_path", "original_width_px", "original_height_px", "split", "ita_degrees",
        "image_key", "attributes", "mask", "study_id", "series_id", "frame", "slice", "copy_cluster",
    )
)  # fmt: skip
ORIGIN_WORDS = frozenset(
    (
        "source", "origin", "dataset", "collection", "archive", "site", "hospital", "institution", "clinic", "center",
        "centre", "department", "country", "city", "device", "scanner", "manufacturer", "vendor", "model", "camera",
        "machine", "view", "projection", "position", "folder", "batch", "year", "uploader", "modality", "window",
        "annotation",
    )
)  # fmt: skip
"""Words in a column's name that say it tells where or how an image was taken."""

_LABEL_WORDS = frozenset(
    (
        "label", "labels", "dx", "diagnosis", "diagnoses", "diagnostic", "class", "classes", "category", "finding",
        "findings", "disease", "condition", "pathology", "target", "malignant", "benign", "melanoma", "outcome",
    )
)  # fmt: skip
_SIZE_WORDS = frozenset(
    ("w", "h", "width", "height", "size", "px", "pixels", "rows", "quality", "bytes", "kb", "mb", "resolution", "dpi")
)
_DETERMINED = 0.99


@dataclass(frozen=True)
class Fact:
    """One fact of N images: `values` (N,) float, NaN where missing; for a categorical one the places in `words`."""

    name: str
    values: NDArray[np.float64]
    words: tuple[str, ...] = ()

    @property
    def is_constant(self) -> bool:
        """Whether it is the same for all images, so that it tells nothing."""
        known = self.values[np.isfinite(self.values)]
        return len(known) == 0 or (len(known) == len(self.values) and bool((known == known[0]).all()))


@dataclass(frozen=True)
class Family:
    """Facts that are judged together; `is_one_to_one`: every class has a value of its own."""

    name: str
    facts: tuple[Fact, ...]
    weight: Weight
    is_one_to_one: bool = False


def fact_families(material: Material) -> list[Family]:
    """Every family with something that differs between images: of the files (and all of them together), the folder,
    and each upstream column of few values."""
    families = list(_file_families(material.facts)) if material.facts is not None else _size_only(material)
    judged = [family for family in families if family.weight == "file"]
    if len(judged) > 1:
        families.insert(0, Family(ALL_FACTS, tuple(fact for family in judged for fact in family.facts), "file"))
    if material.facts is not None and "folder" in material.facts.columns:
        families += _columns({"folder": material.facts["folder"]}, material)
    upstream = [name for name in material.manifest.columns if name.startswith("attr.") and name not in _OWN_COLUMNS]
    return families + _columns({name: material.manifest[name] for name in ["modality", *upstream]}, material)


def name_words(column: str) -> set[str]:
    """The words in a column's name, in small letters: attr.ham_source -> ham, source."""
    return set(re.split(r"[^a-z0-9]+", column.removeprefix("attr.").lower()))


def _file_families(facts: pd.DataFrame) -> Iterator[Family]:
    width, height, size = (_numbers(facts, name) for name in ("width_px", "height_px", "file_bytes"))
    with np.errstate(divide="ignore", invalid="ignore"):
        measures: Mapping[str, tuple[Weight, Sequence[Fact]]] = {
            "image size": (
                "file", [Fact("width", width), Fact("height", height), Fact("aspect ratio", width / height)]
            ),
            "format and color mode": (
                "file",
                [_words(facts, name, told) for name, told in
                 (("format", "format"), ("mode", "color mode"), ("is_gray", "gray"), ("frames", "frames"))],
            ),
            "JPEG quality": ("file", [Fact("JPEG quality", _numbers(facts, "jpeg_quality"))]),
            "EXIF and color profile": (
                "file", [_words(facts, "has_exif", "EXIF"), _words(facts, "has_icc", "color profile")]
            ),
            "border": ("file", [Fact("border share", _numbers(facts, "border_fraction"))]),
            "file bytes": ("shown", [Fact("bytes", size), Fact("bytes per pixel", size / (width * height))]),
        }  # fmt: skip
    for name, (weight, members) in measures.items():
        varied = tuple(fact for fact in members if not fact.is_constant)
        if varied:
            yield Family(name, varied, weight)


def _size_only(material: Material) -> list[Family]:
    """Without file facts: the size of the originals, where intake told it."""
    width, height = material.original_sizes()
    facts = (Fact("width", width), Fact("height", height), Fact("aspect ratio", width / height))
    varied = tuple(fact for fact in facts if not fact.is_constant)
    return [Family("image size", varied, "file")] if varied else []


def _columns(columns: Mapping[str, pd.Series[str]], material: Material) -> list[Family]:
    families = []
    for name, column in columns.items():
        words = name_words(name)
        counts = column.astype("string").fillna(MISSING).value_counts()
        if 2 <= len(counts) <= MOST_VALUES and counts.iloc[1] >= FEWEST_IMAGES:
            fact = _words({name: column}, name, name)
            is_one_to_one = _is_one_to_one(fact, material)
            if words & _LABEL_WORDS and _determines(fact, material):
                continue  # the label under another name
            weight: Weight = "origin" if words & ORIGIN_WORDS and name != "folder" else "column"
            families.append(Family(name, (fact,), weight, is_one_to_one))
        elif len(counts) > MOST_VALUES and words & _SIZE_WORDS:
            numbers = _numbers({name: column}, name)
            if np.isfinite(numbers).mean() > 0.5:
                families.append(Family(name, (Fact(name, numbers),), "column"))
    return families


def _determines(fact: Fact, material: Material) -> bool:
    """Whether the value tells the class of nearly every image."""
    table = _table(fact, material)
    return bool(table.max(axis=1).sum() >= _DETERMINED * table.sum())


def _is_one_to_one(fact: Fact, material: Material) -> bool:
    """Whether value and class tell each other, for nearly every image."""
    table = _table(fact, material)
    return _determines(fact, material) and bool(table.max(axis=0).sum() >= _DETERMINED * table.sum())


def _table(fact: Fact, material: Material) -> NDArray[np.int64]:
    """Images by value and class."""
    table = np.zeros((len(fact.words), len(material.labels)), dtype=np.int64)
    np.add.at(table, (fact.values.astype(np.int64), material.codes), 1)
    return table


def _numbers(table: Mapping[str, pd.Series[str]] | pd.DataFrame, name: str) -> NDArray[np.float64]:
    """A column as floats, NaN where it is missing or no number."""
    if name not in table:
        return np.full(len(table), np.nan)
    return np.asarray(
        pd.to_numeric(table[name], errors="coerce").astype("Float64").to_numpy(np.float64, na_value=np.nan)
    )


def _words(table: Mapping[str, pd.Series[str]] | pd.DataFrame, name: str, told: str) -> Fact:
    """A column as a categorical fact; a missing cell is a value of its own, and the rarest of many values are one."""
    if name not in table:
        return Fact(told, np.full(len(table), np.nan))
    texts = table[name].astype("string").fillna(MISSING)
    frequent = texts.value_counts().index[: 4 * MOST_VALUES]
    texts = texts.where(texts.isin(frequent), "(others)")
    words = tuple(sorted(str(text) for text in texts.unique()))
    places = {word: float(place) for place, word in enumerate(words)}
    return Fact(told, np.array([places[str(text)] for text in texts]), words)
