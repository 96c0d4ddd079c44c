"""Made-up studies with known answers: arms whose skill is chosen, scored on patients with two images each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

LABELS = ("df", "nevus", "vasc")
PATIENTS = 60
ArmSkills = Mapping[tuple[str, int], float]


def test_images() -> pd.DataFrame:
    """Real test rows: two images a patient, one class a patient, skin types in turn."""
    rows = []
    for patient in range(PATIENTS):
        skin_type = 1 + patient // 3 % 6
        for shot in range(2):
            rows.append(
                {
                    "image_id": f"{patient:04d}{shot:012d}",
                    "label": LABELS[patient % 3],
                    "patient_id": f"p{patient}",
                    "group_id": f"g{patient}",
                    "source": "real",
                    "skin_type": skin_type,
                    "skin_type_group": ("I-II", "III-IV", "V-VI")[(skin_type - 1) // 2],
                    "skin_type_source": "given",
                    "sex": ("f", "m")[patient // 3 % 2],
                }
            )
    return pd.DataFrame(rows)


def training(arm: str, **changes: Any) -> dict[str, Any]:
    """What a cell's training.json holds."""
    counts = dict.fromkeys(LABELS, 8)
    is_synthetic = arm.startswith(("hybrid", "synthetic"))
    return {
        "settings": {
            "model": "embedded:small",
            "pretrained": True,
            "max_train_steps": 10,
            "transforms": arm != "real_only",
        },
        "images_by_origin": {
            "real": {} if arm == "synthetic_only" else counts,
            "extra_real": {},
            "synthetic": dict.fromkeys(LABELS, 80) if is_synthetic else {},
        },
        "real_images_total": 48,
        "validation_images": 24,
        "origin_confound": False,
        "generator_budget": "strict",
        "strategy": "text2img" if is_synthetic else "none",
        **changes,
    }


def predictions(arm: str, size: int, seed_index: int, skill: float) -> pd.DataFrame:
    """A predictions table: the true class's logit stands out by `skill`; patients are hard or easy for all alike."""
    images = test_images()
    truth = images["label"].map({label: number for number, label in enumerate(LABELS)}).to_numpy()
    patients = np.random.default_rng(0).normal(0, 0.5, PATIENTS)[np.arange(len(images)) // 2]
    rng = np.random.default_rng([seed_index, size, sum(map(ord, arm))])
    logits = rng.normal(0, 1, (len(images), 3))
    logits[np.arange(len(images)), truth] += skill + patients + rng.normal(0, 0.05)
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    table = images[["image_id", "patient_id", "group_id", "label"]].assign(
        split="test",
        arm=arm,
        model="embedded:small",
        training_size=size,
        subset_seed=100 + seed_index,
        generator_seed=200 + seed_index,
        classifier_seed=300 + seed_index,
        test_sha256="ab" * 32,
    )
    for number, label in enumerate(LABELS):
        table[f"prob.{label}"] = probs[:, number]
    validation = table.head(6).assign(split="val", image_id=[f"val{n}" for n in range(6)])
    return pd.concat([table, validation], ignore_index=True)


def design(arm: str, **changes: Any) -> dict[str, Any]:
    """What cells.parquet holds of an arm; of a variant such as `hybrid@r25` what its name says."""
    base, *suffixes = arm.split("@")
    is_drawn = base.startswith(("hybrid", "synthetic"))
    row: dict[str, Any] = {
        "base_arm": base, "description": f"made-up {base}", "strategy": "text2img" if is_drawn else "none",
        "synthetic_ratio": 10.0 if is_drawn else 0.0, "synthetic_share": 0.25 if is_drawn else 0.0,
        "transforms": "none" if base == "real_only" else "paper", "generator_budget": "strict",
        "generator": "fine_tuned" if is_drawn else "none", "schedule": "mixed", "weighting": "none",
        "review": "filtered", "balance_by": None, "synthetic_labels": [], "is_origin_balanced": False,
        "is_fresh": base == "fresh_real", "is_duplicated": False,
    }  # fmt: skip
    for suffix in suffixes:
        if suffix[1:].isdigit():
            row["synthetic_ratio"] = float(suffix[1:])
        elif suffix[1:2].isdigit():
            row["synthetic_share"] = float(suffix[1:])
        else:
            row["transforms" if suffix == "strong" else "generator_budget"] = suffix
    return {**row, **changes}


def write_study(
    root: Path, skills: ArmSkills, *, seeds: int = 5, changes: Mapping[str, dict[str, Any]] | None = None
) -> list[tuple[Path, Path]]:
    """Write cells.parquet, every cell's files and the manifest's images; (predictions, training) of every cell."""
    files, cells = [], []
    for (arm, size), skill in skills.items():
        for seed_index in range(seeds):
            cell = f"main-{arm.replace('_', '-').replace('@', '-')}-n{size}-s{seed_index}"
            folder = root / "classifiers" / cell
            folder.mkdir(parents=True)
            predictions(arm, size, seed_index, skill).to_parquet(folder / "predictions.parquet")
            content = training(arm, **(changes or {}).get(arm, {}))
            (folder / "training.json").write_text(json.dumps(content))
            (folder / "run.json").write_text("{}")
            files.append((folder / "predictions.parquet", folder / "training.json"))
            place = {"cell": cell, "arm": arm, "training_size": size, "seed_index": seed_index}
            cells.append(place | design(arm))
    (root / "studies" / "main").mkdir(parents=True)
    pd.DataFrame(cells).to_parquet(root / "studies" / "main" / "cells.parquet")
    return files


FOUR_ARMS: ArmSkills = {
    ("real_only", 8): 0.6,
    ("real_only", 32): 1.2,
    ("real_transforms", 8): 0.9,
    ("real_transforms", 16): 1.3,
    ("real_transforms", 32): 1.8,
    ("real_autoencoder", 8): 0.6,
    ("hybrid", 8): 1.5,
    ("fresh_real", 8): 2.2,
}

AT_EIGHT: ArmSkills = {key: skill for key, skill in FOUR_ARMS.items() if key[1] == 8}
