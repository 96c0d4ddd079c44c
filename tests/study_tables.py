"""Tables of real images that exist nowhere, and studies planned on them."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pandas as pd

from tenfold.data.manifest import make_manifest
from tenfold.studies.design import Design, plan_study
from tenfold.studies.plan import StudyPlan
from tenfold.studies.variants import Dose

ARMS: tuple[str, ...] = (
    "real_only", "real_transforms", "real_autoencoder", "hybrid", "synthetic_only", "fresh_real"
)  # fmt: skip
CURVE: tuple[str, ...] = ("real_only", "real_transforms")


def made_up_table(train: int = 40, validation: int = 12, test: int = 10, labels: tuple[str, ...] = ("a", "b")) -> Any:
    """Real rows with a split; one patient an image. Perceptual hashes lie far apart."""
    rows = []
    for label in labels:
        for split, count in (("train", train), ("val", validation), ("test", test)):
            for index in range(count):
                digest = sha256(f"{label}-{split}-{index}".encode()).hexdigest()
                rows.append(
                    {
                        "image_id": digest[:16],
                        "path": f"data/images/{digest[:16]}.png",
                        "label": label,
                        "source": "real",
                        "split": split,
                        "patient_id": f"p-{digest[:8]}",
                        "width_px": 64,
                        "height_px": 64,
                        "sha256": digest,
                        "phash": digest[16:32],
                    }
                )
    return make_manifest(rows)


def made_up_plan(**changes: Any) -> StudyPlan:
    design: dict[str, Any] = {
        "name": "main",
        "arms": ARMS,
        "curve_arms": CURVE,
        "training_sizes": (4, 8, 16),
        "synthetic_training_sizes": (4,),
        "seeds": 3,
        "dose": Dose(synthetic_ratio=2),
    }
    return plan_study(Design(**{**design, **changes}), made_up_table(), root_seed=7)


def split_of(table: pd.DataFrame) -> dict[str, str]:
    return dict(zip(table["image_id"].astype(str), table["split"].astype(str), strict=True))


def cells_of(plan: StudyPlan) -> dict[str, Any]:
    """By arm, the cells of the first seed."""
    return {cell.arm: cell for cell in plan.cells if cell.seed_index == 0}
