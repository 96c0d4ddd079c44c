"""Generation under attack, by its command: bad names, lost and changed files, full disks, odd words, one step."""

from __future__ import annotations

import json
import os
import resource
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.cli.app import main
from tenfold.core.hashing import sha256_file
from tenfold.core.workspace import Workspace
from tenfold.data.images import encode_png
from tenfold.data.manifest import read_manifest, write_manifest
from tests.tiny_data import ids_of, make_tiny_workspace
from tests.tiny_models import make_tiny_stable_diffusion

PROMPTS = ["--prompt", "mole=a mole", "--prompt", "rash=a rash"]
STEPS = ("--set", "num_inference_steps=2", "--set", "sampler=ddim")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_stable_diffusion(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def tiny(tmp_path: Path) -> Workspace:
    return make_tiny_workspace(tmp_path / "workspace")


class Command:
    """`tenfold generate` in one workspace; the exit code, and the last JSON line of what it told."""

    def __init__(self, workspace: Workspace, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.workspace, self.base, self.capsys = workspace, base, capsys
        self.told: dict[str, Any] = {}
        self.everything = ""

    def __call__(self, *words: str, name: str = "drawn", steps: tuple[str, ...] = STEPS) -> int:
        options = ["-w", str(self.workspace.path), "--name", name, "--checkpoint", str(self.base), *steps, "--json"]
        code = main(["generate", *options, "--executor", "serial", "--set", "batch_size=2", *words])
        out = self.capsys.readouterr()
        self.everything = out.out + out.err
        self.told = json.loads(out.out.splitlines()[-1])
        return code

    def hashes(self, name: str = "drawn") -> dict[str, str]:
        """By file; without those that hold times."""
        folder = self.workspace.path / "synthetic" / name
        return {
            path.relative_to(folder).as_posix(): sha256_file(path)
            for path in folder.rglob("*")
            if path.is_file() and path.parent.name != "parts" and path.name not in ("run.json", "gallery.html")
        }


@pytest.fixture
def generate(tiny: Workspace, base: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tiny, base, capsys)


@pytest.mark.parametrize("name", ["..", ".", ".locks", "-x", "a/b", "../up", "a b", "", "a\n", "x" * 101])
def test_a_name_that_leads_elsewhere_is_refused(generate: Command, name: str) -> None:
    before = sorted(generate.workspace.path.rglob("*"))
    assert generate(*PROMPTS, "--total", "2", name=name) == 2
    assert "letters, digits, _" in generate.told["expected"]
    assert sorted(generate.workspace.path.rglob("*")) == before


def test_a_gallery_of_a_bad_name_is_refused(tiny: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gallery", "..", "-w", str(tiny.path), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["where"] == "NAME"


@pytest.mark.parametrize(
    "words",
    [
        [*PROMPTS, "--total", "2", "--skin-types", "1,6"],
        ["--strategy", "recolor", "--skin-types", "1,6"],
        ["--strategy", "outpaint", "--skin-types", "5", "--set", "mask=center", "--set", "recolor_to_skin_type=true"],
    ],
)
def test_skin_types_of_x_rays_are_refused(generate: Command, words: list[str]) -> None:
    path = generate.workspace.path / "data/manifest.parquet"
    manifest = read_manifest(path)
    manifest["modality"] = "chest x-ray"
    write_manifest(manifest, path)
    assert generate(*words, steps=()) == 2
    assert "the images show no skin: chest x-ray" in generate.told["what"]


def test_a_source_that_is_gone_or_changed_is_told(generate: Command) -> None:
    lost, changed = ids_of(generate.workspace, "train")[:2]
    images = generate.workspace.path / "data/images"
    (images / f"{lost}.png").unlink()
    (images / f"{changed}.png").write_bytes(encode_png(np.zeros((32, 32, 3), np.uint8)))
    for image_id, said in ((lost, "is missing"), (changed, "it or its mask has changed")):
        assert generate("--strategy", "img2img", "--set", f"reference_ids=[{image_id}]") == 2
        assert image_id in generate.told["what"] and said in generate.told["what"]


def test_a_file_where_the_folder_is_to_be_is_told(generate: Command) -> None:
    (generate.workspace.path / "synthetic").mkdir()
    (generate.workspace.path / "synthetic/drawn").write_text("a note")
    assert generate(*PROMPTS, "--total", "2") == 1
    assert "a file lies where a folder is to be made" in generate.told["what"]


def test_damaged_records_and_plans_end_in_the_same_bytes(generate: Command) -> None:
    words = [*PROMPTS, "--total", "8"]
    assert generate(*words, "--limit", "4") == 0
    folder = generate.workspace.path / "synthetic/drawn"
    (folder / "parts/part-000000.json").write_text("{")
    (folder / "parts/part-000001.json").write_bytes(b"\xff\x00")
    (folder / "requests.parquet").write_bytes(b"garbage")
    assert generate(*words) == 0
    whole = generate.hashes()
    for name in ("requests.parquet", "manifest.parquet", "run.json", "plan.json", "parts/part-000002.json"):
        (folder / name).write_bytes(b"garbage")
        assert generate(*words) == 0
        assert generate.hashes() == whole, name
    (folder / "images" / sorted(os.listdir(folder / "images"))[0]).write_bytes(b"")
    assert generate(*words) == 0
    assert {name: digest for name, digest in generate.hashes().items() if "damaged" not in name} == whole


def test_a_limit_is_of_the_shard(generate: Command) -> None:
    words = [*PROMPTS, "--total", "12", "--shard", "2/2"]
    assert generate(*words, "--limit", "3") == 0
    assert generate.told["summary"]["images_drawn"] == 4
    records = generate.workspace.path / "synthetic/drawn/parts"
    assert sorted(path.stem for path in records.iterdir()) == ["part-000003", "part-000004"]
    assert generate(*words) == 0
    assert generate.told["summary"]["images_drawn"] == 6
    assert generate(*PROMPTS, "--total", "12", "--shard", "40/40", "--limit", "1") == 0


def test_the_ends_of_strength_and_steps(generate: Command) -> None:
    words = ["--strategy", "inpaint", "--set", "mask=center", "--total", "2"]
    assert generate(*words, "--set", "strength=1", name="all") == 0
    assert generate(*words, "--set", "strength=0") == 2
    assert "0 would change nothing" in generate.told["expected"]
    assert generate(*words, "--set", "strength=0.3") == 2
    assert (generate.told["what"], generate.told["expected"]) == (
        "a strength of 0.3 leaves none of 2 steps", "at least 0.5",
    )  # fmt: skip
    for sampler in ("ddim", "dpmsolver++", "unipc", "euler", "euler_a"):
        one = ("--set", "num_inference_steps=1", "--set", f"sampler={sampler}")
        assert generate(*PROMPTS, "--total", "2", name=sampler.rstrip("+"), steps=one) == 0
        rows = read_manifest(generate.workspace.path / f"synthetic/{sampler.rstrip('+')}/manifest.parquet")
        assert rows["quarantine_reason"].isna().all()


@pytest.mark.parametrize("container", ["folder", "webdataset"])
def test_a_disk_that_takes_no_more_loses_nothing(generate: Command, container: str) -> None:
    words = [*PROMPTS, "--total", "8", "--set", f"container={container}", "--set", "images_per_shard=4"]
    child = os.fork()
    if child == 0:
        limit = 10_000 if container == "webdataset" else 3_000
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        code = 99
        try:
            code = generate(*words)
            code = 77 if code == 1 and "larger than this system lets you write" in generate.told["what"] else code
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 77
    assert generate(*words) == 0
    resumed = generate.hashes()
    shutil.rmtree(generate.workspace.path / "synthetic/drawn")
    assert generate(*words) == 0
    assert generate.hashes() == resumed


def test_what_was_cut_of_a_long_prompt_is_told_in_short(generate: Command) -> None:
    assert generate("--prompt", f"mole={'a very long prompt ' * 100}", "--total", "1") == 0
    assert "prompts are longer than the checkpoint reads" in generate.everything
    told = next(line for line in generate.everything.splitlines() if "are longer than" in line)
    assert len(told) < 500


def test_odd_labels_and_prompts_are_kept_as_they_are(generate: Command) -> None:
    odd = {"a/b": "{{x}} of {label}", '"': "naïve 🩺\nsecond line", "..": "a ';--"}
    prompts = [word for label, prompt in odd.items() for word in ("--prompt", f"{label}={prompt}")]
    assert generate(*prompts, "--per-class", "1", "--set", "container=webdataset") == 0
    rows = read_manifest(generate.workspace.path / "synthetic/drawn/manifest.parquet")
    assert dict(zip(rows["label"], rows["prompt"], strict=True)) == odd | {"a/b": "{x} of a/b"}
    assert main(["regenerate", str(rows["image_id"].iloc[1]), "-w", str(generate.workspace.path)]) == 0


def test_a_composite_of_one_image_has_no_background(generate: Command) -> None:
    path = generate.workspace.path / "data/manifest.parquet"
    manifest, mask = read_manifest(path), np.zeros((32, 32), np.uint8)
    mask[10:20, 10:20] = 255
    (generate.workspace.path / "data/mask.png").write_bytes(encode_png(mask))
    manifest["mask_path"] = "data/mask.png"
    write_manifest(manifest, path)
    first = ids_of(generate.workspace, "train")[0]
    assert generate("--strategy", "composite", "--set", f"reference_ids=[{first}]", steps=()) == 2
    assert "there is no background of another group" in generate.told["what"]
    assert generate("--strategy", "composite", "--total", "2", steps=()) == 0
