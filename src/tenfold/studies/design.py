"""The plan of a study: cells (arm x training size x seed) and what they need; pure, torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from tenfold.core.errors import DesignError
from tenfold.studies.arms import ArmSpec, find_arm
from tenfold.studies.catalog import BUILT_IN
from tenfold.studies.draws import Draw
from tenfold.studies.material import Material, read_material
from tenfold.studies.plan import Cell, Generator, StudyPlan, SyntheticSet, Teacher
from tenfold.studies.repetition import Repetition, Rules, Wanted
from tenfold.studies.sizes import Sizes, check_sizes, choose_sizes, listed
from tenfold.studies.soundness import check_arm, share_in_reach
from tenfold.studies.variants import DEFAULT_DOSE, Dose


@dataclass(frozen=True)
class Design:
    """What a study varies; sizes are real training images per class, `None` = chosen from the data."""

    name: str
    arms: tuple[str, ...]
    curve_arms: tuple[str, ...] = ()
    training_sizes: tuple[int, ...] | None = None
    synthetic_training_sizes: tuple[int, ...] | None = None
    seeds: int = 5
    dose: Dose = DEFAULT_DOSE
    grid: tuple[str, ...] = ()
    """Variants run at the grid's sizes."""
    grid_sizes: tuple[int, ...] | None = None
    known: Mapping[str, ArmSpec] = field(default_factory=lambda: BUILT_IN)
    """Every arm that a name may begin with."""
    skin_types: tuple[int, ...] | None = None
    unmasked: tuple[str, ...] = ()
    """Strategies that the recipe gives another mask than the lesion's."""
    generator_per_class: bool = False
    has_painter: bool = False
    """Whether painting has a fine-tuning of its own."""
    epochs_count: bool = False
    """Whether arms differ in steps, so that duplicates change something."""
    allows_confound: bool = False
    """Whether a class may be all synthetic while another is not."""


def plan_study(design: Design, table: pd.DataFrame, root_seed: int) -> StudyPlan:
    """Everything of `design` on a real manifest with its ``split`` column filled (train, val or test).

    Subsets nest over sizes within a seed; the validation images of a cell nest too and are at most as many per
    class as its training images. Fresh real images are further images of the same nested order, so they never
    overlap the cell's own.

    Raises:
        DesignError: fewer than two classes, sizes that the data cannot carry (with what is possible), or an arm that
            cannot answer: a class without real images beside classes with some, or a share out of reach.
    """
    labels = tuple(sorted(str(label) for label in table["label"].unique()))
    if len(labels) < 2:
        raise DesignError(
            f"the data hold {len(labels)} class", expected="at least two classes", todo="name them in intake.classes"
        )
    train, validation = table[table["split"] == "train"], table[table["split"] == "val"]
    available = {label: int((train["label"] == label).sum()) for label in labels}
    sizes, notes = choose_sizes(design.training_sizes, design.synthetic_training_sizes, design.grid_sizes, available)
    check_sizes(sizes.training, available, validation, labels)
    material = read_material(train, design.skin_types, design.unmasked)
    planner = _Planner(design, sizes, material, available, notes)
    for seed_index in range(design.seeds):
        planner.plan_seed(Draw(train, validation, labels, root_seed, seed_index))
    archive = any(generator.budget == "archive" for generator in planner.generators)
    return StudyPlan(
        name=design.name,
        labels=labels,
        training_sizes=sizes.training,
        synthetic_training_sizes=sizes.synthetic,
        generators=tuple(planner.generators),
        sets=tuple(planner.sets),
        teachers=tuple(planner.teachers.values()),
        cells=tuple(planner.cells),
        archive_ids=tuple(sorted(material.label_of)) if archive else (),
        tones=material.tones,
        notes=(*notes, *_budget_notes(planner.generators)),
    )


class _Planner:
    def __init__(
        self, design: Design, sizes: Sizes, material: Material, available: Mapping[str, int], notes: list[str]
    ) -> None:
        self.design = design
        self.sizes = sizes
        self.material = material
        self.available = available
        self.notes = notes
        self.rules = Rules(design.name, design.dose, material, design.generator_per_class, design.has_painter)
        self.generators: list[Generator] = []
        self.sets: list[SyntheticSet] = []
        self.teachers: dict[str, Teacher] = {}
        self.cells: list[Cell] = []

    def plan_seed(self, draw: Draw) -> None:
        """All cells of one repetition, and what they need."""
        repetition = Repetition(self.rules, draw)
        wishes: list[tuple[str, ArmSpec, int, Wanted]] = []
        for size in self.sizes.training:
            left_out: dict[str, dict[str, None]] = {}
            for arm in self._arms_at(size):
                spec = find_arm(arm, self.design.known)
                check_arm(arm, spec, self.available, allows=self.design.allows_confound)
                wanted = self._reason(spec, draw.training(size)) or repetition.want(spec, size, self.notes)
                if isinstance(wanted, str):
                    left_out.setdefault(wanted, {})[arm] = None
                elif spec.fresh and not draw.fresh(size, design_ratio(self.design.dose, spec)):
                    self._note(f"No fresh real images are left at {size} a class: the headroom arm is not run.")
                else:
                    wishes.append((arm, spec, size, wanted))
            for reason, without in left_out.items():
                self._note(f"Not run at {size} a class: {listed(tuple(without))}, because {reason}.")
        self.sets += repetition.sets()
        self.generators += repetition.generators()
        self.cells += [self._cell(arm, spec, size, repetition, wanted) for arm, spec, size, wanted in wishes]

    def _arms_at(self, size: int) -> list[str]:
        arms = list(self.design.curve_arms)
        if size in self.sizes.synthetic:
            arms += self.design.arms
        if size in self.sizes.grid:
            arms += self.design.grid
        return list(dict.fromkeys(arms))

    def _reason(self, spec: ArmSpec, training: Sequence[str]) -> str:
        """Why an arm is not run on these images, whatever its sets; empty where it is."""
        if spec.duplicate_real and not self.design.epochs_count:
            return "all arms take the same optimizer steps, so that duplicates change nothing (max_train_epochs does)"
        if spec.weighting == "teacher" and (reason := self.material.no_teacher(training)):
            return reason
        return self.material.no_balance(spec.balance_by) if spec.balance_by else ""

    def _cell(self, arm: str, spec: ArmSpec, size: int, repetition: Repetition, wanted: Wanted) -> Cell:
        draw, dose = repetition.draw, self.design.dose
        own = draw.training(size)
        train_ids = draw.training(size, spec.real_counts) if spec.real else ()
        made, taken = repetition.taken(wanted)
        extra = self._extra_ids(spec, size, draw)
        name = f"{self.design.name}-{arm.replace('_', '-').replace('@', '.')}-n{size}-s{draw.seed_index}"
        is_tuned = any(one.generator for one in made)
        budget = dose.budget(spec) if is_tuned else "strict"
        covered = {label for one in made for label in one.labels}
        return Cell(
            name=name,
            arm=arm,
            base_arm=spec.name,
            description=spec.description,
            training_size=size,
            seed_index=draw.seed_index,
            subset_seed=draw.seed("subset"),
            generator_seed=draw.seed("generator"),
            classifier_seed=draw.seed("classifier"),
            train_ids=train_ids,
            validation_ids=draw.validation(size),
            extra_ids=extra,
            budget_ids=tuple(one for one in own if made and one not in set(train_ids)),
            synthetic_sets=tuple(one.name for one in made),
            extra_per_class=taken,
            generators=tuple(dict.fromkeys(one.generator for one in made if one.generator)),
            teacher=self._teacher(spec, size, draw, made),
            synthetic_ratio=len(extra) / len(own) if extra else _ratio(made, taken, size),
            synthetic_share=share_in_reach(spec, dose.share(spec), draw.labels),
            synthetic_labels=tuple(label for label in draw.labels if label in covered) if spec.synthetic_labels else (),
            strategy="+".join(dict.fromkeys(one.strategy for one in made)) or "none",
            generator="fine_tuned" if is_tuned else "pretrained" if _needs_base(made) else "none",
            generator_budget=budget,
            transforms=spec.transforms,
            schedule=spec.schedule,
            weighting=spec.weighting,
            review=spec.review,
            balance_by=spec.balance_by,
            is_origin_balanced=spec.origin_balanced,
            is_fresh=spec.fresh,
            is_duplicated=spec.duplicate_real,
        )

    def _extra_ids(self, spec: ArmSpec, size: int, draw: Draw) -> tuple[str, ...]:
        ratio = design_ratio(self.design.dose, spec)
        if spec.duplicate_real:
            return draw.training(size, spec.real_counts) * ratio
        if not spec.fresh:
            return ()
        extra, own = draw.fresh(size, ratio), draw.training(size)
        if len(extra) < ratio * len(own):
            self._note(
                f"Fresh real images (headroom) at {size} a class: {len(extra) / len(own):.1f} per training image were "
                f"at hand, not {ratio}."
            )
        return extra

    def _teacher(self, spec: ArmSpec, size: int, draw: Draw, made: Sequence[SyntheticSet]) -> str | None:
        if spec.weighting != "teacher":
            return None
        names = tuple(one.name for one in made)
        same = [one for one in self.teachers.values() if one.synthetic_sets == names]
        label = f"{self.design.name}-teacher-n{size}-s{draw.seed_index}"
        known = [one for one in self.teachers if one.startswith(label)]
        found = next((one for one in same if one.name.startswith(label)), None)
        if found is None:
            name = label if not known else f"{label}-{len(known) + 1}"
            found = Teacher(name, draw.seed("classifier"), draw.training(size), names)
            self.teachers[name] = found
        return found.name

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def design_ratio(dose: Dose, spec: ArmSpec) -> int:
    """Fresh or duplicated images for each real one."""
    return spec.ratio or dose.synthetic_ratio


def _ratio(made: Sequence[SyntheticSet], taken: Sequence[int], size: int) -> float:
    """Images for each real image of the training size, of the class that gets most."""
    counts = taken or [one.images_per_class for one in made]
    by_label: dict[str, int] = {}
    for one, count in zip(made, counts, strict=True):
        for label in one.labels:
            by_label[label] = by_label.get(label, 0) + count
    return max(by_label.values(), default=0) / size


def _needs_base(made: Sequence[SyntheticSet]) -> bool:
    return any(one.strategy not in ("recolor", "composite") for one in made)


def _budget_notes(generators: Sequence[Generator]) -> list[str]:
    budgets = {generator.budget for generator in generators}
    notes = []
    if "archive" in budgets:
        notes.append(
            "Budget archive: before fine-tuning, the base saw all images outside validation and test without their "
            "classes; such arms had more than their controls, and a gain is not one of synthetic images alone."
        )
    if "pooled" in budgets:
        notes.append(
            "Budget pooled: the generator was fine-tuned on all training images with their classes; such arms had more "
            "real images than their controls."
        )
    return notes
