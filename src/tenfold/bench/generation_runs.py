"""Runs of the generation stage that benchmarks time: whole, in shards, killed and resumed; and what they wrote."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tenfold.core.device import limited_threads
from tenfold.core.errors import StageError
from tenfold.core.executor import SerialExecutor
from tenfold.core.hashing import sha256_file
from tenfold.core.progress import NullProgress
from tenfold.core.workspace import Workspace
from tenfold.generation.config import GenerateConfig
from tenfold.generation.locking import Shard
from tenfold.generation.parts import RECORDS
from tenfold.generation.run import run

NAME = "drawn"
_PROMPTS = tuple(f"a photo of a skin lesion, number {number}" for number in range(4))
_RECORD = "run.json"
_POLL_SECONDS = 0.02
_CHILD = "from tenfold.bench.generation_runs import draw_when_told; draw_when_told()"


def plain_config(checkpoint: str, images: int, batch_size: int) -> GenerateConfig:
    """So many images from four prompts, 15 guided steps each, one PNG file an image."""
    return GenerateConfig.model_validate(
        {
            "name": NAME,
            "seed": 0,
            "checkpoint": checkpoint,
            "prompts": {"lesion": _PROMPTS},
            "images_per_class": images,
            "num_inference_steps": 15,
            "guidance_scale": 3.0,
            "batch_size": batch_size,
        }
    )


def new_workspace(folder: Path) -> Workspace:
    """An empty one."""
    return Workspace.create(folder, name="bench", root_seed=0, data_license="made for a benchmark")


def draw(config: GenerateConfig, workspace: Workspace, shards: int = 1) -> None:
    """The whole set by one run, or by one after another for each shard, on one thread as a worker has it."""
    whole = [None] if shards == 1 else [Shard(number + 1, shards) for number in range(shards)]
    for shard in whole:
        run(config, workspace, SerialExecutor(), NullProgress(), shard=shard)


def written(workspace: Workspace) -> dict[str, str]:
    """SHA-256 by file of the set, without records, which tell times."""
    folder = set_folder(workspace)
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: sha256_file(path) for name, path in names.items() if name != _RECORD and not name.startswith(RECORDS)}


def set_folder(workspace: Workspace) -> Path:
    """Where the set lies."""
    return workspace.resolve(f"synthetic/{NAME}")


class Interrupted:
    """A run in a process of its own, which is killed when half of the parts are drawn, and resumed in this one.

    That process has started and imported everything when the object is made; it draws when `draw` is called.
    """

    def __init__(self, config: GenerateConfig, workspace: Workspace) -> None:
        self._config = config
        self._workspace = workspace
        with limited_threads(1):  # which its environment tells the process
            self._process = subprocess.Popen(
                [sys.executable, "-c", _CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def draw(self, parts: int) -> None:
        """Let it draw, end it by SIGKILL after `parts` parts, and draw the rest here.

        Raises StageError when it ended before.
        """
        process, records = self._process, set_folder(self._workspace) / RECORDS
        assert process.stdin is not None
        process.stdin.write(f"{self._workspace.path}\n{self._config.model_dump_json()}\n")
        process.stdin.flush()
        while len(list(records.glob("*.json"))) < parts:
            if process.poll() is not None:
                raise StageError("the run to be killed ended by itself", expected=f"{parts} parts drawn first")
            time.sleep(_POLL_SECONDS)
        self.stop()
        draw(self._config, self._workspace)

    def stop(self) -> None:
        """SIGKILL, however far it is."""
        self._process.kill()
        self._process.communicate()


def draw_when_told() -> None:
    """In the process to be killed: load what a run needs, say so, and draw what two lines of standard input name."""
    import diffusers
    import transformers

    import tenfold.generation.strategies.dispatch
    import tenfold.models.lora  # noqa: F401

    assert diffusers.UNet2DConditionModel and transformers.CLIPTextModel  # loaded when first named
    print("ready", flush=True)
    workspace = Workspace.open(sys.stdin.readline().strip())
    draw(GenerateConfig.model_validate_json(sys.stdin.readline()), workspace)
