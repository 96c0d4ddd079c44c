"""A workspace with a finished synthetic set whose images can be reviewed, and judgements made up for tests."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from tenfold.core.files import write_json_atomic
from tenfold.core.hashing import sha256_bytes
from tenfold.core.workspace import Workspace
from tenfold.data.images import encode_png
from tenfold.data.manifest import make_manifest, pack_ancestors, read_manifest, write_manifest
from tenfold.review.records import Decision, Item, Judgement, Kind, Slot, Verdict
from tenfold.review.store import DATABASE, Store
from tests.tiny_data import LABELS, ids_of, make_tiny_workspace

_numbers = itertools.count(1)


def make_review_workspace(path: Path, *, sets: Mapping[str, int] | None = None, size_px: int = 32) -> Workspace:
    """A tiny workspace of real images with these synthetic sets (name: images a class), drawn to their end."""
    workspace = make_tiny_workspace(path, image_size_px=size_px)
    for name, count in (sets or {"drawn": 6}).items():
        add_set(workspace, name, count, size_px=size_px)
    return workspace


def add_set(workspace: Workspace, name: str, per_class: int, *, size_px: int = 32) -> None:
    """A finished set of noise; the last image of each class is quarantined, besides `per_class` others."""
    rows = []
    for label_number, label in enumerate(LABELS):
        for number in range(per_class + 1):
            generator = np.random.default_rng([len(rows), *name.encode()])
            data = encode_png(generator.integers(0, 255, (size_px, size_px, 3)).astype(np.uint8))
            image_id = sha256_bytes(data)[:16]
            place = workspace.path / "synthetic" / name / "images" / f"{image_id}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            rows.append({
                "image_id": image_id, "path": workspace.relative(place), "label": label, "source": "synthetic",
                "split": "train", "strategy": "text2img", "prompt": f"a {('dim', 'bright')[number % 2]} {label}",
                "skin_type": 1 + 2 * (number % 3), "skin_type_group": ("I-II", "III-IV", "V-VI")[number % 3],
                "severity": ("mild", "severe")[label_number], "width_px": size_px, "height_px": size_px,
                "sha256": sha256_bytes(data), "ancestors": pack_ancestors(ids_of(workspace, "train")),
                "review": "unreviewed", "modality": "photo",
                "quarantine_reason": "screening: flat" if number == per_class else None,
            })  # fmt: skip
    folder = workspace.path / "synthetic" / name
    write_manifest(make_manifest(rows), folder / "manifest.parquet")
    write_json_atomic(folder / "run.json", {"outputs": {}})


def usable_ids(workspace: Workspace, name: str = "drawn") -> list[str]:
    """Ids of a set's images that are not quarantined, sorted."""
    rows = read_manifest(workspace.path / "synthetic" / name / "manifest.parquet")
    return sorted(rows.loc[rows["quarantine_reason"].isna(), "image_id"].astype(str))


def judgement(
    image_id: str, verdict: Verdict = "accept", reviewer: str = "ann", kind: Kind = "first", **fields: Any
) -> Judgement:
    """A judgement that came after all made before it; fields not given are empty."""
    number = next(_numbers)
    given = {
        "role": "adjudicator" if kind == "adjudication" else "reviewer", "position": number, "reasons": (),
        "answers": {}, "comment": "", "seconds": 4.0, "client_time": None, "undoes": None,
        "server_time": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number), **fields,
    }  # fmt: skip
    return Judgement(
        number=number, client_id=f"client-{number}", reviewer=reviewer, image_id=image_id, kind=kind, verdict=verdict,
        **given,
    )  # fmt: skip


def made_up_items(count: int, *, source: str = "synthetic", labels: Sequence[str] = LABELS) -> list[Item]:
    """Items without files; classes take turns."""
    start = 0 if source == "synthetic" else 10_000
    return [
        Item(
            image_id=f"{start + n:016x}", path=f"{n}.png", sha256=f"{n:064x}", label=labels[n % len(labels)],
            source="synthetic" if source == "synthetic" else "real", set="drawn" if source == "synthetic" else "",
            strategy="text2img" if source == "synthetic" else None,
            prompt=f"prompt {n % 3}" if source == "synthetic" else None,
            skin_type=1 + n % 6, severity=("mild", "severe")[n // 2 % 2],
        )
        for n in range(count)
    ]  # fmt: skip


def judge_all(workspace: Workspace, reviewer_id: int, verdicts: Mapping[str, Verdict] | None = None) -> int:
    """Decide a reviewer's whole queue: accept what `verdicts` (by image id) does not name; how many were decided."""
    with Store.open(workspace.resolve(DATABASE)) as store:
        slots: list[Slot] = store.queue(reviewer_id, 0, store.progress(reviewer_id).total)
        for slot in slots:
            image_id = store.serve(reviewer_id, slot.opaque).image_id
            verdict = (verdicts or {}).get(image_id, "accept")
            client_id = f"test-{reviewer_id}-{slot.opaque}-{next(_numbers)}"
            store.add_decision(reviewer_id, Decision(client_id, slot.opaque, verdict, seconds=3.0))
        return len(slots)
