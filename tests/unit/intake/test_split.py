"""The split stage: its methods, what it seals and says, and its configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.errors import DataError, FaultsError
from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import read_manifest, write_manifest
from tenfold.data.splits import crossing_groups, read_sealed_split, with_split
from tenfold.intake.config import IntakeConfig, SplitConfig
from tenfold.intake.run import run as run_intake
from tenfold.intake.split import run_split
from tests.image_files import write_class_folders
from tests.split_manifests import image_id, manifest_of, plain, singles

MANIFEST, SPLIT = "data/manifest.parquet", "data/splits.json"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / "workspace", name="t", root_seed=1, data_license="none")


def split(workspace: Workspace, manifest: pd.DataFrame | None = None, **config: Any) -> Result:
    if manifest is not None:
        write_manifest(manifest, workspace.resolve(MANIFEST))
    return run_split(SplitConfig(**config), workspace, SerialExecutor(), NullProgress())


def test_the_default_method_seals_as_it_always_did(workspace: Workspace) -> None:
    summary = split(workspace, plain(20)).summary
    sealed = read_sealed_split(workspace.resolve(SPLIT))
    assert sealed.details == {} and sealed.unused == ()
    assert sealed.sha256 == "d0576d826228e975ae64a6eaddde88a8589011c359a7dd6272877462d78a7a59"
    assert summary["method"] == "grouped" and summary["crossing_groups"] == 0 and summary["unused"] == {}


def test_the_summary_counts_strata_and_groups_kept_whole(workspace: Workspace) -> None:
    manifest = plain(20).assign(sex=pd.array(["f", "f", "m", "m"] * 10, dtype="string"))
    summary = split(workspace, manifest, test_per_class=5, stratify_by=["sex"]).summary
    assert summary["by_stratum"]["sex"]["test"] == {"a": {"f": 2, "m": 2}, "b": {"f": 2, "m": 2}}
    whole = summary["groups_kept_whole"]
    assert (whole["groups"], whole["images"]) == (20, 40)
    assert whole["largest"][0]["linked_by"] == "patient_id a0" and len(whole["largest"][0]["splits"]) == 1
    assert "Note: test takes 4 instead of 5 images of a: groups are not parted" in summary["notes"]
    assert any("test holds few images of a (4 of 20 images)" in note for note in summary["notes"])
    assert read_sealed_split(workspace.resolve(SPLIT)).details == {"method": "grouped", "stratify_by": ["sex"]}


def test_folds_share_their_deal_and_are_sealed(workspace: Workspace) -> None:
    manifest = plain(20)
    tested: list[str] = []
    deals = []
    for fold in range(4):
        summary = split(workspace, manifest, method="k_fold", folds=4, fold=fold).summary
        sealed = read_sealed_split(workspace.resolve(SPLIT))
        assert summary["folds"][fold] == summary["images"]["test"]
        deals.append(sealed.details["fold_of"])
        tested += [own for own, name in sealed.assignments.items() if name == "test"]
    assert all(deal == deals[0] for deal in deals)
    assert sorted(tested) == manifest["image_id"].tolist()


def test_an_upstream_column_without_validation_gets_it_from_training(workspace: Workspace) -> None:
    manifest = plain(20).assign(**{"attr.split": ["train"] * 14 + ["test"] * 6 + ["train"] * 14 + ["test"] * 6})
    summary = split(workspace, manifest, method="upstream", validation_per_class=4).summary
    assert summary["images"] == {"train": {"a": 10, "b": 10}, "val": {"a": 4, "b": 4}, "test": {"a": 6, "b": 6}}
    assert summary["notes"][0] == (
        "Note: the upstream split has no validation images: 8 were drawn from its training groups."
    )
    details = read_sealed_split(workspace.resolve(SPLIT)).details
    assert details["column"] == "attr.split" and details["drawn"] == ["val"]


def lists_of(folder: Path, lists: Mapping[str, Sequence[int]]) -> dict[str, str]:
    for name, numbers in lists.items():
        (folder / f"{name}.txt").write_text("".join(f"{image_id(number)}\n" for number in numbers))
    return {name: str(folder / f"{name}.txt") for name in lists}


def test_id_lists_leave_images_out_only_when_told(workspace: Workspace, tmp_path: Path) -> None:
    lists = lists_of(tmp_path, {"train": [0, 1, 6, 7], "val": [2, 8], "test": [3, 4, 9, 10]})
    with pytest.raises(DataError, match=r"2 images are in none of the lists: a 1, b 1(.|\n)*split.rest"):
        split(workspace, singles(6), method="ids", id_files=lists)
    assert not workspace.resolve(SPLIT).exists()
    summary = split(workspace, method="ids", id_files=lists, rest="drop").summary
    assert summary["unused"] == {"a": 1, "b": 1}
    sealed = read_sealed_split(workspace.resolve(SPLIT))
    assert sealed.unused == (image_id(5), image_id(11))
    assert set(sealed.details["list_sha256"]) == {"train", "val", "test"}
    assert len(with_split(read_manifest(workspace.resolve(MANIFEST)), sealed)) == 10


def test_a_changed_list_splits_anew(workspace: Workspace, tmp_path: Path) -> None:
    lists = lists_of(tmp_path, {"train": [0, 1, 6, 7], "val": [2, 8], "test": [3, 9]})
    first = split(workspace, singles(6), method="ids", id_files=lists, rest="train")
    assert split(workspace, method="ids", id_files=lists, rest="train").was_finished
    lists_of(tmp_path, {"test": [4, 10]})
    assert split(workspace, method="ids", id_files=lists, rest="train").summary["sha256"] != first.summary["sha256"]


def test_a_leaking_upstream_split_is_refused_until_something_is_chosen(workspace: Workspace) -> None:
    names = (["train"] * 9 + ["val"] * 4 + ["test"] * 7) * 2
    manifest = plain(20).assign(**{"attr.split": names})
    with pytest.raises(DataError, match=r"this split leaks: 4 groups(.|\n)*patient_id a4"):
        split(workspace, manifest, method="upstream")
    kept = split(workspace, method="upstream", crossing="keep_test").summary
    assert kept["images"]["test"] == {"a": 7, "b": 7} and kept["unused"] == {"a": 2, "b": 2}
    allowed = split(workspace, method="upstream", crossing="allow").summary
    assert allowed["crossing_groups"] == 4 and allowed["notes"][0].startswith("Warning: 4 groups")
    moved = split(workspace, method="upstream", crossing="move_to_train").summary
    assert moved["crossing_groups"] == 0 and moved["images"]["test"] == {"a": 6, "b": 6}


def test_classes_without_test_images_are_named(workspace: Workspace) -> None:
    manifest = singles(4, labels="abc").assign(**{"attr.split": ["train", "train", "val", "test"] * 2 + ["train"] * 4})
    with pytest.raises(DataError, match=r"no test image of c(.|\n)*intake.classes=\[a,b\]"):
        split(workspace, manifest, method="upstream")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"method": "upstream", "test_per_class": 3}, "has its own sizes: leave out test_per_class"),
        ({"method": "k_fold", "folds": 5, "validation_fraction": 0.2}, "leave out validation_fraction"),
        ({"method": "k_fold"}, "k_fold needs folds"),
        ({"folds": 5}, "no other method takes it"),
        ({"method": "k_fold", "folds": 5, "fold": 5}, "fold 5 of 5 does not exist"),
        ({"method": "ids"}, "needs id_files"),
        ({"method": "ids", "id_files": {"train": "a.txt"}}, "one for test"),
        ({"method": "ids", "id_files": {"train": "a", "holdout": "b"}}, "holdout"),
    ],
)
def test_options_that_do_not_fit_the_method(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SplitConfig(**config)


@settings(max_examples=4, deadline=None)
@given(sizes=st.lists(st.integers(3, 6), min_size=2, max_size=3), broken=st.integers(0, 2), seed=st.integers(0, 9))
def test_every_row_is_split_or_quarantined(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], broken: int, seed: int
) -> None:
    root = write_class_folders(tmp_path_factory.mktemp("s") / "s", dict(zip("abc", sizes, strict=False)))
    for number in range(broken):
        (root / "a" / f"broken_{number}.png").write_bytes(b"no image")
    workspace = Workspace.create(root.parent / "w", name="t", root_seed=1, data_license="none")
    run = (workspace, SerialExecutor(), NullProgress())
    intake = run_intake(IntakeConfig(source=str(root), image_size_px=16), *run).summary
    summary = run_split(SplitConfig(seed=seed), *run).summary
    in_splits = sum(sum(counts.values()) for counts in summary["images"].values())
    assert intake["rows_in"] == sum(sizes) + broken == in_splits + intake["quarantined"]
    assert summary["crossing_groups"] == 0


@pytest.fixture
def real_folder() -> Callable[[str], Path]:
    folder = Path(__file__).parents[4] / "shared" / "data"

    def of(name: str) -> Path:
        if not (folder / name).is_dir():
            pytest.skip(f"no real images: {folder / name} is not there")
        return folder / name

    return of


def split_real(workspace: Workspace, source: Path, **config: Any) -> tuple[dict[str, Any], pd.DataFrame]:
    intake = IntakeConfig(source=str(source), image_size_px=32)
    run_intake(intake, workspace, SerialExecutor(), NullProgress())
    summary = dict(split(workspace, **config).summary)
    manifest = read_manifest(workspace.resolve(MANIFEST))
    return summary, with_split(manifest, read_sealed_split(workspace.resolve(SPLIT)))


@pytest.mark.real_data
def test_no_patient_of_the_chest_images_is_parted(workspace: Workspace, real_folder: Callable[[str], Path]) -> None:
    summary, table = split_real(workspace, real_folder("cxr_covid"), test_per_class=30)
    known = table[table["patient_id"].notna()]
    assert known["patient_id"].duplicated().any()
    assert (known.groupby("patient_id")["split"].nunique() == 1).all()
    assert summary["images"]["test"] == {"covid19": 30, "no_findings": 30, "pneumonia": 30}
    assert crossing_groups(table, table.set_index("image_id")["split"]) == []


@pytest.mark.real_data
def test_no_lesion_of_the_dermatoscopic_images_is_parted_in_any_fold(
    workspace: Workspace, real_folder: Callable[[str], Path]
) -> None:
    _, table = split_real(workspace, real_folder("ham5"), method="k_fold", folds=5, stratify_by=["sex"])
    assert (table.groupby("lesion_id")["split"].nunique() == 1).all()
    assert table.groupby("split")["label"].nunique().eq(5).all()


@pytest.mark.real_data
def test_a_class_of_four_images_is_told_what_it_allows(
    workspace: Workspace, real_folder: Callable[[str], Path]
) -> None:
    summary, _ = split_real(workspace, real_folder("wbc"))
    assert summary["images"]["test"]["basophil"] == 1
    assert any("basophil (1 of 4 images)" in note for note in summary["notes"])
    with pytest.raises(
        DataError, match=r"'basophil' cannot give 5(.|\n)*test_per_class=2 is what every class can give"
    ):
        split(workspace, test_per_class=5)
    with pytest.raises(DataError, match=r"'basophil' has 4 images in 4 groups, too few for 5 folds"):
        split(workspace, method="k_fold", folds=5)


def test_manifests_of_one_class_or_none_are_told(workspace: Workspace) -> None:
    for manifest in (manifest_of([]), singles(9, ["a"])):
        with pytest.raises(DataError, match="classes cannot be told apart"):
            split(workspace, manifest)


def test_a_request_that_cannot_be_met_leaves_the_sealed_split_alone(workspace: Workspace) -> None:
    split(workspace, plain(20))
    sealed = workspace.resolve(SPLIT).read_bytes()
    with pytest.raises(FaultsError, match="cannot give"):
        split(workspace, test_per_class=1000)
    assert workspace.resolve(SPLIT).read_bytes() == sealed
