"""The images of a cell: chosen from the manifests and checked against leaks and against origin = label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tenfold.core.errors import DataError, DesignError, Faults, TenfoldError
from tenfold.data.manifest import read_manifest, select_images, unpack_ancestors
from tenfold.data.manifest_checks import check_ancestors
from tenfold.data.splits import read_sealed_split, with_split
from tenfold.data.subsets import nested_subset


@dataclass(frozen=True)
class CellImages:
    """Manifest rows of a cell: real training images, extra ones (real or synthetic), validation and test images."""

    train: pd.DataFrame
    extra: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame
    test_sha256: str

    def images_by_origin(self) -> dict[str, dict[str, int]]:
        """Training images by origin (real, extra_real, synthetic) and label."""
        is_synthetic = self.extra["source"] == "synthetic"
        origins = {"real": self.train, "extra_real": self.extra[~is_synthetic], "synthetic": self.extra[is_synthetic]}
        return {origin: _counts(rows) for origin, rows in origins.items()}

    def real_images_total(self) -> int:
        """Real images used in all: for training, as extra ones, by the generator and for validation, each once."""
        used = {str(image_id) for rows in (self.train, self.validation) for image_id in rows["image_id"]}
        used |= {str(image_id) for image_id in self.extra.loc[self.extra["source"] == "real", "image_id"]}
        return len(used | ancestors_of(self.extra))


def read_real_images(manifest_path: Path, split_path: Path, labels: Sequence[str]) -> tuple[pd.DataFrame, str]:
    """The real manifest's rows of these classes with their sealed split, and the hash of the test rows."""
    sealed = read_sealed_split(split_path)
    table = with_split(read_manifest(manifest_path), sealed)
    return table[table["label"].isin(list(labels))].reset_index(drop=True), sealed.test_sha256


def choose_images(
    real: pd.DataFrame,
    test_sha256: str | None,
    *,
    train_ids: Sequence[str],
    validation_ids: Sequence[str],
    extra_ids: Sequence[str],
    extra: Sequence[pd.DataFrame],
) -> CellImages:
    """The rows of a cell. `real` has its split filled; `extra` are manifests of extra images.

    Quarantined extra images are left out. test_sha256: of the test rows; None where no class needs test images. Raises
    DataError, or FaultsError for several, when a row comes from another split than its use allows, or a synthetic image
    descends from outside the training split.
    """
    faults = Faults()
    train = _of_split(real, train_ids, "train", "train_ids", faults)
    validation = _of_split(real, validation_ids, "val", "validation_ids", faults)
    more = _of_split(real, extra_ids, "train", "extra_ids", faults)
    test = real[real["split"] == "test"].reset_index(drop=True)
    labels = sorted(set(map(str, real["label"])))
    for error in _extra_faults(real, extra, labels):
        faults.add(error)
    needed = [("validation", validation), ("test", test)]
    for name, held_out in needed if test_sha256 is not None else needed[:1]:
        absent = sorted(set(labels) - set(map(str, held_out["label"])))
        if absent:
            faults.add(DataError(f"there is no {name} image of {', '.join(absent)}", expected="one or more a class"))
    faults.raise_if_any()
    usable = [rows[rows["quarantine_reason"].isna()] for rows in extra]
    rows = [part for part in (*usable, more) if len(part)]
    combined = pd.concat(rows, ignore_index=True) if rows else real.iloc[:0]
    return CellImages(train, combined, validation, test, test_sha256 or "")


def first_of_each_class(rows: pd.DataFrame, per_class: int, seed: int) -> pd.DataFrame:
    """At most `per_class` rows of each class: the same in any row order, and among those of a larger number."""
    chosen: set[str] = set()
    for _, of_class in rows.groupby("label"):
        chosen.update(nested_subset(of_class, per_class=min(per_class, len(of_class)), seed=seed))
    return rows[rows["image_id"].astype(str).isin(chosen)].reset_index(drop=True)


def check_budget(images: CellImages, budget_ids: Sequence[str] = ()) -> None:
    """Strict budget: refuse synthetic images whose generator saw other real images than the cell's own.

    A cell without real training images cannot be checked so; its generator's images are counted as used all the same.
    `budget_ids`: real images that belong to the cell without being trained on.
    """
    own = {*map(str, images.train["image_id"]), *budget_ids}
    foreign = sorted(ancestors_of(images.extra) - own)
    if own and foreign:
        raise DesignError(
            f"the generator saw {len(foreign)} real images that this arm does not train on",
            where=", ".join(foreign[:5]),
            expected="with generator_budget strict, ancestors among the cell's training images",
            todo="fit the generator on the cell's own images, or state the wider budget",
        )


def origin_confound(images: CellImages, labels: Sequence[str], *, is_allowed: bool) -> bool:
    """Whether a class has no real training image while another has some, so that its origin gives it away.

    Raises:
        DesignError: it is so and not allowed.
    """
    by_origin = images.images_by_origin()
    real = {label: by_origin["real"].get(label, 0) + by_origin["extra_real"].get(label, 0) for label in labels}
    without = [label for label, count in real.items() if count == 0]
    is_confounded = 0 < len(without) < len(labels)
    if is_confounded and not is_allowed:
        raise DesignError(
            f"{', '.join(without)} would be all synthetic while other classes are real",
            where="the cell's training images",
            expected="real training images in every class or in none: else the classifier can learn the origin",
            todo="add real images, make all classes synthetic, or set classify.allow_origin_confound=true",
        )
    return is_confounded


def ancestors_of(rows: pd.DataFrame) -> set[str]:
    """The real images that the synthetic rows descend from."""
    cells = rows.loc[rows["source"] == "synthetic", "ancestors"].dropna()
    return {image_id for cell in cells.unique() for image_id in unpack_ancestors(cell) or ()}


def _of_split(real: pd.DataFrame, ids: Sequence[str], split: str, name: str, faults: Faults) -> pd.DataFrame:
    try:
        rows = select_images(real, ids)
    except DataError as error:
        faults.add(DataError(error.what, where=name, expected="images of the cell's classes"))
        return real.iloc[:0]
    wrong = rows[rows["split"] != split]
    if len(wrong):
        faults.add(
            DataError(
                f"{len(wrong)} images of {name} are not in the split {split}",
                where=", ".join(f"{row.image_id} ({row.split})" for row in wrong.head(5).itertuples()),
                expected=f"images of the split {split} only",
            )
        )
    return rows


def _extra_faults(real: pd.DataFrame, extra: Sequence[pd.DataFrame], labels: Sequence[str]) -> list[TenfoldError]:
    faults: list[TenfoldError] = []
    for rows in extra:
        unknown = sorted(set(map(str, rows["label"])) - set(labels))
        if unknown:
            faults.append(DataError(f"extra images of other classes: {', '.join(unknown)}", expected=", ".join(labels)))
        if (rows["source"] != "synthetic").any():
            faults.append(DataError("an extra manifest holds real images", todo="name real images in extra_ids"))
        if rows["split"].isin(["val", "test"]).any():
            faults.append(DataError("synthetic images are marked for validation or test", expected="training only"))
        faults.extend(check_ancestors(rows, real))
    return faults


def _counts(rows: pd.DataFrame) -> dict[str, int]:
    return {str(label): int(count) for label, count in rows["label"].value_counts().sort_index().items()}
