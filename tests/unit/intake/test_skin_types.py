"""Skin types: as given where given, unknown where said so, else estimated and marked as such; never in a caption."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tenfold.core.workspace import Workspace
from tenfold.data.captions import stated_skin_type
from tenfold.data.manifest import manifest_rows
from tenfold.data.manifest_checks import check_manifest
from tenfold.data.skin_tone import skin_type_of_ita
from tenfold.intake.config import PhantomConfig
from tenfold.reports.data_summary import summarize_data
from tests.unit.intake.import_into import by_name, intake, manifest_of

LIGHT, DARK = (225, 185, 160), (90, 60, 40)


def skin_source(tmp_path: Path, modality: str = "clinical photo") -> Path:
    root = tmp_path / "s"
    lines = ["image,label,fitzpatrick,modality"]
    for number, given in enumerate(["2", "-1", "", "unknown", "", ""]):
        for label, color in (("df", LIGHT), ("vasc", DARK)):
            rng = np.random.default_rng([number, label == "df"])
            image = np.clip(np.array(color) + rng.normal(0, 3, (48, 48, 1)), 0, 255).astype(np.uint8)
            image[10:38, 10:38] = rng.integers(0, 255, (28, 28, 3))
            (root / label).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(root / label / f"{number}.png")
            lines.append(f"{label}/{number}.png,{label},{given},{modality}")
    (root / "metadata.csv").write_text("\n".join(lines))
    return root


def test_types_are_given_unknown_or_estimated(tmp_path: Path, workspace: Workspace) -> None:
    summary = intake(workspace, skin_source(tmp_path)).summary
    rows = by_name(workspace)
    assert check_manifest(manifest_of(workspace)) == []
    given = rows.loc[["df/0.png", "vasc/0.png"]]
    assert given["skin_type"].tolist() == [2, 2] and set(given["skin_type_source"]) == {"given"}
    unknown = rows.loc[["df/1.png", "vasc/1.png", "df/3.png", "vasc/3.png"]]
    assert unknown["skin_type"].isna().all() and unknown["skin_type_group"].isna().all()
    assert set(unknown["skin_type_source"]) == {"given"}, "unknown, and said so"
    estimated = rows.loc[["df/2.png", "vasc/2.png"]]
    assert set(estimated["skin_type_source"]) == {"estimated"}
    assert estimated["skin_type"].tolist()[0] <= 2 and estimated["skin_type"].tolist()[1] >= 5
    assert estimated["skin_type_group"].tolist() == ["I-II", "V-VI"]
    assert rows["attr.ita_degrees"].notna().all(), "measured on every photograph of skin"
    for _, row in estimated.iterrows():
        assert skin_type_of_ita(float(row["attr.ita_degrees"])) == row["skin_type"]
    assert (summary["skin_types_known"], summary["skin_types_estimated"]) == (2, 6)


def test_no_caption_names_an_estimated_type(tmp_path: Path, workspace: Workspace) -> None:
    intake(workspace, skin_source(tmp_path))
    rows = by_name(workspace)
    assert rows.loc["df/0.png", "caption"] == "a photo of df, on light skin, Fitzpatrick skin type II"
    assert not rows.drop(["df/0.png", "vasc/0.png"])["caption"].str.contains("skin").any()


def test_nothing_downstream_takes_an_estimate_for_a_type(tmp_path: Path, workspace: Workspace) -> None:
    intake(workspace, skin_source(tmp_path))
    manifest = manifest_of(workspace)
    rows = {str(row["attr.original_path"]): row for row in manifest_rows(manifest)}
    assert stated_skin_type(rows["df/0.png"]) == 2 and stated_skin_type(rows["df/2.png"]) is None
    counts = summarize_data(workspace, manifest, "test").counts
    found = {(row.attribute, row.value): row.n_images for row in counts if row.attribute == "skin_type"}
    assert found == {("skin_type", "2"): 2, ("skin_type", ""): 10}


def test_other_images_are_not_measured_unless_asked(tmp_path: Path, workspace: Workspace) -> None:
    intake(workspace, skin_source(tmp_path, "chest x-ray"))
    rows = by_name(workspace)
    assert "attr.ita_degrees" not in rows.columns and not (rows["skin_type_source"] == "estimated").any()
    intake(workspace, tmp_path / "s", estimate_skin_type="always")
    assert by_name(workspace)["attr.ita_degrees"].notna().all()
    intake(workspace, skin_source(tmp_path), estimate_skin_type="never")
    assert "attr.ita_degrees" not in by_name(workspace).columns


def test_the_phantom_keeps_its_types_beside_the_measured_angle(workspace: Workspace) -> None:
    intake(workspace, "phantom", phantom=PhantomConfig(images_per_class=3), image_size_px=32)
    manifest = manifest_of(workspace)
    assert set(manifest["skin_type_source"]) == {"given"} and manifest["skin_type"].notna().all()
    assert manifest["attr.ita_degrees"].notna().mean() > 0.9
