"""A made-up review to look at: phantom images taken for real and for generated, judged by people who are made up too.

For scripts/review_pictures.py. Phantom images are drawings: no patient's photograph is among them.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from tenfold.core.files import write_json_atomic
from tenfold.core.hashing import sha256_bytes
from tenfold.core.seeds import derive_seed, numpy_generator
from tenfold.core.workspace import Workspace
from tenfold.data.findings import Finding, findings_table
from tenfold.data.images import encode_png
from tenfold.data.manifest import make_manifest, pack_ancestors, write_manifest
from tenfold.data.phantom import PhantomImage, make_cohort
from tenfold.data.phantom_conditions import CONDITIONS
from tenfold.data.splits import seal_split
from tenfold.recipes.reviewing import order_review
from tenfold.review.records import Decision, Item, Role, Verdict
from tenfold.review.rubric import DEFAULT_RUBRIC
from tenfold.review.run import begin_review
from tenfold.review.store import DATABASE, Store

PEOPLE: dict[str, Role] = {"Dr Rao": "reviewer", "Dr Okafor": "reviewer", "Prof Lind": "adjudicator", "Lead": "lead"}
SIDE_PX = 256
LABELS = ("annulosis", "satellosis", "targetosis", "umbilicosis")
LEVELS = ("mild", "moderate", "severe")
N_REAL, N_SYNTHETIC = 10, 20
FLAGGED_FROM = 0.88


def make_review(folder: Path, rubric: Path) -> None:
    """A workspace of phantom images, taken for real and for generated, judged by two reviewers and an adjudicator."""
    workspace = Workspace.create(folder, name="phantom", root_seed=5, data_license="CC0, drawn by Tenfold")
    asked = yaml.safe_load((resources.files("tenfold.review") / DEFAULT_RUBRIC).read_text(encoding="utf-8"))
    asked["classes"] = {label: {"text": CONDITIONS[label].description.capitalize() + "."} for label in LABELS}
    rubric.write_text(yaml.safe_dump(asked, sort_keys=False), encoding="utf-8")
    real = _add_real(workspace)
    _add_synthetic(workspace, real)
    wanted = [
        "consensus=adjudicated", "overlap_fraction=1", "repeat_fraction=0.08", f"rubric={rubric}", "targets.total=70",
        "targets.per_severity=20", "targets.per_skin_type=20", "real_fraction=0.2",
        f"targets.per_class={json.dumps(dict.fromkeys(LABELS, 16))}",
    ]  # fmt: skip
    with begin_review(order_review(folder, wanted).config, workspace) as store:
        for name, role in PEOPLE.items():
            store.invite(name, role)
    _judge(workspace, "Dr Rao", 0.72, leniency=0.78)
    _judge(workspace, "Dr Okafor", 1.0, leniency=0.86)
    _adjudicate(workspace)


def _add_real(workspace: Workspace) -> list[dict[str, object]]:
    photographs = make_cohort(dict.fromkeys(LABELS, N_REAL), seed=5, image_size_px=SIDE_PX, name="clinic")
    rows = [_row(workspace, "data/images", one) for one in photographs]
    for row, one in zip(rows, photographs, strict=True):
        row.update(source="real", patient_id=one.patient_id, skin_type_source="given", site=one.site)
    manifest = make_manifest(rows)
    write_manifest(manifest, workspace.path / "data/manifest.parquet")
    patients = sorted({str(row["patient_id"]) for row in rows})
    splits = {str(row["image_id"]): "test" if row["patient_id"] in patients[::7] else "train" for row in rows}
    seal_split(workspace.path / "data/splits.json", manifest, pd.Series(splits), seed=0)
    return [row for row in rows if splits[str(row["image_id"])] == "train"]


def _add_synthetic(workspace: Workspace, real: list[dict[str, object]]) -> None:
    """Two sets: drawn from prompts, and from parents; of some an audit found the nearest training images."""
    photographs = make_cohort(dict.fromkeys(LABELS, N_SYNTHETIC), seed=6, image_size_px=SIDE_PX, name="drawn")
    findings = []
    rows: dict[str, list[dict[str, object]]] = {"drawn": [], "varied": []}
    for number, one in enumerate(photographs):
        name = "varied" if number % 4 == 3 else "drawn"
        row = _row(workspace, f"synthetic/{name}/images", one)
        alike = [other for other in real if other["label"] == one.label]
        generator = numpy_generator(derive_seed(5, "review-pictures", number))
        near = [alike[k] for k in generator.permutation(len(alike))[:4]]
        row.update(
            source="synthetic", split="train", review="unreviewed", seed=number, ancestors=pack_ancestors(()),
            strategy="img2img" if name == "varied" else "text2img", prompt=f"{row['severity']} {one.label}",
            parent_id=near[0]["image_id"] if name == "varied" else None,
        )  # fmt: skip
        rows[name].append(row)
        for rank, other in enumerate(near[1:]):
            score = round(float(generator.uniform(0.7, 0.97)) - 0.12 * rank, 3)
            check = ("memorization", "prompt_fit", "near_duplicate")[rank]
            near_by, is_flagged = (str(other["image_id"]),), score > FLAGGED_FROM
            detail = "nearer than training images are to each other" if is_flagged else ""
            findings.append(Finding(check, str(row["image_id"]), score, is_flagged, near_by, detail))
    for name, own in rows.items():
        write_manifest(make_manifest(own), workspace.path / f"synthetic/{name}/manifest.parquet")
        write_json_atomic(workspace.path / f"synthetic/{name}/run.json", {"stage": "generate"})
    place = workspace.path / "audits/drawn/findings.parquet"
    place.parent.mkdir(parents=True)
    findings_table(findings).to_parquet(place)


def _row(workspace: Workspace, place: str, one: PhantomImage) -> dict[str, object]:
    data = encode_png(one.image)
    image_id = sha256_bytes(data)[:16]
    path = workspace.path / place / f"{image_id}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return {
        "image_id": image_id, "path": workspace.relative(path), "label": one.label, "skin_type": one.skin_type,
        "severity": LEVELS[min(one.severity, len(LEVELS)) - 1], "width_px": SIDE_PX, "height_px": SIDE_PX,
        "sha256": sha256_bytes(data), "modality": "photo",
    }  # fmt: skip


class _Clock:
    """A clock that goes on by the seconds of each judgement."""

    def __init__(self, minutes_ago: float) -> None:
        self.now = datetime.now(UTC) - timedelta(minutes=minutes_ago)

    def __call__(self) -> datetime:
        return self.now


def _judge(workspace: Workspace, name: str, share: float, *, leniency: float) -> None:
    clock = _Clock(minutes_ago=90)
    reasons = ("hallucinated_feature", "unrealistic_texture", "wrong_severity", "poor_quality", "unrealistic_color")
    with Store.open(workspace.path / DATABASE, clock) as store:
        reviewer = next(one for one in store.reviewers() if one.name == name)
        slots = store.queue(reviewer.id, 0, store.progress(reviewer.id).total)
        for slot in slots[: round(share * len(slots))]:
            item = store.serve(reviewer.id, slot.opaque)
            shared = numpy_generator(derive_seed(7, "image", item.image_id))
            generator = numpy_generator(derive_seed(7, name, slot.opaque))
            is_good = shared.random() < (0.97 if item.source == "real" else leniency)
            verdict: Verdict = "accept" if is_good != (generator.random() < 0.06) else "reject"
            seconds = round(float(generator.gamma(4, 1.6)), 1)
            clock.now += timedelta(seconds=seconds)
            why = (reasons[int(shared.integers(len(reasons)))],) if verdict == "reject" else ()
            answers, client_id = _answers(item, generator), f"{reviewer.id}-{slot.opaque}"
            store.add_decision(reviewer.id, Decision(client_id, slot.opaque, verdict, why, answers, seconds=seconds))


def _answers(item: Item, generator: np.random.Generator) -> dict[str, object]:
    is_told = generator.random() < 0.6
    return {
        "accurate": bool(generator.random() < 0.85), "realism": int(generator.integers(2, 6)), "condition": item.label,
        "origin": "generated" if (item.source == "synthetic") == is_told else "real",
    }  # fmt: skip


def _adjudicate(workspace: Workspace) -> None:
    with Store.open(workspace.path / DATABASE) as store:
        store.plan_adjudication()
        judge = next(one for one in store.reviewers() if one.role == "adjudicator")
        slot = store.queue(judge.id, 0, 1, "adjudication")[0]
        store.serve(judge.id, slot.opaque)
        store.add_decision(judge.id, Decision("first-of-the-adjudicator", slot.opaque, "accept", seconds=9.0))
