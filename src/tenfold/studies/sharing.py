"""Generators and sets of other studies in the workspace: where they equal what a study asks for, it uses theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tenfold.core.errors import InputError, TenfoldError
from tenfold.core.files import read_json
from tenfold.core.run_record import hash_inputs, read_run_record
from tenfold.core.workspace import Workspace
from tenfold.studies.assembly import Waves
from tenfold.studies.filling import Filling
from tenfold.studies.parts import Step
from tenfold.studies.plan import StudyPlan


def with_shared(filling: Filling, workspace: Workspace) -> tuple[Filling, tuple[str, ...]]:
    """The study with the names of what others made already, and these folders.

    Shared are DreamBooth generators of the budgets strict and pooled, sets, and the prior images: finished, and equal
    in settings and inputs but for the study's name. What this study has begun itself stays its own.
    """
    shared: list[str] = []
    for other in sorted(path.name for path in workspace.path.glob("studies/*") if path.is_dir()):
        if other != filling.plan.name:
            filling, found = _with_those_of(other, filling, workspace)
            shared += found
            if found:
                models = sum(folder.startswith("models/") for folder in found)
                note = f"{models} generators and {len(found) - models} sets are those of the study {other!r}."
                filling = replace(filling, plan=replace(filling.plan, notes=(*filling.plan.notes, note)))
    return filling, tuple(shared)


def refuse_loss(waves: Waves, study: str, workspace: Workspace) -> None:
    """Raise InputError where this study would make anew, with other content, what another one uses."""
    users: dict[str, list[str]] = {}
    for path in sorted(workspace.path.glob("studies/*/plan.json")):
        if path.parent.name != study:
            for folder in read_json(path).get("shared", ()):
                users.setdefault(folder, []).append(path.parent.name)
    for step in (step for part in waves.parts for step in part.steps if step.folder in users):
        if _is_made(step, workspace) is False:
            names = users[step.folder]
            folders = ", ".join(f"studies/{name}" for name in names)
            raise InputError(
                f"{step.folder} would be made anew with other content, but other studies use it: {', '.join(names)}",
                where=str(workspace.resolve(step.folder)),
                expected="the settings and images that it was made with, as long as they use it",
                todo=f"Give this study another name (study.name), or delete {folders} if no longer wanted.",
            )


def _with_those_of(other: str, filling: Filling, workspace: Workspace) -> tuple[Filling, list[str]]:
    own = f"{filling.plan.name}-"

    def is_free(name: str, kind: str) -> bool:
        return name.startswith(own) and not workspace.resolve(f"{kind}/{name}").exists()

    def is_made(steps: Sequence[Step]) -> bool:
        return all(_is_made(step, workspace) for step in steps)

    def moved(name: str) -> str:
        return f"{other}-{name.removeprefix(own)}"

    prior, models, sets = [], dict[str, str](), dict[str, str]()
    if filling.needs_prior and is_free(filling.prior_name, "synthetic"):
        there = replace(filling, shared_prior=moved(filling.prior_name))
        if is_made([there.prior()]):
            filling, prior = there, [there.prior_name]
    for generator in filling.plan.generators:
        if is_free(generator.name, "models") and generator.budget != "archive":
            model = replace(generator, name=moved(generator.name))
            if is_made(filling.generator(model)):
                models[generator.name] = model.name
    filling = replace(filling, plan=_renamed(filling.plan, models, {}))
    for own_set in filling.plan.sets:
        if is_free(own_set.name, "synthetic"):
            made = replace(own_set, name=moved(own_set.name))
            audits = [filling.audit(made)] if made.strategy == "text2img" and made.generator else []
            kept = [step for step in audits if workspace.resolve(step.folder).exists()]
            if is_made([filling.synthetic_set(made), *kept]):
                sets[own_set.name] = made.name
    folders = [f"models/{name}" for name in models.values()]
    folders += [f"synthetic/{name}" for name in (*prior, *sets.values())]
    return replace(filling, plan=_renamed(filling.plan, {}, sets)), folders


def _renamed(plan: StudyPlan, models: Mapping[str, str], sets: Mapping[str, str]) -> StudyPlan:
    def names(old: Sequence[str], new: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(new.get(name, name) for name in old)

    return replace(
        plan,
        generators=tuple(replace(one, name=models.get(one.name, one.name)) for one in plan.generators),
        sets=tuple(
            replace(one, name=sets.get(one.name, one.name), generator=models.get(one.generator or "", one.generator))
            for one in plan.sets
        ),
        teachers=tuple(replace(one, synthetic_sets=names(one.synthetic_sets, sets)) for one in plan.teachers),
        cells=tuple(
            replace(one, synthetic_sets=names(one.synthetic_sets, sets), generators=names(one.generators, models))
            for one in plan.cells
        ),
    )


def _is_made(step: Step, workspace: Workspace) -> bool | None:
    """Whether a finished run of the step lies there; False where it is one of other settings or inputs, None where
    there is none."""
    try:
        record = read_run_record(workspace.resolve(step.folder))
        if record.stage != step.stage or record.config != step.config.model_dump(mode="json"):
            return False
        inputs = _inputs(step, workspace)
        if inputs is None or not all(workspace.resolve(path).exists() for path in record.outputs):
            return None
        return hash_inputs(workspace, step.stage, inputs) == record.inputs
    except TenfoldError:  # unfinished, or an input is missing
        return None


def _inputs(step: Step, workspace: Workspace) -> list[Path] | None:
    """The files that the step reads; None for stages that are not shared."""
    config: Any = step.config
    if step.stage == "generate":
        from tenfold.generation.planning import plan_inputs

        return plan_inputs(config, workspace)
    if step.stage == "dreambooth":
        from tenfold.finetuning.dreambooth_training import training_inputs
        from tenfold.models.checkpoint_ref import resolve_checkpoint

        return training_inputs(config, workspace, resolve_checkpoint(config.base_checkpoint, workspace))
    if step.stage == "audit":
        from tenfold.audits.run import audit_inputs

        return audit_inputs(config, workspace)
    return None
