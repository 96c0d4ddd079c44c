"""Which real images a model has learned from: of this workspace, from elsewhere, imported later, through its bases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tenfold.core.errors import CheckpointError
from tenfold.core.workspace import Workspace
from tenfold.models.learned_images import LearnedImages, learned_images
from tests.tiny_data import ids_of, make_tiny_workspace

ELSEWHERE = "f" * 16


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_tiny_workspace(tmp_path_factory.mktemp("data") / "workspace")


def _model(folder: Path, content: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "training_rows.json").write_text(json.dumps(content))
    return folder


def test_images_from_elsewhere_count_once_they_are_imported(tiny: Workspace) -> None:
    trained, imported = ids_of(tiny, "train")[0], ids_of(tiny, "test")[0]
    record = {"image_ids": [trained], "archive_image_ids": [ELSEWHERE, imported]}
    learned = learned_images(_model(tiny.path / "models/a", record), tiny)
    assert learned == LearnedImages((trained, imported), (ELSEWHERE,))


def test_what_a_model_of_another_workspace_learned_is_from_elsewhere(tmp_path: Path, tiny: Workspace) -> None:
    imported = ids_of(tiny, "val")[0]
    model = _model(tmp_path / "other/models/a", {"image_ids": [ELSEWHERE, imported]})
    assert learned_images(model, tiny) == LearnedImages((imported,), (ELSEWHERE,))
    empty = Workspace.create(tmp_path / "empty", name="empty", root_seed=1, data_license="CC0-1.0")
    assert learned_images(model, empty) == LearnedImages((), tuple(sorted((ELSEWHERE, imported))))


def test_no_record_is_not_no_images_and_a_damaged_one_is_told(tmp_path: Path, tiny: Workspace) -> None:
    assert learned_images(tmp_path, tiny) is None
    with pytest.raises(CheckpointError, match="damaged"):
        learned_images(_model(tmp_path / "a", {"rows": []}), tiny)
