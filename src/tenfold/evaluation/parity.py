"""Whether arms may be compared at all: classifiers alike but for their images, and no class told by its origin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tenfold.evaluation.design_contents import ArmDesign
from tenfold.evaluation.predictions import ArmPredictions

FREE_SETTINGS = frozenset({"transforms"})


def obstacles(arm: ArmPredictions, controls: Sequence[ArmPredictions]) -> list[str]:
    """Sentences that say why the comparison is not fair; none when it is."""
    members = [arm, *controls]
    found = []
    differing = differing_settings([training["settings"] for member in members for training in member.trainings])
    if differing:
        found.append(f"The arms' classifiers differ in {', '.join(differing)}, not only in their images.")
    for member in members:
        if any(training["origin_confound"] for training in member.trainings):
            found.append(f"In {member.arm} a class is told by its origin: it has no real training image, others have.")
    if not found and _uses_synthetic(members) and not members[0].trainings[0]["settings"]["pretrained"]:
        found.append(
            "The generator's base was pretrained on an archive that the classifiers' features have not seen "
            "(pretrained is off), so a gain could come from the archive alone."
        )
    return found


def archive_obstacles(designs: Sequence[ArmDesign]) -> list[str]:
    """Why an arm under the archive budget is not testable: its base has seen images that the classifiers have not."""
    arms = [design.arm for design in designs if design.generator_budget == "archive"]
    return [
        f"Under the archive budget the generator's base of {arm} was pretrained on images that the classifiers' "
        "features have not seen, so a gain could come from the archive alone."
        for arm in arms
    ]


def differing_settings(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the training settings that are not the same in all cells, but for those an arm may choose."""
    names = sorted({name for setting in settings for name in setting} - FREE_SETTINGS)
    return [name for name in names if len({repr(setting.get(name)) for setting in settings}) > 1]


def study_notes(members: Sequence[ArmPredictions]) -> list[str]:
    """What a reader should know beside the verdict: budgets, other archives, large validation sets, few seeds."""
    trainings = [training for member in members for training in member.trainings]
    notes = []
    wider: dict[str, list[str]] = {}
    for member in members:
        training = member.trainings[0]
        if training["strategy"] != "none" and training["generator_budget"] != "strict":
            wider.setdefault(str(training["generator_budget"]), []).append(member.arm)
    for budget, arms in sorted(wider.items()):
        named = ", ".join(dict.fromkeys(arms))
        notes.append(f"Generator budget {budget} ({named}): the generator saw more real images than the arm it helps.")
    models = {str(training["settings"]["model"]) for training in trainings}
    if models - {"embedded:small"} and any(training["strategy"] != "none" for training in trainings):
        notes.append(
            f"The classifiers ({', '.join(sorted(models))}) and the generator's base may have been pretrained on "
            "different archives; a gain over real images can hold a part of that."
        )
    larger = sorted(
        {
            (member.arm, member.training_size)
            for member in members
            for training in member.trainings
            if training["validation_images"] > member.training_size * member.probs.shape[2]
        }
    )
    if larger:
        words = ", ".join(f"{arm} at {size}" for arm, size in larger)
        notes.append(f"More validation than training images: {words}.")
    counts = {len(member.seed_keys) for member in members}
    if len(counts) > 1:
        notes.append(f"Arms have between {min(counts)} and {max(counts)} seeds; comparisons use those in common.")
    return notes


def _uses_synthetic(members: Sequence[ArmPredictions]) -> bool:
    return any(training["strategy"] != "none" for member in members for training in member.trainings)
