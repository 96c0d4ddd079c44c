"""`tenfold data`: the preview asks first; import, check, split and export leave a page, a sealed split and all rows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tenfold.cli import data_commands
from tenfold.cli.app import main
from tenfold.cli.data_tables import STATE_WORDS
from tenfold.cli.option_texts import pairs
from tenfold.core.errors import InputError
from tenfold.core.files import read_json
from tenfold.recipes.data_intake import load_data_settings, workspace_name
from tenfold.recipes.loader import load_recipe
from tests.image_files import write_class_folders, write_image

SERIAL = ("--executor", "serial")


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def flat(text: str) -> str:
    """Panel text without its frame and line ends."""
    return " ".join(text.replace("│", " ").split())


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of two classes, two images a patient, one file missing and one broken."""
    root = tmp_path_factory.mktemp("source")
    write_class_folders(root / "images", {"df": 16, "vasc": 16})
    (root / "images/df/broken.png").write_bytes(b"not an image")
    lines = ["pic,dx,pid,age", "df/gone.png,df,p99,40", "df/broken.png,df,p98,40"]
    lines += [f"{label}/image_{k}.png,{label},{label}{k // 2},{30 + k}" for label in ("df", "vasc") for k in range(16)]
    (root / "table.csv").write_text("\n".join(lines))
    return root / "table.csv"


def importing(source: Path, out: Path, *more: str) -> list[str]:
    return ["data", "import", str(source), "--out", str(out), "--map", "image=pic,patient_id=pid", *SERIAL, *more]


@pytest.fixture(scope="module")
def imported(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    out = tmp_path_factory.mktemp("imported") / "My Lesions"
    assert main(importing(source, out, "--yes", "--image-size", "16", "--set", "checks.folds=2", "--json")) == 0
    yield out


def test_the_preview_comes_first_and_without_a_yes_nothing_is_written(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(importing(source, tmp_path / "ws")) == 2
    shown = capsys.readouterr()
    for words in ("What the columns were taken for", "patient_id", "Classes", "A few rows", "missing_file"):
        assert words in shown.out
    assert "34 rows in = 33 images to read + 1 set aside." in shown.out
    assert "Kept as they are" not in shown.out
    assert "add --yes" in flat(shown.err)
    assert not (tmp_path / "ws").exists()


def test_the_preview_for_machines_is_one_line_and_needs_a_yes_too(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(importing(source, tmp_path / "ws", "--json")) == 2
    preview, error = lines_of(capsys)
    assert (preview["event"], preview["n_images"], preview["n_set_aside"]) == ("preview", 33, 1)
    assert {one["taken_for"]: one["column"] for one in preview["columns"]}["patient_id"] == "pid"
    assert error["exit_code"] == 2 and not (tmp_path / "ws").exists()


def test_a_dry_run_is_the_preview_alone(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(importing(source, tmp_path / "ws", "--dry-run")) == 0
    assert "Nothing was written (--dry-run)." in capsys.readouterr().out
    assert not (tmp_path / "ws").exists()


@pytest.mark.parametrize(("answer", "is_written"), [(False, False), (True, True)])
def test_a_person_at_a_terminal_is_asked(
    answer: bool, is_written: bool, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(data_commands.typer, "confirm", lambda text, **options: asked.append(text) or answer)
    started: list[Path] = []
    monkeypatch.setattr(data_commands, "_run", lambda work, settings, folder, *rest: started.append(folder))
    assert main(importing(source, tmp_path / "ws")) == 0
    assert asked == ["Import these images?"]
    assert bool(started) == is_written


def test_an_import_ends_with_counts_checks_a_page_and_the_next_step(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ws"
    assert main(importing(source, out, "--yes", "--image-size", "16", "--set", "checks.folds=2")) == 0
    shown = capsys.readouterr()
    for words in (
        "34 rows in = 32 kept + 2 quarantined", "missing_file", "Checks", "What was found",
        f"Page: {out}/data/report/intake.html", f"tenfold data split --workspace {out}",
    ):  # fmt: skip
        assert words in shown.out
    assert (out / "data/report/intake.html").is_file()
    found = pd.read_csv(out / "data/quarantine.csv")
    assert list(zip(found["line"], found["reason"], strict=True)) == [(2, "missing_file"), (3, "not_an_image")]


def test_the_same_import_again_is_recognized(source: Path, imported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = {path: path.stat().st_mtime_ns for path in imported.rglob("*.png")}
    assert main(importing(source, imported, "--yes", "--image-size", "16", "--set", "checks.folds=2", "--json")) == 0
    result = lines_of(capsys)[-1]
    assert (result["event"], result["rows_in"], result["kept"], result["quarantined"]) == ("result", 34, 32, 2)
    assert result["state"] in ("ok", "look", "stop") and result["answer"]
    assert {path: path.stat().st_mtime_ns for path in imported.rglob("*.png")} == images


def test_checks_split_and_export_follow(imported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "ws"
    shutil.copytree(imported, out)
    assert main(["data", "check", "-w", str(out), *SERIAL, "--set", "folds=2", "--json"]) == 0
    checked = lines_of(capsys)[-1]
    assert not checked["is_split"] and {one["state"] for one in checked["checks"]} <= set(STATE_WORDS)

    splitting = ["data", "split", "-w", str(out), *SERIAL, "--test-per-class", "4", "--validation-per-class", "4"]
    assert main([*splitting, "--json"]) == 0
    split = lines_of(capsys)[-1]
    assert split["is_split"] and split["split"]["images"]["test"] == {"df": 4, "vasc": 4}
    assert read_json(out / "data/checks/run.json")["config"]["folds"] == 2

    manifest = tmp_path / "out.csv"
    assert main(["data", "export", "-w", str(out), "--to", str(manifest)]) == 0
    assert "32 images (test 8, train 16, val 8)" in capsys.readouterr().out
    table = pd.read_csv(manifest)
    assert table.groupby("patient_id")["split"].nunique().max() == 1
    assert main(["data", "export", "-w", str(out), "--to", str(manifest), "--json"]) == 2


def test_the_written_recipe_goes_on_with_the_same_data(imported: Path) -> None:
    recipe = load_recipe(str(imported / "recipe.yaml"))
    assert (recipe.name, recipe.intake.image_size_px, recipe.checks.folds) == ("my-lesions", 16, 2)
    assert recipe.intake.column_map == {"image": "pic", "patient_id": "pid"}
    assert recipe.study.seeds == load_recipe("folder", needs_required=False).study.seeds


def test_other_images_are_refused_once_a_split_is_sealed(
    source: Path, imported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ws"
    shutil.copytree(imported, out)
    assert main(["data", "split", "-w", str(out), *SERIAL, "--json"]) == 0
    seal = (out / "data/splits.json").read_bytes()
    capsys.readouterr()
    assert main(importing(source, out, "--yes", "--image-size", "20", "--json")) == 2
    error = lines_of(capsys)[-1]
    assert "split already" in error["what"] and "image_size_px" in error["what"] and "--out" in error["todo"]
    assert (out / "data/splits.json").read_bytes() == seal


def test_another_split_replaces_the_first_until_a_study_has_used_it(
    imported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ws"
    shutil.copytree(imported, out)
    splitting = ["data", "split", "-w", str(out), *SERIAL, "--json", "--test-per-class"]
    assert main([*splitting, "4"]) == 0
    sealed = (out / "data/splits.json").read_bytes()
    assert main([*splitting, "400"]) == 2  # impossible: the one that was there stays
    assert (out / "data/splits.json").read_bytes() == sealed
    assert main([*splitting, "2"]) == 0
    assert (out / "data/splits.json").read_bytes() != sealed
    (out / "studies/main").mkdir(parents=True)
    (out / "studies/main/run.json").write_text("{}")
    assert main([*splitting, "2"]) == 0
    assert main([*splitting, "4"]) == 2
    assert "already used its split" in lines_of(capsys)[-1]["what"]


def test_a_class_too_small_for_the_test_says_what_is_possible(
    imported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ws"
    shutil.copytree(imported, out)
    assert main(["data", "split", "-w", str(out), *SERIAL, "--test-per-class", "400", "--json"]) == 2
    error = lines_of(capsys)[-1]
    assert "400" in json.dumps(error) and "is what every class can give" in json.dumps(error)
    assert not (out / "data/splits.json").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["import", "{tmp}/none", "--out", "{tmp}/ws"], "no such source"),
        (["import", "{tmp}/s", "--out", "{tmp}/ws", "--format", "ham1000"], "Did you mean 'ham10000'?"),
        (["import", "{tmp}/s", "--out", "{tmp}/ws", "--classes", "a,bb"], "did you mean 'b'"),
        (["import", "{tmp}/s", "--out", "{tmp}/ws", "--map", "label"], "'label' is no pair"),
        (["import", "{tmp}/s", "--out", "{tmp}/ws", "--map", "label=a,label=b"], "given twice"),
        (["import", "{tmp}/s", "--out", "{tmp}/ws", "--image-size", "4"], "greater than or equal to 16"),
        (["import", "{tmp}/s", "--out", "{tmp}/ws", "--set", "imge_size_px=32"], "Did you mean 'image_size_px'?"),
        (["import", "{tmp}/s", "--out", "{tmp}/ws", "--synthetic"], "--generator NAME"),
        (["import", "{tmp}/s", "--out", "{tmp}/ws", "--generator", "gan"], "Add --synthetic"),
        (["import", "{tmp}/s", "--out", "{tmp}/s"], "neither empty nor a workspace"),
        (["import", "{tmp}/s"], "Missing option '--out'"),
        (["check", "--workspace", "{tmp}/none"], "there is no workspace here"),
        (["split", "--workspace", "{tmp}/none", "--fold", "1"], "no workspace"),
        (["split", "--workspace", "{tmp}/none", "--test-per-class", "4", "--test-fraction", "0.2"], "not both"),
        (["split", "--workspace", "{tmp}/none", "--ids", "train.txt"], "no pair"),
        (["split", "--workspace", "{tmp}/none", "--folds", "5", "--fold", "7"], "Where: --method, --folds, --fold"),
        (["export", "--workspace", "{tmp}/none", "--to", "x.csv"], "no workspace"),
    ],
)
def test_bad_input_says_what_to_do(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_class_folders(tmp_path / "s", {"a": 3, "b": 3})
    assert main(["data", *[word.replace("{tmp}", str(tmp_path)) for word in arguments]]) == 2
    assert words in flat(capsys.readouterr().err)
    assert not (tmp_path / "ws").exists()


def test_strict_stops_at_the_first_bad_row_with_all_of_them(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(importing(source, tmp_path / "ws", "--yes", "--strict", "--json")) == 2
    error = json.dumps(lines_of(capsys)[-1])
    assert "missing_file" in error or "df/gone.png" in error


def test_a_preview_of_odd_names_stays_one_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_class_folders(tmp_path / "s", {"a": 3, "b": 3})
    write_image(root / "a" / ("ü" * 60 + "x" * 60 + ".png"), 1)
    write_image(root / "a" / "two\nlines \x1b[31m.png", 2)
    assert main(["data", "import", str(root), "--out", str(tmp_path / "ws"), "--dry-run"]) == 0
    assert "\x1b[31m" not in capsys.readouterr().out


def test_synthetic_images_made_elsewhere_come_in_beside_the_real_ones(
    imported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ws"
    shutil.copytree(imported, out)
    made = write_class_folders(tmp_path / "made", {"df": 4, "vasc": 4})
    command = ["data", "import", str(made), "--out", str(out), "--synthetic", "--generator", "gan", "--yes", *SERIAL]
    assert main([*command, "--license", "CC0-1.0"]) == 0
    shown = capsys.readouterr().out
    assert "8 rows in = 8 kept + 0 quarantined" in shown and "Caution: Synthetic images made elsewhere" in shown
    assert (out / "synthetic/gan/manifest.parquet").is_file() and (out / "synthetic/gan/README.md").is_file()
    assert main([*command, "--modality", "x", "--json"]) == 2
    assert lines_of(capsys)[-1]["where"] == "--modality"


def test_settings_go_to_their_section_and_options_are_named() -> None:
    settings = load_data_settings(
        "intake", ["checks.folds=3", "dicom.slices=all", "intake.modality=x"], {"image_size_px": ("--image-size", 32)}
    )
    assert (settings.checks.folds, settings.intake.dicom.slices, settings.intake.modality) == (3, "all", "x")
    assert settings.intake.image_size_px == 32
    with pytest.raises(InputError, match="--image-size"):
        load_data_settings("intake", [], {"image_size_px": ("--image-size", "many")})


def test_pairs_may_hold_commas_in_a_value() -> None:
    assert pairs("label=Finding, main,age=Age=y", "--map") == {"label": "Finding, main", "age": "Age=y"}


@pytest.mark.parametrize(
    ("folder", "name"), [("/x/My Lesions", "my-lesions"), ("/x/HAM_10000!", "ham_10000"), ("/x/日本", "data")]
)
def test_a_workspace_is_named_after_its_folder(folder: str, name: str) -> None:
    assert workspace_name(Path(folder)) == name
