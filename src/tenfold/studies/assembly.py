"""From the plan to parts: the stages' configs filled with ids and seeds, in waves that each need the ones before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tenfold.studies.filling import Filling
from tenfold.studies.parts import Part, Step
from tenfold.studies.plan import Cell


@dataclass(frozen=True)
class Waves:
    """Parts by wave: each wave needs what the ones before it made. `needs` names, by part, the parts it builds on."""

    waves: tuple[tuple[Part, ...], ...]
    needs: Mapping[str, tuple[str, ...]]

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts in order."""
        return tuple(part for wave in self.waves for part in wave)


@dataclass
class _Assembly:
    filling: Filling
    workspace: Path
    progress_folder: Path
    levels: dict[str, int] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)
    needs: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def add(self, name: str, steps: Sequence[Step], needs: Sequence[str] = (), *, earliest: int = 0) -> None:
        self.levels[name] = max([earliest, *(self.levels[need] + 1 for need in needs)])
        self.needs[name] = tuple(needs)
        self.parts.append(Part(name, tuple(steps), self.workspace, self.progress_folder / f"{name}.fraction"))

    def waves(self) -> Waves:
        """The longest parts first within a wave, so that the last worker does not wait long."""
        parts = sorted(self.parts, key=lambda part: (self.levels[part.name], -part.seconds, part.name))
        levels = sorted(set(self.levels.values()))
        waves = (tuple(part for part in parts if self.levels[part.name] == level) for level in levels)
        return Waves(tuple(waves), self.needs)


def assemble(filling: Filling, workspace: Path, progress_folder: Path) -> Waves:
    """All parts of the study. Cells that need no generator fill up the wave in which generators are fitted."""
    plan = filling.plan
    made = _Assembly(filling, workspace, progress_folder)
    if filling.needs_prior:
        made.add(filling.prior_name, [filling.prior()])
    if plan.archive_ids:
        made.add(filling.archive_name, [filling.archive()])
    _add_generators(made)
    for one in plan.sets:
        if one.name not in made.levels:
            made.add(one.name, [filling.synthetic_set(one)], [one.generator] if one.generator else [])
    for one in plan.sets:
        if one.strategy == "text2img" and one.generator:
            made.add(f"audit-{one.name}", [filling.audit(one)], [one.name])
    for teacher in plan.teachers:
        made.add(teacher.name, [filling.teacher(teacher)], teacher.synthetic_sets)
    fitted = 1 if plan.generators else 0
    for cell in plan.cells:
        made.add(cell.name, [filling.cell(cell)], _needs(cell), earliest=fitted)
    return made.waves()


def _add_generators(made: _Assembly) -> None:
    """Each fine-tuning, and the sets that it draws from prompts right after it, by the same worker."""
    for generator in made.filling.plan.generators:
        needs = []
        if generator.kind == "dreambooth" and made.filling.needs_prior:
            needs.append(made.filling.prior_name)
        if generator.budget == "archive":
            needs.append(made.filling.archive_name)
        drawn = [one for one in made.filling.plan.sets if one.name == generator.name]
        steps = [*made.filling.generator(generator), *(made.filling.synthetic_set(one) for one in drawn)]
        made.add(generator.name, steps, needs)


def _needs(cell: Cell) -> tuple[str, ...]:
    return (*cell.synthetic_sets, *([cell.teacher] if cell.teacher else []))
