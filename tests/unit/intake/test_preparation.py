"""Preparation: what its workers load, and that the faster way of writing changes no pixel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tenfold.core.hashing import sha256_file
from tenfold.data.images import FAST_PNG, decode_image, encode_png, resize_and_crop
from tenfold.intake.preparation import ImageTask, PreparationSettings, Prepared, preparation_tasks, prepare
from tests.image_files import random_image, write_image


def test_workers_that_hash_and_decode_load_no_torch_and_no_tables() -> None:
    """Each worker pays for what it loads before its first image."""
    code = (
        "import sys, tenfold.intake.originals, tenfold.intake.preparation as p;"
        "print(sorted({'torch', 'pandas', 'scipy', 'sklearn', 'pydicom'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("side", [8, 64])
def test_the_fast_png_holds_the_same_pixels(side: int) -> None:
    for image in (random_image(1, side, side), np.full((side, side, 3), 7, dtype=np.uint8)):
        fast = encode_png(image, level=FAST_PNG)
        assert np.array_equal(decode_image(fast), image)
        assert fast == encode_png(image.copy(), level=FAST_PNG)


def test_a_file_cut_short_by_a_kill_is_made_again(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", 1)
    task = ImageTask("0" * 16, str(tmp_path / "a.png"), 100)
    settings = PreparationSettings(16, "center_crop", tmp_path / "images", tmp_path / "masks", tmp_path / "records")
    (batch,) = preparation_tasks([task], settings)
    target = tmp_path / "images" / f"{task.image_id}.png"
    target.parent.mkdir()
    target.write_bytes(b"\x89PNG cut")
    (answer,) = prepare(batch)
    assert isinstance(answer, Prepared) and answer.sha256 == sha256_file(target)
    assert np.array_equal(decode_image(target), resize_and_crop(decode_image(tmp_path / "a.png"), 16))
    assert not (tmp_path / "masks").exists(), "made for masks only"
    batch.record.unlink()
    target.write_bytes(b"cut again")
    assert prepare(batch) == [answer] and sha256_file(target) == answer.sha256
    target.write_bytes(b"changed after the batch was recorded")
    assert prepare(batch) == [answer] and sha256_file(target) == answer.sha256
