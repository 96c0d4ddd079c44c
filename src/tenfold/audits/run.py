"""The audit stage: copies, variety and telltale differences of one synthetic set.

summary.json: `name`, `synthetic`, `n_synthetic`, `n_training`, `n_unseen`, `n_flagged` (images flagged in either
space), `memorization` {features, pixels: facts}, `nearest` [{image_id, nearest_id, feature_distance, pixel_distance,
is_flagged, detail}] for every image, `fidelity` [{name, is_reference, n_images, metrics}], `probe` [{label,
is_reference, auroc}], `notes`, and `missing` {part: why}. Figures have the fields of the evaluation's estimates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tenfold.audits.config import AuditConfig
from tenfold.audits.fidelity import LabeledFeatures, fidelity_rows
from tenfold.audits.probe import probe_rows
from tenfold.core.errors import DataError
from tenfold.core.executor import Executor
from tenfold.core.files import write_atomic, write_json_atomic
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, begin_stage
from tenfold.core.seeds import derive_seed, numpy_generator
from tenfold.core.workspace import Workspace
from tenfold.data.datasets import check_one_codec, label_indices, load_images
from tenfold.data.findings import Finding, findings_table, flagged_ids
from tenfold.data.manifest import labels_of, read_manifest, select_images, unpack_ancestors
from tenfold.data.splits import group_keys, read_sealed_split, with_split
from tenfold.metrics.arrays import FloatArray, IntArray
from tenfold.metrics.memorization import Memorization, Points, memorization, pixel_points
from tenfold.models import embedded
from tenfold.models.features import extract_features

STAGE = "audit"
MANIFEST, SPLIT = "data/manifest.parquet", "data/splits.json"


@dataclass(frozen=True)
class _Images:
    """Rows with their pixels, features (N, D) and group codes (N,)."""

    rows: pd.DataFrame
    pixels: np.ndarray[Any, np.dtype[np.uint8]]
    features: FloatArray
    groups: IntArray

    def in_features(self) -> Points:
        return Points(self.features[None], self._ids(), self.groups)

    def in_pixels(self) -> Points:
        return pixel_points(self.pixels, self._ids(), self.groups)

    def labeled(self, labels: Sequence[str]) -> LabeledFeatures:
        return LabeledFeatures(self.features, label_indices(self.rows, labels), self.groups)

    def _ids(self) -> tuple[str, ...]:
        return tuple(str(image_id) for image_id in self.rows["image_id"])


def audit_inputs(config: AuditConfig, workspace: Workspace) -> list[Path]:
    """The files that the audit reads."""
    synthetic = workspace.resolve(f"synthetic/{config.synthetic}/manifest.parquet")
    return [workspace.resolve(MANIFEST), workspace.resolve(SPLIT), synthetic, embedded.features_path()]


def run(config: AuditConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Write audits/<name>/findings.parquet and summary.json.

    Test images are never looked at: the unseen real images are those of the training and validation split that share
    no group with the generator's.

    Raises:
        DataError: the set has no images, or its training images are neither given nor named by it.
    """
    inputs = audit_inputs(config, workspace)
    manifest_path, split_path, synthetic_path, _ = inputs
    stage = begin_stage(workspace, STAGE, f"audits/{config.name}", config, inputs, seed=config.seed)
    if stage.is_finished:
        return stage.result()
    rows = read_manifest(synthetic_path)
    real = with_split(read_manifest(manifest_path), read_sealed_split(split_path))
    check_one_codec(real, rows)
    with progress.task(f"Auditing {config.synthetic}", 4) as task:
        synthetic, training, unseen = _load(workspace, rows, real, config.training_ids)
        task.advance()
        findings, copies = _memorization(synthetic, training, unseen, config)
        task.advance()
        likeness = _likeness(synthetic, training, unseen, config)
        task.advance(2)
    content = {
        "name": config.name,
        "synthetic": config.synthetic,
        "n_synthetic": len(synthetic.rows),
        "n_training": len(training.rows),
        "n_unseen": len(unseen.rows),
        "n_flagged": len(flagged_ids(findings)) if findings else None,
        **likeness,
        **copies,
        "missing": {**copies["missing"], **likeness["missing"]},
    }
    findings_path, summary_path = stage.folder / "findings.parquet", stage.folder / "summary.json"
    with write_atomic(findings_path) as temporary:
        findings_table(findings).to_parquet(temporary, index=False)
    write_json_atomic(summary_path, content)
    shown = {name: content[name] for name in ("name", "n_synthetic", "n_training", "n_unseen", "n_flagged")}
    return stage.finish([findings_path, summary_path], shown)


def _load(
    workspace: Workspace, rows: pd.DataFrame, real: pd.DataFrame, training_ids: Sequence[str]
) -> tuple[_Images, _Images, _Images]:
    """Synthetic, training and unseen real images; a synthetic image is a group of its own."""
    rows = rows[rows["quarantine_reason"].isna()].reset_index(drop=True)
    if rows.empty:
        raise DataError("the synthetic set has no images", todo="generate it first")
    ids = list(training_ids) or sorted({i for cell in rows["ancestors"].dropna() for i in unpack_ancestors(cell) or ()})
    if not ids:
        raise DataError(
            "the images that the generator was fitted on are not known",
            expected="training_ids, or ancestors in the synthetic manifest",
        )
    keys = pd.Series(pd.factorize(group_keys(real))[0], index=real["image_id"].astype(str))
    training_rows = select_images(real, ids)
    seen = set(keys.loc[ids])
    is_unseen = real["split"].isin(["train", "val"]) & real["label"].isin(labels_of(rows))
    unseen_rows = real[is_unseen & ~keys.isin(seen).to_numpy()].reset_index(drop=True)
    own_groups = np.arange(len(keys), len(keys) + len(rows), dtype=np.int64)
    return (
        _images(workspace, rows, own_groups),
        _images(workspace, training_rows, keys.loc[ids].to_numpy(dtype=np.int64)),
        _images(workspace, unseen_rows, keys.loc[unseen_rows["image_id"].astype(str)].to_numpy(dtype=np.int64)),
    )


def _images(workspace: Workspace, rows: pd.DataFrame, groups: IntArray) -> _Images:
    pixels = load_images(workspace, rows)
    return _Images(rows, pixels, extract_features(pixels).astype(np.float64), groups)


def _memorization(
    synthetic: _Images, training: _Images, unseen: _Images, config: AuditConfig
) -> tuple[list[Finding], dict[str, Any]]:
    spaces = {
        "features": (synthetic.in_features(), training.in_features(), unseen.in_features()),
        "pixels": (synthetic.in_pixels(), training.in_pixels(), unseen.in_pixels()),
    }
    found = [
        result
        for space, points in spaces.items()
        if (result := memorization(space, *points, false_flag_fraction=config.false_flag_fraction)) is not None
    ]
    ids = [str(image_id) for image_id in synthetic.rows["image_id"]]
    findings = [finding for result in found for finding in _findings(result, ids)]
    if len(found) < len(spaces):
        reason = "too few real images of several patients to calibrate a threshold with"
        return [], {"memorization": {}, "nearest": [], "missing": {"memorization": reason}}
    facts = {result.space: result.summary() for result in found}
    return findings, {"memorization": facts, "nearest": _nearest_pairs(ids, found, findings), "missing": {}}


def _findings(result: Memorization, image_ids: Sequence[str]) -> list[Finding]:
    """One finding per synthetic image; its score is 1 - p."""
    among = f"among {len(result.null)} real images"
    return [
        Finding(
            check=f"memorization.{result.space}",
            image_id=image_id,
            score=float(1 - result.p_values[n]),
            is_flagged=bool(result.is_flagged[n]),
            evidence_ids=(result.nearest_ids[n],),
            detail=f"{result.kind} {result.statistics[n]:.3f}, p {result.p_values[n]:.3f} {among}",
        )
        for n, image_id in enumerate(image_ids)
    ]


def _nearest_pairs(
    ids: Sequence[str], found: Sequence[Memorization], findings: Sequence[Finding]
) -> list[dict[str, Any]]:
    """Every synthetic image with its nearest training image, by features and by pixels."""
    flagged = flagged_ids(findings)
    by_features, by_pixels = found
    return [
        {
            "image_id": image_id,
            "nearest_id": by_features.nearest_ids[n],
            "nearest_by_pixels_id": by_pixels.nearest_ids[n],
            "feature_distance": float(by_features.distances[n]),
            "pixel_distance": float(by_pixels.distances[n]),
            "is_flagged": image_id in flagged,
            "detail": findings[n].detail,
        }
        for n, image_id in enumerate(ids)
    ]


def _likeness(synthetic: _Images, training: _Images, unseen: _Images, config: AuditConfig) -> dict[str, Any]:
    """Fidelity against unseen images; the probe against all real images that are not for testing."""
    labels = labels_of(synthetic.rows)
    made, other = synthetic.labeled(labels), unseen.labeled(labels)
    own = training.labeled(labels)
    real = LabeledFeatures(*(np.concatenate(pair) for pair in zip(_fields(own), _fields(other), strict=True)))
    rows, reason = fidelity_rows(
        made, other, k=config.neighbors, resamples=config.resamples, generator=_generator(config, "fidelity")
    )
    probed, notes = probe_rows(real, made, labels, resamples=config.resamples, generator=_generator(config, "probe"))
    return {
        "fidelity": [
            {
                "name": row.name,
                "is_reference": row.is_reference,
                "n_images": row.n_images,
                "metrics": {name: estimate.to_json() for name, estimate in row.metrics.items()},
            }
            for row in rows
        ],
        "probe": [
            {"label": row.label, "is_reference": row.is_reference, "auroc": row.auroc.to_json()} for row in probed
        ],
        "notes": notes,
        "missing": {"fidelity": reason} if reason else {},
    }


def _fields(images: LabeledFeatures) -> tuple[Any, Any, Any]:
    return images.features, images.labels, images.groups


def _generator(config: AuditConfig, purpose: str) -> np.random.Generator:
    return numpy_generator(derive_seed(config.seed, "audit", config.name, purpose))
