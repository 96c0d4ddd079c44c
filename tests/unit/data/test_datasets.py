"""Datasets: pixels and class numbers of manifest rows, in order."""

from __future__ import annotations

import numpy as np
import pytest

from tenfold.core.errors import DataError, FaultsError
from tenfold.core.workspace import Workspace
from tenfold.data.datasets import check_one_codec, label_indices, load_images
from tenfold.data.manifest import make_manifest
from tests.image_files import random_image, write_image


def test_images_and_labels_in_row_order(workspace: Workspace) -> None:
    for number in (1, 2):
        write_image(workspace.path / f"{number}.png", number)
    manifest = make_manifest([{"path": "2.png", "label": "b"}, {"path": "1.png", "label": "a"}])
    images = load_images(workspace, manifest)
    assert images.dtype == np.uint8
    assert np.array_equal(images, np.stack([random_image(2), random_image(1)]))
    assert label_indices(manifest).tolist() == [1, 0]
    assert label_indices(manifest, ["x", "b", "a"]).tolist() == [1, 2]
    assert load_images(workspace, manifest.iloc[:0]).shape == (0, 0, 0, 3)
    with pytest.raises(DataError, match="not among the classes: a"):
        label_indices(manifest, ["b"])


def test_all_faults_are_told_at_once(workspace: Workspace) -> None:
    write_image(workspace.path / "1.png", 1)
    write_image(workspace.path / "2.png", 2, width=41)
    manifest = make_manifest([{"path": f"{number}.png"} for number in (1, 2, 3)])
    with pytest.raises(FaultsError, match=r"41 x 32 px(.|\n)*3\.png"):
        load_images(workspace, manifest)
    with pytest.raises(DataError, match="cannot be opened"):
        load_images(workspace, manifest.iloc[2:])


def test_real_and_synthetic_images_of_other_codecs_are_refused() -> None:
    real = make_manifest([{"image_id": "1" * 16, "path": "data/images/1.png", "source": "real"}])
    synthetic = make_manifest([{"image_id": "2" * 16, "path": "synthetic/x/images/2.jpg", "source": "synthetic"}])
    with pytest.raises(DataError, match="the synthetic images are jpg files, the real ones png"):
        check_one_codec(real, synthetic)
    check_one_codec(real)
    check_one_codec(synthetic)
