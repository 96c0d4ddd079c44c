"""Train the embedded miniature upscaler again, or export what a running training has reached so far.

    python scripts/train_embedded_upscaler.py --work DIR --archive DIR      # train, then ship into the package
    python scripts/train_embedded_upscaler.py --work DIR --archive DIR --export-only

``--archive`` is a folder that `render_phantom_archive` made; without it the archive is rendered into the work folder.
One thread. A killed training goes on when the same command is given again. scripts/measure_upscaler.py measures.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.core.executor import SerialExecutor
from tenfold.core.files import read_json, write_atomic, write_json_atomic, write_text_atomic
from tenfold.core.progress import NullProgress
from tenfold.core.seeds import derive_seed
from tenfold.finetuning.checkpointing import averaged_weights
from tenfold.finetuning.datasets import BalancedOrder
from tenfold.finetuning.degradation import Degradation
from tenfold.finetuning.loop import LoopSettings, train
from tenfold.finetuning.pretrain_archive import Archive, open_archive, render_phantom_archive
from tenfold.finetuning.super_resolution_objective import (
    HighImages,
    PairSettings,
    SuperResolutionObjective,
    encode_high_images,
)
from tenfold.models import embedded
from tenfold.models.pipelines import load_components
from tenfold.models.upscaler_building import build_upscaler, save_upscaler
from tenfold.models.upscaling import Upscaler

EMBEDDED = Path(embedded.__file__).parent
SEED = 0
ARCHIVE_IMAGES = 24_576
MAX_NOISE_LEVEL = 50
STEPS = 4000
SETTINGS = PairSettings(
    batch_size=32, degradation=Degradation(), max_noise_level=MAX_NOISE_LEVEL, caption_dropout=0.25,
    by_relative_error=True,
)  # fmt: skip
LOOP = LoopSettings(
    max_train_steps=STEPS, learning_rate=8e-4, lr_scheduler="cosine", lr_warmup_steps=100, adam_beta2=0.99,
    ema_decay=0.998, checkpointing_steps=100,
)  # fmt: skip
"""What the shipped weights were trained with (see MODEL_CARD.md)."""


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(1)
    upscaler = make_upscaler()
    if not arguments.export_only:
        archive = _archive(arguments.archive or arguments.work / "archive")
        start = time.monotonic()
        material = HighImages(
            archive.images[:ARCHIVE_IMAGES],
            _moments(upscaler, archive.images[:ARCHIVE_IMAGES], arguments.work / "moments.npy"),
            archive.captions[:ARCHIVE_IMAGES],
        )
        print(f"{time.ctime()} encoded: {time.monotonic() - start:.0f} s", flush=True)
        upscaler.unet.requires_grad_(True)
        order = BalancedOrder(["archive"] * ARCHIVE_IMAGES, seed=SEED)
        objective = SuperResolutionObjective(upscaler, material, order, SETTINGS, seed=SEED)
        start = time.monotonic()
        trace = train(objective, LOOP, arguments.work / "upscaler", _Printed())
        print(
            f"{time.ctime()} trained: {time.monotonic() - start:.0f} s, loss {trace.mean_of_last(100):.4f}", flush=True
        )
    print(ship(upscaler, arguments.work / "upscaler"), flush=True)


def make_upscaler() -> Upscaler:
    """The miniature with fresh weights, on the embedded base."""
    base = load_components(embedded.base_path())
    return build_upscaler(
        base, block_out_channels=(32, 48), norm_num_groups=8, max_noise_level=MAX_NOISE_LEVEL, seed=SEED
    )


@torch.no_grad()
def ship(upscaler: Upscaler, training: Path) -> str:
    """Write the newest averaged weights into the package with their digests."""
    step, weights = averaged_weights(training)
    for name, parameter in upscaler.unet.named_parameters():
        parameter.copy_(weights[f"unet.{name}"])
    folder = EMBEDDED / "upscaler"
    shutil.rmtree(folder, ignore_errors=True)
    save_upscaler(upscaler, folder)
    _copy_tokenizer(EMBEDDED / "base" / "tokenizer", folder / "tokenizer")
    write_json_atomic(EMBEDDED / "digests.json", embedded.digests_of(EMBEDDED))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"shipped {step} steps, {size / 1e6:.2f} MB"


def _copy_tokenizer(source: Path, folder: Path) -> None:
    """The base's files in place of what was saved: a tokenizer in memory remembers its last call's padding."""
    for path in source.iterdir():
        shutil.copyfile(path, folder / path.name)
    compact = json.dumps(read_json(folder / "tokenizer.json"), ensure_ascii=False, separators=(",", ":"))
    write_text_atomic(folder / "tokenizer.json", compact)


def _archive(folder: Path) -> Archive:
    if (folder / "rows.json").is_file():
        return open_archive(folder)
    return render_phantom_archive(
        folder, ARCHIVE_IMAGES, seed=derive_seed(0, "archive"), image_size_px=64, executor=SerialExecutor(),
        progress=NullProgress(),
    )  # fmt: skip


def _moments(upscaler: Upscaler, images: NDArray[np.uint8], path: Path) -> NDArray[np.float16]:
    """The images' scaled moments, encoded once and kept as float16."""
    if not path.is_file():
        parts = [
            encode_high_images(upscaler, images[k : k + 1024]).astype(np.float16) for k in range(0, len(images), 1024)
        ]
        with write_atomic(path) as temporary, open(temporary, "wb") as stream:
            np.save(stream, np.concatenate(parts))
    moments: NDArray[np.float16] = np.load(path, mmap_mode="r", allow_pickle=False)
    return moments


class _Printed:
    """Progress as a line every 100 steps."""

    def __init__(self) -> None:
        self._done, self._start = 0, time.monotonic()

    def advance(self, steps: int = 1) -> None:
        self._done += steps
        if self._done % 100 == 0:
            print(f"{time.ctime()} step {self._done} of {STEPS}, {time.monotonic() - self._start:.0f} s", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints and caches (about 0.4 GB)")
    parser.add_argument("--archive", type=Path, help="folder of the rendered archive, if elsewhere")
    parser.add_argument("--export-only", action="store_true", help="ship the newest checkpoint without training on")
    return parser.parse_args()


if __name__ == "__main__":
    main()
