"""The safeguards of a study, checked again from what the run left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tenfold.data.manifest import unpack_ancestors
from tenfold.evaluation.contents import Evaluation
from tenfold.reports import wording
from tenfold.reports.contents import CountedUnit, Guard, GuardState
from tenfold.reports.data_summary import counted_unit
from tenfold.reports.origins import confounded_arms, unequal_arms

PREFERRED_SEEDS = 5
_SHARED_SETTINGS = (
    "model", "pretrained", "weights", "freeze_blocks", "max_train_steps", "batch_size", "learning_rate",
    "lr_warmup_steps", "weight_decay", "label_smoothing", "evaluate_every_steps", "train", "layer_decay", "optimizer",
    "momentum", "lr_scheduler", "loss_weights", "gradient_clip", "ema_decay", "image_size_px", "dropout",
    "attention_dropout", "model_options",
)  # fmt: skip
_GROUP_COLUMNS = ("group_id", "patient_id", "lesion_id")


def check_groups(manifest: pd.DataFrame) -> Guard:
    """Whether any patient, lesion or group of the manifest lies in two splits."""
    name = f"{wording.capital(counted_unit(manifest))}s stay on one side of the split"
    split = manifest[manifest["split"].notna()]
    known = [column for column in _GROUP_COLUMNS if bool(split[column].notna().any())]
    if not known:
        return Guard(name, "attention", "No patient, lesion or group is recorded: each image counts as a group.")
    for column in known:
        crossing = split.dropna(subset=[column]).groupby(column)["split"].nunique()
        if bool((crossing > 1).any()):
            number = int((crossing > 1).sum())
            return Guard(name, "attention", f"Groups by {column} in more than one split: {number}.")
    words = wording.listed([column.removesuffix("_id") for column in known], "or")
    return Guard(name, "kept", f"No {words} lies in more than one split, checked over {len(split)} images.")


def check_seal(evaluation: Evaluation, sealed: Mapping[str, Any] | None) -> Guard:
    """Whether the test rows scored are those that were sealed before training."""
    name = "The test set was sealed before training"
    digest = evaluation.test_sha256
    if sealed is None:
        return Guard(name, "not_shown", "There is no sealed split to compare with.")
    if sealed.get("test_sha256") != digest:
        return Guard(name, "attention", f"The test rows scored ({digest[:12]}) are not those that were sealed.")
    return Guard(name, "kept", f"The sealed rows and the scored rows have the same hash, {digest[:12]}.")


def check_test_reads(evaluation: Evaluation) -> Guard:
    """How often test rows were read."""
    reads = wording.counted(evaluation.test_reads, "finished run")
    return Guard(
        "Reads of the test set are counted",
        "kept",
        f"{reads} read the test images: each classifier to predict, the evaluation to score. Model choice and "
        "thresholds use validation images only.",
    )


def check_generator(budgets: Sequence[str], trained_on: Mapping[str, Sequence[str]], manifest: pd.DataFrame) -> Guard:
    """Whether each generator was fitted on images that its budget allows, and on how many of them.

    budgets: those of the study's arms; under "archive" images of no split may be seen too.
    """
    name = "The generator saw only training images of its own arm"
    if not trained_on:
        return Guard(name, "not_shown", "No generator was fitted in this study.")
    seen = {image_id for ids in trained_on.values() for image_id in ids}
    outside = seen - _training_ids(manifest)
    if "archive" in budgets:
        outside -= set(manifest.loc[manifest["split"].isna(), "image_id"])
    if outside:
        found = wording.counted(len(outside), "image")
        return Guard(name, "attention", f"{found} outside the training split trained it.")
    sizes = sorted({len(ids) for ids in trained_on.values()})
    numbers = wording.listed([wording.count(size) for size in sizes])
    each = "each " if len(trained_on) > 1 else ""
    fitted = f"{wording.counted(len(trained_on), 'generator')}, {each}fitted on {numbers} training images and no others"
    wider = [budget for budget in budgets if budget != "strict"]
    if not wider and budgets:
        return Guard(name, "kept", f"Strict budget: {fitted}.")
    beside = " beside strict" if "strict" in budgets else ""
    stated = wording.listed(wider) if wider else "not stated"
    return Guard(name, "attention", f"Budget {stated}{beside}, wider than strict: {fitted}.")


def check_synthetic_rows(synthetic: Mapping[str, pd.DataFrame], manifest: pd.DataFrame) -> Guard:
    """Whether synthetic images stay out of validation and test, and descend from training images only."""
    name = "Synthetic images are never tested on, and descend from training images"
    if not synthetic:
        return Guard(name, "not_shown", "No synthetic set was found.")
    rows = pd.concat(list(synthetic.values()), ignore_index=True)
    tested = int(rows["split"].isin(["val", "test"]).sum())
    if tested:
        return Guard(name, "attention", f"{tested} synthetic images are marked for validation or test.")
    unknown = int(rows["ancestors"].isna().sum())
    if unknown:
        return Guard(name, "attention", f"The ancestors of {unknown} synthetic images are not recorded.")
    training = _training_ids(manifest)
    ancestors = {image_id for cell in set(rows["ancestors"]) for image_id in unpack_ancestors(cell) or ()}
    if ancestors - training:
        return Guard(name, "attention", f"{len(ancestors - training)} ancestors lie outside the training split.")
    return Guard(
        name, "kept", f"Checked over {wording.counted(len(rows), 'synthetic image')} in "
        f"{wording.counted(len(synthetic), 'set')}, and {wording.counted(len(ancestors), 'ancestor')}."
    )  # fmt: skip


def check_origin(evaluation: Evaluation) -> Guard:
    """Whether an arm has a class without real images while another class has some."""
    name = "Origin does not give the class away"
    confounded = confounded_arms(evaluation.origins)
    if not evaluation.origins:
        return Guard(name, "not_shown", "The evaluation holds no table of origin by class.")
    if confounded:
        arms = wording.listed(wording.arm_name(arm) for arm in confounded)
        return Guard(name, "attention", f"In {arms} one class is all synthetic, another is not: origin tells it.")
    kept = "In no arm is one class all synthetic while another has real images."
    balanced = {design.arm for design in evaluation.designs if design.is_origin_balanced}
    unequal = [arm for arm in unequal_arms(evaluation.origins) if arm not in balanced]
    if not unequal:
        return Guard(name, "kept", kept)
    arms = wording.listed(wording.arm_name(arm) for arm in unequal)
    control = "a control with equal shares was run" if balanced else "no control with equal shares was run"
    state: GuardState = "kept" if balanced else "attention"
    return Guard(name, state, f"{kept} Shares of synthetic images differ between classes in {arms}; {control}.")


def check_equal_training(configs: Sequence[Mapping[str, Any]]) -> Guard:
    """Whether all classifiers took the same steps and batch, and started from the same weights."""
    name = "All arms train alike"
    if not configs:
        return Guard(name, "not_shown", "No record of a classifier was found.")
    different = [key for key in _SHARED_SETTINGS if len({str(config.get(key)) for config in configs}) > 1]
    if different:
        words = wording.listed(key.replace("_", " ") for key in different)
        return Guard(name, "attention", f"The classifiers differ in {words}.")
    first = configs[0]
    return Guard(
        name,
        "kept",
        f"{wording.counted(len(configs), 'classifier')}: network {first.get('model')}, {first.get('max_train_steps')} "
        f"steps of {first.get('batch_size')} images each, from {_start(first)}.",
    )


def check_seeds(evaluation: Evaluation, unit: CountedUnit) -> Guard:
    """Whether the primary comparison has the preferred number of repetitions."""
    name = f"Uncertainty counts {unit}s and repetitions"
    seeds = [row.difference.n_seeds for row in evaluation.comparisons if row.is_primary]
    if not seeds:
        return Guard(name, "not_shown", "There is no primary comparison.")
    text = f"{min(seeds)} repetitions, with data subset, generator and classifier seeds drawn apart"
    if min(seeds) < PREFERRED_SEEDS:
        return Guard(name, "attention", f"{text}: fewer than the {PREFERRED_SEEDS} wanted, so intervals are wide.")
    return Guard(name, "kept", f"{text}.")


def _start(config: Mapping[str, Any]) -> str:
    """What a classifier's weights came from, in words."""
    if not config.get("pretrained"):
        return "random weights drawn by each seed"
    if config.get("weights"):
        return f"the same pretrained weights, of the file {Path(str(config['weights'])).name}"
    owner = "the embedded archive's" if config.get("model") == "embedded:small" else "timm's of that name"
    return f"the same pretrained weights, {owner}"


def _training_ids(manifest: pd.DataFrame) -> set[str]:
    return set(manifest.loc[(manifest["split"] == "train").fillna(False), "image_id"])
