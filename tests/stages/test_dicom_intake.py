"""A DICOM export through the intake stage: every row accounted for, frames apart, and no person in the workspace."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydicom.uid import JPEGLSLossless

from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.data.dicom_pixels import decode_dicom
from tenfold.data.images import decode_image, resize_and_crop
from tenfold.data.manifest import manifest_rows, read_manifest
from tenfold.intake.config import DicomConfig, IntakeConfig
from tenfold.intake.run import run
from tests.dicom_files import (
    ROOT_UID,
    SECRETS,
    clip_of,
    compressed_as,
    gray_ramp,
    in_series,
    make_dicom,
    slice_of,
    write_dicom,
)


class Log(NullProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, message: str) -> None:
        self.lines.append(message)


def export(root: Path) -> Path:
    """Two classes of four patients: a CT series of three slices each, and in one class an ultrasound clip."""
    number = 0
    for label in ("sick", "well"):
        for patient in range(1, 5):
            for place in range(1, 4):
                number += 1
                dataset = slice_of(f"PAT{label}{patient}", place, 3)
                pixels = np.random.default_rng(number).integers(0, 2000, (24, 32)).astype(np.int16)
                dataset.PixelData = pixels.tobytes()
                write_dicom(root / label / f"DOE_{patient}" / f"{dataset.SOPInstanceUID}.dcm", dataset)
    write_dicom(root / "sick" / "DOE_clip.dcm", clip_of("PATclip"))
    return root


def intake(workspace: Workspace, source: Path, log: Log | None = None, **changes: Any) -> Result:
    config = IntakeConfig(source=str(source), image_size_px=24, data_license="none", **changes)
    return run(config, workspace, SerialExecutor(), log or Log())


def rows_of(workspace: Workspace) -> list[dict[str, Any]]:
    return list(manifest_rows(read_manifest(workspace.resolve("data/manifest.parquet"))))


def test_slices_and_frames_are_imported_and_every_row_is_accounted_for(workspace: Workspace, tmp_path: Path) -> None:
    source, log = export(tmp_path / "export"), Log()
    result = intake(workspace, source, log, dicom=DicomConfig(frames="all"))
    rows = rows_of(workspace)
    assert Counter(row["label"] for row in rows) == {"sick": 4 + 6, "well": 4}
    assert result.summary["rows_in"] == len(rows) + result.summary["quarantined"] == 24 + 6
    assert result.summary["quarantine_reasons"] == {"not_chosen": 16}
    assert len({row["image_id"] for row in rows}) == len(rows)
    clip = [row for row in rows if row["attr.frame"]]
    assert [row["attr.frame"] for row in clip] == [f"{frame} of 6" for frame in range(1, 7)]
    assert len({row["group_id"] for row in clip}) == len({row["patient_id"] for row in clip}) == 1
    assert any("kept" in line and "quarantined" in line for line in log.lines)


def test_the_canonical_image_is_the_decoded_slice(workspace: Workspace, tmp_path: Path) -> None:
    source = export(tmp_path / "export")
    intake(workspace, source)
    pictures = [
        resize_and_crop(decode_dicom(path), 24) for path in sorted(source.rglob("*.dcm")) if path.name != "DOE_clip.dcm"
    ]
    for row in rows_of(workspace):
        if row["modality"] == "CT":
            image = decode_image(workspace.resolve(row["path"]))
            assert any((image == picture).all() for picture in pictures)


def test_files_that_cannot_be_decoded_are_quarantined_with_their_words(workspace: Workspace, tmp_path: Path) -> None:
    source = export(tmp_path / "export")
    bad = {
        "nan": make_dicom(np.full((8, 8), np.nan, np.float32), "DX"),
        "constant": make_dicom(np.full((8, 8), 7, np.uint16), "DX"),
        "nothing": make_dicom(gray_ramp().astype(np.uint16), "DX", PixelData=None),
        "packed": compressed_as(JPEGLSLossless),
    }
    for number, (name, dataset) in enumerate(bad.items(), 1):
        write_dicom(source / "well" / f"{name}.dcm", in_series(dataset, f"PATbad{number}", 1, 1))
    cut = write_dicom(source / "well" / "cut.dcm", in_series(make_dicom(gray_ramp().astype(np.uint16)), "PATcut", 1, 1))
    cut.write_bytes(cut.read_bytes()[:-400])
    result = intake(workspace, source)
    quarantine = pd.read_csv(workspace.resolve("data/quarantine.csv"))
    reasons = Counter(quarantine["reason"])
    wanted = ("not_finite", "constant_image", "missing_pixel_data", "unsupported_compression", "damaged_image")
    assert {reason: reasons[reason] for reason in wanted} == dict.fromkeys(wanted, 1)
    assert quarantine["detail"].str.contains('pip install "tenfold[dicom]"', regex=False).sum() == 1
    assert result.summary["rows_in"] == result.summary["kept"] + result.summary["quarantined"] == 25 + 5


def test_slices_left_out_on_purpose_do_not_stop_a_strict_import(workspace: Workspace, tmp_path: Path) -> None:
    assert intake(workspace, export(tmp_path / "export"), is_strict=True).summary["kept"] == 9


def test_a_second_import_keeps_the_pseudonyms(workspace: Workspace, tmp_path: Path) -> None:
    source = export(tmp_path / "export")
    intake(workspace, source)
    first = {row["image_id"]: row["patient_id"] for row in rows_of(workspace)}
    intake(workspace, source, dicom=DicomConfig(slices="all"))
    second = {row["image_id"]: row["patient_id"] for row in rows_of(workspace)}
    assert len(second) > len(first) and first.items() <= second.items()


def test_nothing_in_the_workspace_names_a_person(workspace: Workspace, tmp_path: Path) -> None:
    source, log = export(tmp_path / "export"), Log()
    broken = write_dicom(source / "sick" / "PLANTED.dcm", slice_of("PATbroken", 1, 1))
    broken.write_bytes(broken.read_bytes()[:500])
    write_dicom(source / "sick" / "PLANTED_2.dcm", in_series(compressed_as(JPEGLSLossless), "PATpacked", 1, 1))
    intake(workspace, source, log)
    texts = ["\n".join(log.lines)]
    for path in workspace.path.rglob("*"):
        if path.suffix == ".parquet":
            texts.append(pd.read_parquet(path).to_csv())
        elif path.is_file():
            texts.append(path.read_bytes().decode("latin-1"))
        texts.append(path.name)
    everything = "\n".join(texts).lower()
    secrets = [
        *SECRETS.values(),
        ROOT_UID,
        "planted",
        "doe_",
        "patsick",
        "patwell",
        "patclip",
        "patbroken",
        "patpacked",
    ]
    assert not [secret for secret in secrets if secret.lower() in everything]
