"""What replays a run: command, recipe, seeds and design, and which checklist items the run answers."""

from __future__ import annotations

import pandas as pd

from tenfold.evaluation.contents import Evaluation
from tenfold.reports import wording
from tenfold.reports.checklists import Answers, fill_checklists
from tenfold.reports.contents import Audit, ChecklistItem, DataSummary, Record
from tenfold.reports.reading import StudyFiles, generator_budgets

_SEED_COLUMNS = ("seed_index", "subset_seed", "generator_seed", "classifier_seed")


def write_record(files: StudyFiles, command: str | None) -> Record:
    """The record of a study; `command` of the author goes before the one that names the workspace's recipe."""
    cells = files.cells
    if command is None and files.recipe:
        command = f"tenfold run {files.recipe_name} --workspace NEW_FOLDER"
        note = f"{files.recipe_name} lies in the workspace and is printed below; NEW_FOLDER is any empty folder."
    else:
        note = "On the same machine it gives the same figures."
    return Record(
        command=command or "not known: the workspace holds no recipe",
        command_note=note,
        recipe=files.recipe,
        root_seed=files.workspace.root_seed,
        seeds=_seeds(cells),
        design=_design(files),
        n_real_training_images=len(_distinct(cells, "train_ids") | _distinct(cells, "extra_ids")),
        n_real_validation_images=len(_distinct(cells, "validation_ids")),
    )


def answer_checklists(
    evaluation: Evaluation, data: DataSummary | None, record: Record, audits: tuple[Audit, ...]
) -> tuple[ChecklistItem, ...]:
    """Both checklists with what this run can say."""
    return fill_checklists(_claim(evaluation, data, record, audits), _tripod(evaluation, data))


def _seeds(cells: pd.DataFrame) -> tuple[dict[str, int], ...]:
    if not set(_SEED_COLUMNS) <= set(cells.columns):
        return ()
    rows = cells[list(_SEED_COLUMNS)].drop_duplicates("seed_index").sort_values("seed_index")
    return tuple({name: int(row[name]) for name in _SEED_COLUMNS} for _, row in rows.iterrows())


def _design(files: StudyFiles) -> dict[str, str]:
    cells = files.cells
    if cells.empty:
        return {}
    design = {
        "Arms": wording.listed(wording.arm_name(arm) for arm in dict.fromkeys(cells["arm"]) if "@" not in arm),
        "Real images per class": wording.listed(str(size) for size in sorted(set(cells["training_size"]))),
        "Cells": f"{len(cells)} classifiers (arm x size x repetition)",
    }
    variants = {arm for arm in cells["arm"] if "@" in arm}
    if variants:
        design["Variants of the grid"] = wording.listed(
            wording.arm_name(arm) for arm in sorted(variants, key=wording.arm_order)
        )
    synthetic = cells[cells["strategy"] != "none"]
    if len(synthetic):
        doses = synthetic[["arm", "synthetic_ratio"]].drop_duplicates().itertuples(index=False)
        ratios = (f"{wording.arm_name(arm)} {ratio:g}" for arm, ratio in doses if "@" not in arm)
        design["Made images per real image"] = wording.listed(ratios)
        mixed = sorted({share for share in synthetic["synthetic_share"] if share < 1})
        if mixed:
            shares = wording.listed(f"{100 * share:.0f} %" for share in mixed)
            design["Their share of a training batch"] = shares
        design["Generator budget"] = wording.listed(generator_budgets(files) or ["not stated"])
    return design


def _distinct(cells: pd.DataFrame, column: str) -> set[str]:
    return {str(image_id) for ids in cells.get(column, ()) if ids is not None for image_id in ids}


def _claim(evaluation: Evaluation, data: DataSummary | None, record: Record, audits: tuple[Audit, ...]) -> Answers:
    verdict = evaluation.verdict
    answers = {
        "1": ("Deep learning: latent diffusion for images, a convolutional or transformer classifier.", "record"),
        "10": ("Training subsets are nested and drawn by seed, as many of each class.", "record"),
        "19": ("By seed, stratified by class, sealed by hash before training.", "trust"),
        "20": ("By patient, lesion and group, as far as recorded.", "trust"),
        "22": ("Network, steps and batch are named; all arms alike.", "trust"),
        "23": ("Versions and source commit.", "timings"),
        "24": ("All arms start from the same weights.", "trust"),
        "25": ("Recipe with all settings and seeds.", "record"),
        "26": ("By validation images only.", "trust"),
        "28": (f"Primary: {wording.metric_name(verdict.metric)}; others beside it.", "arms"),
        "29": (
            "Paired 95 % intervals over test patients (groups where unknown) and repetitions; Holm within a family.",
            "arms",
        ),
        "30": ("Controls, learning curve and subgroups.", "arms"),
        "32": (f"{wording.counted(evaluation.n_test_images, 'held-out image')} of the same source.", "arms"),
        "37": ("All arms with intervals.", "arms"),
        "38": ("Sensitivity, specificity and AUC by class, with intervals.", "classes"),
        "39": ("Confusion matrices show which classes are taken for which.", "classes"),
        "42": ("Command, recipe, seeds and hashes.", "record"),
    }
    if data is not None:
        size = f"to {data.image_size_px} px" if data.image_size_px else "to one size"
        answers["7"] = (f"{data.source}; license: {data.license or 'not stated'}.", "data")
        answers["9"] = (f"Decoded, cropped and resized {size} by one path for real and synthetic images.", "data")
        answers["35"] = (f"{data.n_images} images kept, {data.n_quarantined} rows set aside, with reasons.", "data")
        answers["36"] = ("Counts by class and recorded patient features in each split.", "data")
    visible = [row.minimum_detectable_difference for row in evaluation.comparisons if row.is_primary]
    known = [value for value in visible if value is not None]
    if known:
        text = wording.size_of_difference(max(known), verdict.metric)
        planned = "Told before training from the test set's size; " if evaluation.planned else "Not set in advance; "
        answers["21"] = (f"{planned}a difference of {text} could be seen with 80 % power.", "arms")
    if audits:
        answers["40"] = ("In part: what was trimmed, safeguards that need attention, audits of the images.", "trust")
    return answers


def _tripod(evaluation: Evaluation, data: DataSummary | None) -> Answers:
    answers = {
        "7": ("One path of decoding and resizing for real and synthetic images.", "data"),
        "12a-g": ("Split, models, steps, model choice, metrics and intervals.", "record"),
        "13": ("Batches are balanced by class in every arm.", "record"),
        "14": ("Results by subgroup; those too small are not judged." if evaluation.subgroups else None, "subgroups"),
        "15": ("Class probabilities; the most probable class is taken.", "classes"),
        "16": ("Training and test images come from one source; no known patient or group in both.", "trust"),
        "18f": ("Command, versions and commit.", "record"),
        "21": ("Images of each class in each arm.", "trust"),
        "22": ("Network, weights and settings in the recipe and the run's folders.", "record"),
        "23a": ("All figures with 95 % intervals, by class and subgroup.", "classes"),
    }
    if data is not None:
        answers["5a-b"] = (f"Source: {data.source}. Dates: for the authors.", "data")
        answers["20a-c"] = ("Images and patients (groups where unknown) by split and recorded features.", "data")
    return {number: (answer, section) for number, (answer, section) in answers.items() if answer is not None}
