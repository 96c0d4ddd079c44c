"""Made-up tables of predictions and their manifest, as anybody might bring them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tenfold.core.seeds import derive_seed, numpy_generator

LABELS = ("melanoma", "nevus", "psoriasis")


def make_manifest_table(patients: int = 90, *, images_each: int = 2, validation: int = 30) -> pd.DataFrame:
    """Images of test patients, then of validation patients; labels by turns, all images of a patient alike."""
    generator = numpy_generator(derive_seed(3, "manifest"))
    rows = []
    for patient in range(patients + validation):
        for image in range(images_each):
            rows.append({
                "image_id": f"im{patient:04d}_{image}",
                "label": LABELS[patient % len(LABELS)],
                "patient_id": f"p{patient:04d}",
                "split": "test" if patient < patients else "val",
                "sex": ("female", "male")[int(generator.integers(2))],
                "skin_type_group": "V-VI" if patient in (0, 1, 2) else ("I-II", "III-IV")[patient // 3 % 2],
                "age": int(generator.integers(18, 90)),
                "hospital": ("north", "south")[patient // 5 % 2],
            })  # fmt: skip
    return pd.DataFrame(rows)


def make_predictions(
    manifest: pd.DataFrame, skill: float = 1.5, *, seed: int = 0, overconfidence: float = 1.0
) -> pd.DataFrame:
    """Logits that favor the true class by `skill`, and their probabilities; `seed` is the run."""
    generator = numpy_generator(derive_seed(seed, "predictions"))
    truth = np.array([LABELS.index(label) for label in manifest["label"]])
    patients = manifest["patient_id"].unique()
    hardness = dict(zip(patients, generator.normal(size=len(patients)), strict=True))
    logits = generator.normal(size=(len(truth), len(LABELS)))
    logits[np.arange(len(truth)), truth] += skill + 0.7 * np.array([hardness[name] for name in manifest["patient_id"]])
    logits *= overconfidence
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    table = manifest[["image_id", "label", "split"]].reset_index(drop=True)
    for index, label in enumerate(LABELS):
        table[f"prob.{label}"] = probs[:, index]
        table[f"logit.{label}"] = logits[:, index]
    return table


def write_files(folder: Path) -> tuple[list[Path], Path]:
    """Two models with three runs each as CSV (`ours`, the better one, and `theirs`), and their manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = make_manifest_table()
    path = folder / "images.csv"
    manifest.to_csv(path, index=False)
    files = []
    for name, skill in (("ours", 1.8), ("theirs", 1.0)):
        runs = [
            make_predictions(manifest, skill, seed=run, overconfidence=2.5).assign(classifier_seed=run)
            for run in range(3)
        ]
        files.append(folder / f"{name}.csv")
        pd.concat(runs).to_csv(files[-1], index=False)
    return files, path
