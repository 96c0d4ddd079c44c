"""A made-up finished study in a workspace, for the tests of the report.

This file is long because a finished study has many files, and each test wants all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from tenfold.core.files import write_json_atomic, write_text_atomic
from tenfold.core.hashing import sha256_json
from tenfold.core.seeds import derive_seed, numpy_generator
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import SKIN_TYPE_GROUPS, make_manifest, pack_ancestors, write_manifest
from tenfold.evaluation.contents import (
    ArmSummary,
    Comparison,
    ConfusionMatrix,
    CurvePoint,
    Equivalents,
    Estimate,
    Evaluation,
    OriginRow,
    RocCurve,
    SensitivityWarning,
    SubgroupRow,
    Verdict,
)

LABELS = ("annular_plaque", "pearly_nodule", "scaly_patch")
CONTROLS = ("real_transforms", "real_only", "real_autoencoder")
SIZE = 8
SEEDS = 5
N_TEST, N_PATIENTS = 240, 131
TEST_SHA256 = sha256_json("test")
SET = "main-n8-s0"
METRIC = "macro_auroc"
_LEVELS = {
    "real_only": 0.781,
    "real_transforms": 0.812,
    "real_autoencoder": 0.806,
    "hybrid": 0.816,
    "synthetic_only": 0.702,
    "fresh_real": 0.903,
}


def make_report_workspace(path: Path, evaluation: Evaluation | None = None) -> Workspace:
    """A workspace with everything a report reads, as the stages leave it."""
    workspace = Workspace.create(path, name="made-up", root_seed=7, data_license="CC0 1.0 (made-up images)")
    real = _write_real(workspace)
    train = [image_id for image_id, split in zip(real["image_id"], real["split"], strict=True) if split == "train"]
    guides = sorted(train)[: SIZE * len(LABELS)]
    made = _write_synthetic(workspace, guides)
    for name in (SET, "main-n8-s1"):
        _write_audit(workspace, name, made, guides)
    _write_cells(workspace, guides)
    write_json_atomic(workspace.path / "evaluation/main/evaluation.json", (evaluation or make_evaluation()).to_json())
    write_text_atomic(workspace.path / "recipe.yaml", "name: made-up\nseed: 7\nstudy:\n  seeds: 5\n")
    return workspace


def estimate(value: float, half: float, *, n_images: int = N_TEST, n_patients: int = N_PATIENTS) -> Estimate:
    """A made-up figure with a symmetric interval."""
    return Estimate(
        round(value, 4), round(value - half, 4), round(value + half, 4), n_images, n_patients, SEEDS, "made-up"
    )


def make_evaluation(gain: float = 0.004) -> Evaluation:
    """A made-up evaluation in which the hybrid arm beats `real_transforms` by `gain` AUROC, give or take 0.021."""
    levels = {**_LEVELS, "hybrid": _LEVELS["real_transforms"] + gain}
    comparisons = tuple(_comparisons(levels))
    primary = [row for row in comparisons if row.is_primary]
    harmful = tuple(row.control for row in primary if (row.difference.high or 0) < 0)
    unproven = tuple(row.control for row in primary if (row.difference.low or 0) <= 0 <= (row.difference.high or 0))
    word: Any = "harms" if harmful else "no_evidence" if unproven else "helps"
    return Evaluation(
        study="main",
        labels=LABELS,
        verdict=Verdict(word, "hybrid against real_only.", METRIC, "hybrid", SIZE, CONTROLS, harmful, unproven),
        arms=tuple(_summaries(levels)),
        comparisons=comparisons,
        confusion_matrices=tuple(_confusion(arm, levels[arm]) for arm in ("hybrid", "real_transforms")),
        roc_curves=tuple(_roc(arm, label, levels[arm]) for arm in ("hybrid", "real_transforms") for label in LABELS),
        subgroups=tuple(_subgroups(levels)),
        learning_curve=tuple(_curve(levels)),
        equivalents=(
            Equivalents("fresh_real", "real_transforms", SIZE, METRIC, "21 (14 to 33)", 21.0, 14.0, 33.0),
            Equivalents("hybrid", "real_transforms", SIZE, METRIC, "1 (-3 to 5)", 1.0, -3.0, 5.0),
            Equivalents("synthetic_only", "real_transforms", SIZE, METRIC, "not estimable: flat", None, None, None),
        ),
        origins=tuple(_origins()),
        warnings=(
            SensitivityWarning(
                "hybrid", "real_transforms", SIZE, "scaly_patch", estimate(-0.031, 0.04), estimate(0.012, 0.02),
                "hybrid finds fewer scaly_patch than real_transforms (-3.1 points of sensitivity, interval holds zero) "
                "although its accuracy is higher (+1.2 points).",
            ),
        ),
        n_test_images=N_TEST,
        n_test_patients=N_PATIENTS,
        test_sha256=TEST_SHA256,
        test_reads=41,
        notes=("Fresh real images (headroom) at 8 a class: 4.5 per training image were at hand, not 10.",),
    )  # fmt: skip


def not_testable(evaluation: Evaluation) -> Evaluation:
    """The evaluation without its primary comparisons."""
    verdict = replace(
        evaluation.verdict, word="not_testable", sentence="Not testable: Only 2 seeds were run against real_only.",
        harmful_against=(), unproven_against=(),
    )  # fmt: skip
    others = tuple(row for row in evaluation.comparisons if not row.is_primary)
    return replace(evaluation, verdict=verdict, comparisons=others)


def bare(evaluation: Evaluation) -> Evaluation:
    """The evaluation with nothing but its verdict."""
    return replace(
        not_testable(evaluation), arms=(), comparisons=(), confusion_matrices=(), roc_curves=(), subgroups=(),
        learning_curve=(), equivalents=(), origins=(), warnings=(), notes=(),
    )  # fmt: skip


def _comparisons(levels: dict[str, float]) -> Iterator[Comparison]:
    for control, half in zip(CONTROLS, (0.021, 0.024, 0.019), strict=True):
        yield Comparison(
            "hybrid", control, SIZE, METRIC, estimate(levels["hybrid"] - levels[control], half), 0.41, 0.82, True,
            "primary", 0.031,
        )  # fmt: skip
        for metric in ("accuracy", "brier_score"):
            yield Comparison(
                "hybrid", control, SIZE, metric, estimate(0.012, 0.02), 0.3, 0.6, False, "other metrics", 0.03
            )
    for arm in ("fresh_real", "real_autoencoder", "real_only", "synthetic_only"):
        change = levels[arm] - levels["real_transforms"]
        yield Comparison(
            arm, "real_transforms", SIZE, METRIC, estimate(change, 0.026), 0.0004, 0.0016, False, "other arms", 0.036
        )


def _summaries(levels: dict[str, float]) -> Iterator[ArmSummary]:
    for arm, level in levels.items():
        metrics = {
            METRIC: estimate(level, 0.024),
            "accuracy": estimate(level - 0.17, 0.031),
            "balanced_accuracy": estimate(level - 0.175, 0.03),
            "brier_score": estimate(0.98 - level, 0.03),
            "expected_calibration_error": estimate(0.9 - level, 0.02),
        }
        for place, label in enumerate(LABELS):
            metrics[f"sensitivity.{label}"] = estimate(level - 0.1 - 0.06 * place, 0.05)
            metrics[f"specificity.{label}"] = estimate(level + 0.02 + 0.03 * place, 0.03)
        yield ArmSummary(arm, SIZE, metrics, 27.0 if arm != "fresh_real" else 135.4, SEEDS)


def _curve(levels: dict[str, float]) -> Iterator[CurvePoint]:
    for arm, level in levels.items():
        yield CurvePoint(arm, SIZE, METRIC, estimate(level, 0.024))
    for arm in ("real_only", "real_transforms"):
        for place, size in enumerate((16, 32, 64), 1):
            yield CurvePoint(arm, size, METRIC, estimate(levels[arm] + 0.034 * place, 0.02))


def _confusion(arm: str, level: float) -> ConfusionMatrix:
    per_class = N_TEST * SEEDS // len(LABELS)
    hits = round(per_class * (level - 0.15))
    rest = per_class - hits
    rows = []
    for row in range(len(LABELS)):
        wrong = iter((rest // 3, rest - rest // 3))
        rows.append(tuple(hits if row == column else next(wrong) for column in range(len(LABELS))))
    return ConfusionMatrix(arm, SIZE, LABELS, tuple(rows), N_TEST, N_PATIENTS, SEEDS)


def _roc(arm: str, label: str, level: float) -> RocCurve:
    grid = np.linspace(0, 1, 101)
    curve = grid ** ((1 - level) / level * (1 + 0.2 * LABELS.index(label)))
    return RocCurve(arm, SIZE, label, tuple(grid.round(4)), tuple(curve.round(4)), estimate(level, 0.028))


def _subgroups(levels: dict[str, float]) -> Iterator[SubgroupRow]:
    groups = (("I-II", 0.01, 92, 49), ("III-IV", 0.0, 101, 57), ("V-VI", -0.05, 47, 25))
    for place, (value, shift, images, patients) in enumerate(groups):
        for arm in ("hybrid", *CONTROLS):
            is_arm = arm == "hybrid"
            yield SubgroupRow(
                "skin_type_group", value, arm, SIZE, METRIC,
                estimate(levels[arm] + shift, 0.05, n_images=images, n_patients=patients),
                "real_transforms" if is_arm else None,
                estimate(0.01 * place - 0.01, 0.06, n_images=images, n_patients=patients) if is_arm else None,
                0.08 + 0.03 * place, place == 2, False,
            )  # fmt: skip


def _origins() -> Iterator[OriginRow]:
    for arm in _LEVELS:
        for label in LABELS:
            real = 0.0 if arm == "synthetic_only" else float(SIZE)
            extra = 36.2 if arm == "fresh_real" else 0.0
            made = 80.0 if arm in ("hybrid", "synthetic_only") else 8.0 if arm == "real_autoencoder" else 0.0
            yield OriginRow(arm, SIZE, label, real, extra, made)


def _write_real(workspace: Workspace) -> pd.DataFrame:
    rows, splits = [], {}
    for number in range(90):
        label = LABELS[number % 3]
        image_id = sha256_json(["real", number])[:16]
        path = f"data/images/{image_id}.png"
        skin_type = number // 3 % 6 + 1
        _write_blob(workspace.path / path, label, skin_type, number)
        rows.append({
            "image_id": image_id, "path": path, "label": label, "source": "real", "patient_id": f"p{number // 2}",
            "group_id": f"p{number // 2}", "skin_type": skin_type, "skin_type_group": SKIN_TYPE_GROUPS[skin_type],
            "modality": "phantom", "width_px": 64, "height_px": 64, "sex": "f" if number // 2 % 2 else "m",
        })  # fmt: skip
        splits[image_id] = "train" if number < 60 else "val" if number < 72 else "test"
    manifest = make_manifest(rows)
    write_manifest(manifest, workspace.path / "data/manifest.parquet")
    write_json_atomic(
        workspace.path / "data/splits.json",
        {"seed": 7, "assignments": splits, "test_sha256": TEST_SHA256, "sha256": sha256_json(splits), "counts": {}},
    )
    write_text_atomic(
        workspace.path / "data/quarantine.csv",
        "reason,path,line\nunreadable,/data/someone/images/a.png,4\nexact_duplicate,b.png,9\nunreadable,c.png,\n",
    )
    nouns = {"scaly_patch": "scaly patch of skin"}
    write_run_record(workspace, "intake", "data/intake", {"source": "phantom", "class_nouns": nouns})
    return manifest.assign(split=[splits[image_id] for image_id in manifest["image_id"]])


def _write_synthetic(workspace: Workspace, guides: list[str]) -> list[str]:
    rows = []
    for number in range(30):
        label = LABELS[number % 3]
        image_id = sha256_json(["synthetic", number])[:16]
        path = f"synthetic/{SET}/images/{image_id}.png"
        _write_blob(workspace.path / path, label, number % 6 + 1, 1000 + number)
        rows.append({
            "image_id": image_id, "path": path, "label": label, "source": "synthetic", "strategy": "text2img",
            "prompt": f"a photo of zq{number % 3} lesion, ring-shaped, on dark skin, Fitzpatrick skin type V",
            "ancestors": pack_ancestors(guides), "checkpoint": f"models/{SET}", "width_px": 64, "height_px": 64,
        })  # fmt: skip
    write_manifest(make_manifest(rows), workspace.path / f"synthetic/{SET}/manifest.parquet")
    write_run_record(workspace, "generate", f"synthetic/{SET}", {"name": SET})
    write_manifest(make_manifest(rows[:9]), workspace.path / "synthetic/main-n8-s1/manifest.parquet")
    write_run_record(workspace, "dreambooth", f"models/{SET}", {"name": SET, "training_ids": guides})
    return [str(row["image_id"]) for row in rows]


def _write_audit(workspace: Workspace, name: str, made: list[str], guides: list[str]) -> None:
    """One image is flagged, by its pixels."""
    copy = sorted(made)[0]
    findings = [
        {
            "check": f"memorization.{space}",
            "image_id": image_id,
            "score": 0.99 if image_id == copy and space == "pixels" else 0.3,
            "is_flagged": image_id == copy and space == "pixels",
            "evidence_ids": [guides[(number + (space == "pixels")) % len(guides)]],
            "detail": "made-up",
        }
        for space in ("features", "pixels")
        for number, image_id in enumerate(made)
    ]
    facts = {
        "statistic": "distance to training over distance to unseen images", "n_flagged": 0, "n_null": 48,
        "expected_false_flag_fraction": 0.02, "median": 1.04, "lowest": 0.81, "null_median": 1.02, "null_lowest": 0.6,
        "threshold": 0.66,
    }  # fmt: skip
    figures = [
        {
            "name": name,
            "is_reference": name == "real",
            "n_images": 24,
            "metrics": {
                metric: asdict(estimate(level, 0.1)) for metric in ("precision", "recall", "density", "coverage")
            },
        }
        for name, level in (("synthetic", 0.61), ("real", 0.83))
    ]
    probe = [
        {"label": label, "is_reference": label not in LABELS, "auroc": asdict(estimate(level, 0.07))}
        for label, level in (*((label, 0.86) for label in LABELS), ("real against real", 0.51))
    ]
    summary = {
        "name": name, "synthetic": name, "n_synthetic": len(made), "n_training": len(guides), "n_unseen": 48,
        "n_flagged": 1, "memorization": {"features": facts, "pixels": {**facts, "n_flagged": 1}}, "nearest": [],
        "fidelity": figures, "probe": probe, "notes": [], "missing": {},
    }  # fmt: skip
    write_json_atomic(workspace.path / f"audits/{name}/summary.json", summary)
    pd.DataFrame(findings).to_parquet(workspace.path / f"audits/{name}/findings.parquet", index=False)


def _write_cells(workspace: Workspace, guides: list[str]) -> None:
    rows = []
    for seed_index in range(SEEDS):
        for arm in _LEVELS:
            is_made = arm in ("hybrid", "synthetic_only")
            made_set = SET if seed_index == 0 else "main-n8-s1"
            cell = f"main-{arm.replace('_', '-')}-n8-s{seed_index}"
            rows.append({
                "cell": cell, "study": "main", "arm": arm, "training_size": SIZE, "seed_index": seed_index,
                "subset_seed": derive_seed(7, "subset", seed_index), "generator_seed": derive_seed(7, "g", seed_index),
                "classifier_seed": derive_seed(7, "c", seed_index), "train_ids": guides, "validation_ids": guides[:6],
                "extra_ids": [], "synthetic_sets": [made_set] if is_made else [],
                "synthetic_ratio": 10.0 * is_made,
                "synthetic_share": {"hybrid": 0.25, "synthetic_only": 1.0}.get(arm, 0.0),
                "strategy": "text2img" if is_made else "none",
            })  # fmt: skip
            settings = {"max_train_steps": 300, "batch_size": 32, "model": "embedded:small", "pretrained": True}
            write_run_record(workspace, "train", f"classifiers/{cell}", settings)
    path = workspace.path / "studies/main/cells.parquet"
    path.parent.mkdir(parents=True)
    pd.DataFrame(rows).to_parquet(path, index=False)
    write_run_record(workspace, "study", "studies/main", {"name": "main", "generator_budget": "strict"})


def write_run_record(workspace: Workspace, stage: str, folder: str, config: dict[str, Any]) -> None:
    """A finished stage's record with made-up times."""
    number = int(sha256_json([stage, folder])[:6], 16)
    write_json_atomic(
        workspace.path / folder / "run.json",
        {
            "stage": stage, "config": config, "seed": 7, "fingerprint": "made-up", "inputs": {}, "outputs": {},
            "summary": {}, "environment": {"python": "3.11", "torch": "2.14", "device": "cpu", "commit": None},
            "started_at": f"2026-01-01T10:{number % 60:02d}:00Z", "finished_at": "2026-01-01T11:00:00Z",
            "seconds": number % 1000 / 10, "peak_memory_bytes": 400 * 2**20 + number, "tenfold_version": "0.1.0",
        },
    )  # fmt: skip


def _write_blob(path: Path, label: str, skin_type: int, number: int) -> None:
    """A round spot on skin, told apart by its shape."""
    generator = numpy_generator(derive_seed(0, "blob", number))
    tone = np.array([236, 196, 170]) * (1.05 - 0.13 * skin_type)
    y, x = np.mgrid[:64, :64]
    center = generator.uniform(24, 40, 2)
    distance = np.hypot(y - center[0], x - center[1]) / generator.uniform(12, 20)
    spot = {"annular_plaque": np.exp(-((distance - 1) ** 2) * 12), "pearly_nodule": np.exp(-(distance**2) * 1.5)}
    weight = spot.get(label, (distance < 1) * (0.5 + 0.5 * np.sin(x / 2 + y / 3)))[..., None]
    image = tone * (1 - 0.6 * weight) + np.array([150, 60, 60]) * 0.6 * weight + generator.normal(0, 4, (64, 64, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(path)
