"""The plan of a study: cells (arm x training size x seed) and the generators they need; pure, torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from tenfold.core.errors import DesignError, Faults
from tenfold.studies.arms import (
    FRESH_ARM,
    SETS_OF_ARM,
    SYNTHETIC_ARM,
    UNCHANGED_ARM,
    Arm,
    Material,
    SyntheticSet,
    read_material,
    set_name,
)
from tenfold.studies.draws import Draw

SMALLEST_AUTOMATIC_SIZE = 5
PREFERRED_GENERATOR_SIZE = 10
_LISTS = ("train_ids", "validation_ids", "extra_ids", "synthetic_sets")


@dataclass(frozen=True)
class Design:
    """What a study varies; sizes are real training images per class, `None` = chosen from the data."""

    name: str
    arms: tuple[Arm, ...]
    curve_arms: tuple[Arm, ...] = ()
    training_sizes: tuple[int, ...] | None = None
    synthetic_training_sizes: tuple[int, ...] | None = None
    seeds: int = 5
    synthetic_ratio: int = 10
    source_ratio: int | None = None
    synthetic_share: float = 0.25
    generator_budget: str = "strict"
    skin_types: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Chain:
    """The sets that a repetition's cells of one size need, and their generator where a set is drawn from prompts."""

    name: str
    training_size: int
    seed_index: int
    generator_seed: int
    training_ids: tuple[str, ...]
    sets: tuple[SyntheticSet, ...]

    @property
    def text_set(self) -> SyntheticSet | None:
        """What the fine-tuned generator draws; None where nothing is."""
        return next((made for made in self.sets if made.strategy == "text2img"), None)


@dataclass(frozen=True)
class Cell:
    """One classifier to train: an arm at a training size with one triple of seeds."""

    name: str
    arm: str
    training_size: int
    seed_index: int
    subset_seed: int
    generator_seed: int
    classifier_seed: int
    train_ids: tuple[str, ...]
    validation_ids: tuple[str, ...]
    extra_ids: tuple[str, ...] = ()
    synthetic_sets: tuple[str, ...] = ()
    synthetic_ratio: float = 0.0
    synthetic_share: float = 0.0
    strategy: str = "none"
    generator_budget: str = "strict"
    transforms: bool = True


@dataclass(frozen=True)
class StudyPlan:
    """All chains and cells of a study in the order they are run, with what had to be noted."""

    name: str
    labels: tuple[str, ...]
    training_sizes: tuple[int, ...]
    synthetic_training_sizes: tuple[int, ...]
    chains: tuple[Chain, ...]
    cells: tuple[Cell, ...]
    tones: tuple[int, ...] = ()
    """Skin types that sets recolor to."""
    notes: tuple[str, ...] = field(default=())

    @property
    def generator_count(self) -> int:
        """Generators that are fine-tuned."""
        return sum(chain.text_set is not None for chain in self.chains)

    def cell_table(self) -> pd.DataFrame:
        """One row per cell with every field of it, ids as lists: ``cells.parquet``."""
        rows = []
        for cell in self.cells:
            row = {name: getattr(cell, name) for name in Cell.__dataclass_fields__ if name != "name"}
            lists = {name: list(row[name]) for name in _LISTS}
            rows.append({"cell": cell.name, "study": self.name, "folder": f"classifiers/{cell.name}", **row, **lists})
        return pd.DataFrame(rows)


def plan_study(design: Design, table: pd.DataFrame, root_seed: int) -> StudyPlan:
    """Cells and chains of `design` on a real manifest with its ``split`` column filled (train, val or test).

    Subsets nest over sizes within a seed; the validation images of a cell nest too and are at most as many per
    class as its training images. Fresh real images are further images of the same nested order, so they never
    overlap the cell's own.

    Raises:
        DesignError: fewer than two classes, or sizes that the data cannot carry (with what is possible).
    """
    labels = tuple(sorted(str(label) for label in table["label"].unique()))
    if len(labels) < 2:
        raise DesignError(
            f"the data hold {len(labels)} class", expected="at least two classes", todo="name them in intake.classes"
        )
    train = table[table["split"] == "train"]
    validation = table[table["split"] == "val"]
    available = {label: int((train["label"] == label).sum()) for label in labels}
    sizes, synthetic_sizes, notes = _sizes(design, available)
    _check_sizes(sizes, available, validation, labels)
    material = read_material(train, design.skin_types)
    chains: list[Chain] = []
    cells: list[Cell] = []
    for seed_index in range(design.seeds):
        draw = Draw(train, validation, labels, root_seed, seed_index)
        for size in sizes:
            arms = _arms_at(size, design, synthetic_sizes)
            chain = _chain(size, arms, design, draw, material, notes)
            if chain.sets:
                chains.append(chain)
            for arm in arms:
                if arm == FRESH_ARM and not draw.fresh(size, design.synthetic_ratio):
                    _note(notes, f"No fresh real images are left at {size} a class: the headroom arm is not run.")
                elif len(made := _sets_of(arm, chain)) == len(SETS_OF_ARM[arm]):
                    cells.append(_cell(arm, size, design, draw, made, notes))
    return StudyPlan(
        design.name, labels, sizes, synthetic_sizes, tuple(chains), tuple(cells), material.tones, tuple(notes)
    )


def _sizes(design: Design, available: dict[str, int]) -> tuple[tuple[int, ...], tuple[int, ...], list[str]]:
    notes: list[str] = []
    if design.training_sizes is not None:
        sizes = tuple(sorted(design.training_sizes))
    else:
        sizes = automatic_training_sizes(min(available.values()))
        notes.append(
            f"Training sizes were chosen from the data: {_listed(sizes)} images a class "
            f"(5, 10, 20, 40, ... up to the smallest class's {min(available.values())} training images)."
        )
        if min(available.values()) < SMALLEST_AUTOMATIC_SIZE:
            small = [label for label, count in available.items() if count < SMALLEST_AUTOMATIC_SIZE]
            notes.append(f"{_listed(small)} alone keeps the sizes this small; intake.classes can leave it out.")
    if design.synthetic_training_sizes is not None:
        synthetic_sizes = tuple(sorted(design.synthetic_training_sizes))
    else:
        below = [size for size in sizes if size <= PREFERRED_GENERATOR_SIZE]
        synthetic_sizes = (max(below) if below else sizes[0],)
        notes.append(f"Generators are fitted at {_listed(synthetic_sizes)} images a class.")
    missing = sorted(set(synthetic_sizes) - set(sizes))
    if missing:
        raise DesignError(
            f"synthetic_training_sizes {missing} are not among the training sizes {list(sizes)}",
            where="study.synthetic_training_sizes",
            expected="sizes at which the real controls are trained too",
        )
    return sizes, synthetic_sizes, notes


def automatic_training_sizes(smallest_class_images: int) -> tuple[int, ...]:
    """5, 10, 20, 40, ... up to what the smallest class holds in training; all it holds when that is below 5.

    >>> automatic_training_sizes(66)
    (5, 10, 20, 40)
    """
    sizes = []
    size = SMALLEST_AUTOMATIC_SIZE
    while size <= smallest_class_images:
        sizes.append(size)
        size *= 2
    return tuple(sizes) or (max(smallest_class_images, 1),)


def _check_sizes(
    sizes: tuple[int, ...], available: dict[str, int], validation: pd.DataFrame, labels: Sequence[str]
) -> None:
    faults = Faults()
    short = {label: count for label, count in available.items() if count < sizes[-1]}
    if short:
        possible = automatic_training_sizes(min(available.values())) if min(available.values()) else ()
        counts = ", ".join(f"{label} {count}" for label, count in available.items())
        faults.add(
            DesignError(
                f"{sizes[-1]} training images a class were asked for, but {_listed(tuple(short))} "
                f"{'has' if len(short) == 1 else 'have'} fewer",
                where="study.training_sizes",
                expected=f"at most {min(available.values())} a class; images in the training split: {counts}",
                todo=f"--set study.training_sizes={list(possible)}, or null to choose from the data"
                if possible
                else "give more images of the class, or leave it out of intake.classes",
            )
        )
    held = set(validation["label"].astype(str))
    without = tuple(label for label in labels if label not in held)
    if without:
        faults.add(
            DesignError(
                f"no validation image of {_listed(without)}", where="split", expected="at least one image a class"
            )
        )
    faults.raise_if_any()


def _arms_at(size: int, design: Design, synthetic_sizes: Sequence[int]) -> list[Arm]:
    arms = [arm for arm in design.curve_arms]
    if size in synthetic_sizes:
        arms += [arm for arm in design.arms if arm not in arms]
    return arms


def _chain(size: int, arms: Sequence[Arm], design: Design, draw: Draw, material: Material, notes: list[str]) -> Chain:
    """The sets that the arms need, as far as the repetition's images can give them; what they cannot is noted."""
    name, training_ids = f"{design.name}-n{size}-s{draw.seed_index}", draw.training(size)
    sets = []
    left_out: dict[str, dict[Arm, None]] = {}
    for strategy in dict.fromkeys(strategy for arm in arms for strategy in SETS_OF_ARM[arm]):
        sources, reason = material.sources(strategy, training_ids)
        if reason:
            left_out.setdefault(reason, {}).update({arm: None for arm in arms if strategy in SETS_OF_ARM[arm]})
            continue
        if len(sources) < len(training_ids):
            bare = len(training_ids) - len(sources)
            _note(
                notes,
                f"{bare} of {len(training_ids)} training images at {size} a class have no mask: outpainting and "
                "composites start from the others.",
            )
        started_from = () if strategy == "text2img" else sources
        count = _ratio(strategy, design, material) * size
        sets.append(SyntheticSet(set_name(name, strategy), strategy, started_from, count, len(draw.labels)))
    for reason, without in left_out.items():
        _note(notes, f"Not run at {size} a class: {_listed(tuple(without))}, because {reason}.")
    return Chain(name, size, draw.seed_index, draw.seed("generator"), training_ids, tuple(sets))


def _ratio(strategy: str, design: Design, material: Material) -> int:
    """Images of a set for each real training image of the cell."""
    if strategy == "text2img":
        return design.synthetic_ratio
    if strategy == "autoencoder":
        return 1
    asked = design.source_ratio or design.synthetic_ratio
    return min(asked, len(material.tones)) if strategy == "recolor" else asked


def _sets_of(arm: Arm, chain: Chain) -> list[SyntheticSet]:
    return [made for made in chain.sets if made.strategy in SETS_OF_ARM[arm]]


def _cell(arm: Arm, size: int, design: Design, draw: Draw, made: Sequence[SyntheticSet], notes: list[str]) -> Cell:
    train_ids = draw.training(size)
    extra = draw.fresh(size, design.synthetic_ratio) if arm == FRESH_ARM else ()
    ratio = sum(one.images_per_class for one in made) / size
    if arm == FRESH_ARM:
        ratio = len(extra) / len(train_ids)
        if ratio < design.synthetic_ratio:
            _note(
                notes,
                f"Fresh real images (headroom) at {size} a class: {ratio:.1f} per training image were at hand, "
                f"not {design.synthetic_ratio}.",
            )
    share = 0.0 if not made and not extra else 1.0 if arm == SYNTHETIC_ARM else design.synthetic_share
    return Cell(
        name=f"{design.name}-{arm.replace('_', '-')}-n{size}-s{draw.seed_index}",
        arm=arm,
        training_size=size,
        seed_index=draw.seed_index,
        subset_seed=draw.seed("subset"),
        generator_seed=draw.seed("generator"),
        classifier_seed=draw.seed("classifier"),
        train_ids=() if arm == SYNTHETIC_ARM else train_ids,
        validation_ids=draw.validation(size),
        extra_ids=extra,
        synthetic_sets=tuple(one.name for one in made),
        synthetic_ratio=ratio,
        synthetic_share=share,
        strategy="+".join(one.strategy for one in made) or "none",
        generator_budget=design.generator_budget,
        transforms=arm != UNCHANGED_ARM,
    )


def _note(notes: list[str], note: str) -> None:
    if note not in notes:
        notes.append(note)


def _listed(values: Sequence[object]) -> str:
    words = [str(value) for value in values]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
