"""The gallery stage: a self-contained page of a synthetic set, its sources beside it, the same bytes every time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tenfold.core.errors import DataError
from tenfold.core.executor import SerialExecutor
from tenfold.core.files import read_json, write_bytes_atomic
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result
from tenfold.core.seeds import numpy_generator
from tenfold.core.workspace import Workspace
from tenfold.data.images import encode_png
from tenfold.data.manifest import make_manifest, read_manifest, write_manifest
from tenfold.reports.config import GalleryConfig
from tenfold.reports.contact_sheet import MOST_PICTURES, choose_sheet
from tenfold.reports.contact_sheet_run import run_gallery
from tests.tiny_data import ids_of, make_tiny_workspace

NASTY = '<script>alert("x")</script>'


def make_set(workspace: Workspace, name: str = "painted") -> list[dict[str, Any]]:
    """Six images: text-to-image of two classes, one outpainting with a source, one set aside."""
    parent = ids_of(workspace, "train", "mole")[0]
    rows: list[dict[str, Any]] = []
    for number in range(6):
        image_id = f"{number:016x}"
        path = f"synthetic/{name}/images/{image_id}.png"
        pixels = numpy_generator(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        write_bytes_atomic(workspace.path / path, encode_png(pixels))
        rows.append({
            "image_id": image_id, "path": path, "label": ("mole", "rash")[number % 2], "source": "synthetic",
            "split": "train", "strategy": "text2img", "prompt": f"a photo, number {number}", "seed": 2**40 + number,
            "checkpoint": "embedded:base", "sampler": "checkpoint", "num_inference_steps": 2, "review": "unreviewed",
        })  # fmt: skip
    rows[4] |= {"strategy": "outpaint", "parent_id": parent, "strength": 0.95, "prompt": NASTY}
    rows[5] |= {"quarantine_reason": "black_image", "redraws": 3}
    write_manifest(make_manifest(rows), workspace.path / f"synthetic/{name}/manifest.parquet")
    return rows


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_tiny_workspace(tmp_path / "workspace")


def _run(workspace: Workspace, **options: Any) -> Result:
    with SerialExecutor() as executor:
        return run_gallery(GalleryConfig(name="painted", **options), workspace, executor, NullProgress())


def test_the_page_shows_every_group_with_prompts_seeds_and_sources(workspace: Workspace) -> None:
    make_set(workspace)
    result = _run(workspace)
    page = (result.folder / "gallery.html").read_text(encoding="utf-8")
    assert (result.summary["images"], result.summary["shown"], result.summary["set_aside"]) == (6, 6, 1)
    assert page.count("<figure>") == 7  # six images and the source of one
    assert "real source" in page and "Outpainting: 1 image, 1 shown" in page
    assert "number 3" in page and f"Seed {2**40 + 3}" in page
    assert "black_image" in page and 'class="aside"' in page
    assert "<script" not in page and "&lt;script&gt;" in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)  # nothing is loaded from anywhere
    told = read_json(result.folder / "gallery.json")
    assert told["shared"] == {"Checkpoint": "embedded:base", "Sampler": "the checkpoint’s own", "Steps": "2"}
    assert [group["n_images"] for group in told["groups"]] == [1, 2, 3]


def test_the_same_set_gives_the_same_page_and_a_changed_one_a_new_page(workspace: Workspace) -> None:
    rows = make_set(workspace)
    page = _run(workspace).folder / "gallery.html"
    first = page.read_bytes()
    assert _run(workspace).was_finished
    page.unlink()
    _run(workspace)
    assert page.read_bytes() == first
    write_manifest(make_manifest(rows[:3]), workspace.path / "synthetic/painted/manifest.parquet")
    assert not _run(workspace).was_finished
    assert page.read_bytes() != first


def test_a_missing_picture_or_source_is_named_not_fatal(workspace: Workspace) -> None:
    rows = make_set(workspace)
    (workspace.path / rows[0]["path"]).unlink()
    rows[1]["path"] = "../../outside.png"
    rows[4]["parent_id"] = "f" * 16
    write_manifest(make_manifest(rows), workspace.path / "synthetic/painted/manifest.parquet")
    page = (_run(workspace).folder / "gallery.html").read_text(encoding="utf-8")
    assert page.count("not readable") == 2
    assert page.count("not at hand") == 1


def test_an_unknown_set_names_those_there_are(workspace: Workspace) -> None:
    make_set(workspace, "others")
    with pytest.raises(DataError, match="no finished synthetic set 'painted'") as caught:
        _run(workspace)
    assert caught.value.expected == "one of others"


def test_pictures_are_the_first_by_id_and_bounded(workspace: Workspace) -> None:
    rows = make_set(workspace)
    manifest = make_manifest(rows)
    sheet = choose_sheet("painted", manifest, read_manifest(workspace.path / "data/manifest.parquet"), 1, "CC0-1.0")
    assert [group.pictures[0].image_id[-1] for group in sheet.groups] == ["4", "0", "1"]
    many = pd.concat([manifest.assign(label=f"class {number}") for number in range(500)])
    assert choose_sheet("painted", many, None, 600, "CC0-1.0").n_shown <= MOST_PICTURES
