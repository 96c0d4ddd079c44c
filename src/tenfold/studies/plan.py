"""What a study plans: generators, sets, teachers and cells, with the table of cells that other rooms read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from tenfold.studies.arms import Budget

GeneratorKind = Literal["dreambooth", "inpainting"]
_LISTS = (
    "train_ids", "validation_ids", "extra_ids", "synthetic_sets", "synthetic_labels", "generators", "budget_ids",
    "extra_per_class",
)  # fmt: skip


@dataclass(frozen=True)
class Generator:
    """A model to fine-tune; it goes to ``models/<name>``."""

    name: str
    kind: GeneratorKind
    budget: Budget
    generator_seed: int
    training_ids: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class SyntheticSet:
    """A set of images that a repetition's cells share; `name` is its folder under ``synthetic/``."""

    name: str
    strategy: str
    generator: str | None
    """The fine-tuned model that draws it; None: the base, or no model at all."""
    generator_seed: int
    source_ids: tuple[str, ...]
    """Real images it starts from; () for images drawn from prompts."""
    training_ids: tuple[str, ...]
    """Real images that it belongs to: those its generator learned from, or those it starts from."""
    images_per_class: int
    labels: tuple[str, ...]

    @property
    def image_count(self) -> int:
        """Images in all."""
        return self.images_per_class * len(self.labels)


@dataclass(frozen=True)
class Teacher:
    """Weights of sets' images by classifiers that did not see them; they go to ``classifiers/<name>``."""

    name: str
    seed: int
    train_ids: tuple[str, ...]
    synthetic_sets: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """One classifier to train: an arm at a training size with one triple of seeds."""

    name: str
    arm: str
    base_arm: str
    description: str
    training_size: int
    seed_index: int
    subset_seed: int
    generator_seed: int
    classifier_seed: int
    train_ids: tuple[str, ...]
    validation_ids: tuple[str, ...]
    extra_ids: tuple[str, ...] = ()
    budget_ids: tuple[str, ...] = ()
    synthetic_sets: tuple[str, ...] = ()
    extra_per_class: tuple[int, ...] = ()
    generators: tuple[str, ...] = ()
    teacher: str | None = None
    synthetic_ratio: float = 0.0
    synthetic_share: float = 0.0
    synthetic_labels: tuple[str, ...] = ()
    strategy: str = "none"
    generator: str = "none"
    generator_budget: str = "strict"
    transforms: str = "paper"
    schedule: str = "mixed"
    weighting: str = "none"
    review: str = "filtered"
    balance_by: str | None = None
    is_origin_balanced: bool = False
    is_fresh: bool = False
    is_duplicated: bool = False

    @property
    def is_real_only(self) -> bool:
        """Whether nothing but the cell's own real images is trained on."""
        return not self.synthetic_sets and not self.extra_ids


@dataclass(frozen=True)
class StudyPlan:
    """Everything that a study makes, in the order it was planned, with what had to be noted."""

    name: str
    labels: tuple[str, ...]
    training_sizes: tuple[int, ...]
    synthetic_training_sizes: tuple[int, ...]
    generators: tuple[Generator, ...]
    sets: tuple[SyntheticSet, ...]
    teachers: tuple[Teacher, ...]
    cells: tuple[Cell, ...]
    archive_ids: tuple[str, ...] = ()
    """Images that the base sees without their classes under the archive budget; () where no arm asks for it."""
    tones: tuple[int, ...] = ()
    """Skin types that sets recolor to."""
    notes: tuple[str, ...] = field(default=())

    @property
    def generator_count(self) -> int:
        """Generators that are fine-tuned."""
        return len(self.generators)

    @property
    def budgets(self) -> tuple[str, ...]:
        """The generator budgets of its arms."""
        return tuple(sorted({cell.generator_budget for cell in self.cells if cell.generator == "fine_tuned"}))

    def cell_table(self) -> pd.DataFrame:
        """One row per cell with every field of it, ids as lists: ``cells.parquet``."""
        rows: list[dict[str, Any]] = []
        for cell in self.cells:
            row = {name: getattr(cell, name) for name in Cell.__dataclass_fields__ if name != "name"}
            lists = {name: list(row[name]) for name in _LISTS}
            told = {"cell": cell.name, "study": self.name, "folder": f"classifiers/{cell.name}"}
            rows.append({**told, **row, **lists, "is_real_only": cell.is_real_only})
        return pd.DataFrame(rows)
