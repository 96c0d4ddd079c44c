"""The checks as a stage: planted faults from end to end, resume, determinism, and real images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tenfold.core.errors import DataError
from tenfold.core.executor import ProcessExecutor, SerialExecutor
from tenfold.core.files import read_json
from tenfold.core.hashing import sha256_bytes
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.data.findings import COLUMNS
from tenfold.data.images import encode_png
from tenfold.data.manifest import make_manifest, read_manifest, write_manifest
from tenfold.data.near_duplicates import perceptual_hash
from tenfold.data.splits import seal_split
from tenfold.intake.checks import measures
from tenfold.intake.checks.run import FINDINGS, SUMMARY, run_checks
from tenfold.intake.config import CheckConfig, IntakeConfig, SplitConfig
from tenfold.intake.contents import CheckRow, IntakeFacts
from tenfold.intake.run import run
from tenfold.intake.split import run_split
from tests.unit.intake.checks.made_material import made_facts, made_picture

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"
COUNT = 48
FLIPPED, FIRST, SECOND, BLANK, TINY = 7, 10, 12, 20, 30


def check(workspace: Workspace, executor: SerialExecutor | ProcessExecutor | None = None) -> Result:
    return run_checks(CheckConfig(), workspace, executor or SerialExecutor(), NullProgress())


def facts_of(workspace: Workspace) -> IntakeFacts:
    return IntakeFacts.from_json(read_json(workspace.resolve(SUMMARY)))


def rows_of(workspace: Workspace) -> dict[str, CheckRow]:
    return {row.check: row for row in facts_of(workspace).checks}


def picture(number: int, label: str) -> np.ndarray:
    """Red or blue noise of blobs: classes that any features tell apart."""
    if number == BLANK:
        return np.full((64, 64, 3), 90, dtype=np.uint8)
    gray = made_picture(number if number != SECOND else FIRST, seed=9, side=64).astype(np.float64)
    tint = np.array([1.0, 0.45, 0.4] if label == "red" else [0.4, 0.5, 1.0])
    image = (gray[:, :, None] * tint).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(image[:, ::-1]) if number == SECOND else image


def plant(workspace: Workspace, *, has_facts: bool = True) -> None:
    """Images with one flipped label, one mirrored copy, one blank and one tiny image; red ones are all large."""
    rows = []
    for number in range(COUNT):
        truth = "red" if number % 2 == 0 else "blue"
        label = {"red": "blue", "blue": "red"}[truth] if number == FLIPPED else truth
        image = picture(number, truth)
        png = encode_png(image)
        image_id = f"{number + 0xA000:016x}"
        path = workspace.resolve(f"data/images/{image_id}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png)
        rows.append({
            "image_id": image_id, "path": workspace.relative(path), "label": label, "source": "real",
            "width_px": 64, "height_px": 64, "sha256": sha256_bytes(png), "phash": perceptual_hash(image),
            "patient_id": f"p{number}", "sex": ("m", "f")[number % 3 == 0],
        })  # fmt: skip
    write_manifest(make_manifest(rows), workspace.resolve("data/manifest.parquet"))
    line = "line,path,label,reason,detail\n3,broken.png,red,truncated_image,the file ends early\n"
    workspace.resolve("data/quarantine.csv").write_text(line)
    if has_facts:
        facts = made_facts(COUNT)
        is_red = np.array([row["label"] == "red" for row in rows])
        facts["width_px"] = facts["width_px"].where(~is_red, 2000)
        facts.loc[TINY, "height_px"] = 10
        facts.to_parquet(workspace.resolve("data/file_facts.parquet"))


def test_planted_faults_are_found_from_end_to_end(workspace: Workspace) -> None:
    plant(workspace)
    result = check(workspace)
    facts, rows = facts_of(workspace), rows_of(workspace)
    assert facts.state == "stop" and facts.answer.startswith("No: blue can be told from file facts alone (AUROC ")
    assert result.summary["answer"] == facts.answer and not facts.is_split
    states = {name: (row.state, row.n_flagged) for name, row in rows.items()}
    assert states["confounds"][0] == "stop"
    assert states["blank"] == states["tiny"] == ("look", 1)
    assert states["unreadable"] == ("look", 1) and states["crossing"][0] in ("ok", "look")
    assert (facts.n_rows_in, facts.n_kept, facts.n_quarantined) == (COUNT + 1, COUNT, 1)
    assert [reason.reason for reason in facts.quarantine] == ["truncated_image"]
    table = pd.read_parquet(workspace.resolve(FINDINGS))
    assert tuple(table.columns) == COLUMNS and table["score"].between(0, 1).all()
    flagged = table[table["is_flagged"]].groupby("check")["image_id"].agg(set)
    names = [f"{number + 0xA000:016x}" for number in range(COUNT)]
    assert {names[FIRST], names[SECOND]} <= flagged["duplicates"]
    assert flagged["label_errors"] >= {names[FLIPPED]} and len(flagged["label_errors"]) <= 3
    assert flagged["blank"] == {names[BLANK]} and flagged["tiny"] == {names[TINY]}
    for name in ("blank", "tiny", "huge", "duplicates", "two_labels", "crossing", "outliers"):
        assert (table["check"] == name).sum() == COUNT, "a score for every image"
    assert {suspect.check for suspect in facts.suspects} >= {"blank", "tiny", "label_errors"}
    assert [row.label for row in facts.classes] == ["blue", "red"]
    assert all(len(paths) == 12 for paths in facts.montage.values())
    assert facts.power[0].is_planned and facts.subgroups[0].attribute == "sex"


def test_a_finished_check_is_kept_and_a_split_makes_it_run_again_on_kept_features(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(workspace)
    assert not check(workspace).was_finished
    assert check(workspace).was_finished
    manifest = read_manifest(workspace.resolve("data/manifest.parquet"))
    names = ["train"] * 30 + ["test"] * 18
    seal_split(
        workspace.resolve("data/splits.json"), manifest,
        pd.Series(names, index=manifest["image_id"].astype(str), dtype="string"), seed=1,
    )  # fmt: skip
    monkeypatch.setattr(measures, "_measure", None)
    result = check(workspace)
    assert not result.was_finished and result.summary["is_split"]
    assert facts_of(workspace).classes[0].by_split["test"] == 9
    assert not facts_of(workspace).power[0].is_planned


def test_an_interrupted_measuring_resumes(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(workspace)
    monkeypatch.setattr(measures, "_PART_IMAGES", 20)
    measured: list[str] = []
    whole = measures._measure

    def killed(part: measures._Part) -> int:
        if measured:
            raise KeyboardInterrupt
        measured.append(part.target.name)
        return whole(part)

    monkeypatch.setattr(measures, "_measure", killed)
    with pytest.raises(KeyboardInterrupt):
        check(workspace)
    assert not workspace.resolve(SUMMARY).exists()

    def counted(part: measures._Part) -> int:
        measured.append(part.target.name)
        return whole(part)

    monkeypatch.setattr(measures, "_measure", counted)
    check(workspace)
    assert measured == [f"part_{number:05d}.safetensors" for number in range(3)]


def test_two_workers_find_the_same_bytes(tmp_path: Path, workspace: Workspace) -> None:
    other = Workspace.create(tmp_path / "other", name="test", root_seed=7, data_license="none")
    for place in (workspace, other):
        plant(place)
    check(workspace)
    with ProcessExecutor(2) as executor:
        check(other, executor)
    for name in (FINDINGS, SUMMARY):
        assert workspace.resolve(name).read_bytes() == other.resolve(name).read_bytes()


def test_without_file_facts_the_rest_is_checked_and_it_is_said(workspace: Workspace) -> None:
    plant(workspace, has_facts=False)
    check(workspace)
    facts = facts_of(workspace)
    assert "data/file_facts.parquet is missing" in facts.skipped["Facts of the original files"]
    assert rows_of(workspace)["confounds"].state == "not_checked"
    assert rows_of(workspace)["duplicates"].n_flagged >= 2
    assert facts.state != "ok", "nobody can say yes without the confounds"


def test_a_patient_across_the_sealed_split_stops(workspace: Workspace) -> None:
    plant(workspace, has_facts=False)
    path = workspace.resolve("data/manifest.parquet")
    manifest = read_manifest(path)
    manifest.loc[47, "patient_id"] = "p0"
    write_manifest(manifest, path)
    names = pd.Series(["train"] * 24 + ["test"] * 24, index=manifest["image_id"].astype(str), dtype="string")
    seal_split(workspace.resolve("data/splits.json"), manifest, names, seed=1)
    check(workspace)
    row = rows_of(workspace)["crossing"]
    assert row.state == "stop" and row.n_flagged >= 2 and "patient_id p0" in row.sentence
    assert facts_of(workspace).answer.startswith("No: ")


def test_a_class_too_small_to_split_is_a_finding_and_no_crash(workspace: Workspace) -> None:
    plant(workspace)
    path = workspace.resolve("data/manifest.parquet")
    manifest = read_manifest(path)
    manifest.loc[[40, 41], "label"] = "rare"
    write_manifest(manifest, path)
    check(workspace)
    rows = rows_of(workspace)
    assert rows["class_sizes"].state == rows["power"].state == "stop" and rows["crossing"].state == "not_checked"
    assert "rare" in rows["power"].sentence


def test_missing_images_and_a_missing_manifest_are_told(workspace: Workspace) -> None:
    with pytest.raises(DataError, match=r"manifest\.parquet"):
        check(workspace)
    plant(workspace)
    next(workspace.resolve("data/images").iterdir()).unlink()
    with pytest.raises(DataError, match=r"data/images"):
        check(workspace)


def test_an_image_lost_after_the_check_is_noticed(workspace: Workspace) -> None:
    plant(workspace)
    check(workspace)
    lost = next(iter(sorted(workspace.resolve("data/images").iterdir())))
    lost.unlink()
    with pytest.raises(DataError, match=f"1 images of the manifest are gone(.|\n)*{lost.name}"):
        check(workspace)


def checked_set(workspace: Workspace, source: Path) -> IntakeFacts:
    if not source.exists():
        pytest.skip(f"no real images: {source.name} does not lie beside the checkout")
    run(IntakeConfig(source=str(source)), workspace, SerialExecutor(), NullProgress())
    check(workspace)
    return facts_of(workspace)


@pytest.mark.real_data
def test_covid_from_another_archive_is_flagged(workspace: Workspace) -> None:
    facts = checked_set(workspace, REAL / "cxr_covid" / "metadata.csv")
    flagged = {(row.facts, row.label) for row in facts.confounds if row.is_flagged}
    assert ("attr.source", "covid19") in flagged and ("image size", "covid19") in flagged
    assert facts.state == "stop" and facts.answer.startswith("No: covid19 can be told from ")
    assert not any(label == "pneumonia" for _, label in flagged)
    run_split(SplitConfig(), workspace, SerialExecutor(), NullProgress())
    check(workspace)
    assert rows_of(workspace)["crossing"].state == "ok"


@pytest.mark.real_data
def test_a_class_of_four_cells_says_what_it_allows(workspace: Workspace) -> None:
    facts = checked_set(workspace, REAL / "wbc" / "metadata.csv")
    basophil = next(row for row in facts.classes if row.label == "basophil")
    assert basophil.n_images == 4 and "all or nothing" in basophil.sentence
    assert facts.state == "look"
