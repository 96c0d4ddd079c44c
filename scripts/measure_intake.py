"""Measure the import against a bare Pillow decode loop, the near-duplicate search, and memory over many rows.

    python scripts/measure_intake.py speed [--images N] [--repeats R]     made photographs of four sizes
    python scripts/measure_intake.py folder PATH                          the images of a folder per class
    python scripts/measure_intake.py hashes [--count 100000]              near-duplicate search
    python scripts/measure_intake.py memory [--rows 100000]               peak memory of an import of many small images

Run it with OMP_NUM_THREADS=1. Ours and the loop run in the same process, in turn; medians with their range are printed.
One core: one thread here, no worker processes, by CPU seconds too, which other work on the machine disturbs less. Two
cores: two worker processes, against two bare loops at the same time.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tenfold.core.environment import peak_memory_bytes
from tenfold.core.executor import Executor, ProcessExecutor, SerialExecutor
from tenfold.core.hashing import sha256_file
from tenfold.core.progress import NullProgress
from tenfold.core.workspace import Workspace
from tenfold.data.images import decode_picture, square_picture
from tenfold.data.near_duplicates import near_duplicate_clusters, perceptual_hash
from tenfold.intake.config import IntakeConfig
from tenfold.intake.run import run

SIZES = ((4000, 3000), (1600, 1200), (1024, 768), (600, 450), (180, 180))
"""A phone's photograph; ISIC 2020; Fitzpatrick 17k; HAM10000; its small copies."""


def bare_loop(paths: Sequence[Path]) -> int:
    """What everybody writes: open and decode, one after another."""
    for path in paths:
        with Image.open(path) as image:
            image.load()
    return len(paths)


def check_loop(paths: Sequence[Path]) -> int:
    """What an import must do with a file at least: hash it, decode it, hash its picture. No image is written."""
    for path in paths:
        sha256_file(path)
        _, picture = decode_picture(path)
        perceptual_hash(square_picture(picture, 64, "center_crop"))
    return len(paths)


def measure_speed(images: int, repeats: int) -> None:
    """The table of rates for made photographs."""
    with tempfile.TemporaryDirectory() as folder, ProcessExecutor(2) as executor:
        list(executor.map(bare_loop, [(), ()]))
        for width, height in SIZES:
            count = max(16, min(images, int(images * 4e5 / (width * height))))
            root = make_photographs(Path(folder) / f"{width}", width, height, count)
            report(f"{width} x {height}", root, repeats, executor)


def measure_folder(root: Path, repeats: int) -> None:
    """The same for real images, which stay where they are."""
    with ProcessExecutor(2) as executor:
        list(executor.map(bare_loop, [(), ()]))
        report(root.name, root, repeats, executor)


def report(title: str, root: Path, repeats: int, executor: ProcessExecutor) -> None:
    """Three lines: on one core by the clock and by CPU time, and on two cores."""
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    bare_loop(paths)
    both: dict[str, Callable[[], object]] = {
        "bare": lambda: bare_loop(paths), "ours": lambda: import_folder(root, SerialExecutor())
    }  # fmt: skip
    show(title, "1 core", len(paths), {name: [seconds(work) for _ in range(repeats)] for name, work in both.items()})
    cpu = {name: [seconds(work, time.process_time) for _ in range(repeats)] for name, work in both.items()}
    show(title, "1 core, CPU seconds", len(paths), cpu)
    cpu["ours"] = [seconds(lambda: check_loop(paths), time.process_time) for _ in range(repeats)]
    show(title, "1 core, CPU seconds, hashing, decoding and perceptual hash alone", len(paths), cpu)
    times: dict[str, list[float]] = {"bare": [], "ours": []}
    for _ in range(repeats):
        times["bare"].append(seconds(lambda: list(executor.map(bare_loop, [paths, paths]))) / 2)
        times["ours"].append(seconds(lambda: import_folder(root, executor)))
    show(title, "2 cores", len(paths), times)


def show(title: str, how: str, count: int, times: Mapping[str, Sequence[float]]) -> None:
    """One line: images a second of both ways (median and range), and their ratio."""
    rates = {name: sorted(count / taken for taken in found) for name, found in times.items()}
    shown = ", ".join(f"{name} {statistics.median(r):.1f} ({r[0]:.1f}-{r[-1]:.1f})" for name, r in rates.items())
    ratio = statistics.median(rates["ours"]) / statistics.median(rates["bare"])
    print(f"{title}: {count} images, {how}, images/s: {shown}; ratio {ratio:.2f}", flush=True)


def import_folder(root: Path, executor: Executor) -> int:
    """Import a folder into a new workspace; the number of images kept."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.create(Path(folder) / "w", name="measure", root_seed=0, data_license="none")
        config = IntakeConfig(source=str(root), format="folder")
        return int(run(config, workspace, executor, NullProgress()).summary["kept"])


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Time of a call by the clock."""
    began = clock()
    work()
    return clock() - began


def make_photographs(root: Path, width: int, height: int, count: int) -> Path:
    """JPEG files with the detail of photographs: soft shapes, fine texture and a little noise, quality 90."""
    rng = np.random.default_rng(0)
    texture = rng.normal(0, 1, (height, width)).astype(np.float32)
    texture = (texture + np.roll(texture, 1, 0) + np.roll(texture, 1, 1) + np.roll(texture, (1, 1), (0, 1))) * 3
    for number in range(count):
        soft = Image.fromarray(rng.integers(60, 220, (6, 8, 3), dtype=np.uint8)).resize((width, height))
        shifted = np.roll(texture, int(rng.integers(width)), axis=1)[..., None]
        pixels = np.clip(np.asarray(soft, dtype=np.float32) + shifted, 0, 255).astype(np.uint8)
        path = root / f"class_{number % 2}" / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, quality=90)
    return root


def measure_hashes(count: int) -> None:
    """Search time over hashes without structure, and over some that crowd together as real ones do."""
    rng = np.random.default_rng(0)
    seeds = rng.integers(0, 2**63, max(1, count // 80), dtype=np.uint64)
    crowded = seeds[rng.integers(0, len(seeds), count)]
    for _ in range(6):
        crowded ^= np.uint64(1) << rng.integers(0, 63, count).astype(np.uint64)
    narrow = rng.integers(0, 2**40, count, dtype=np.uint64)
    for title, values in (("random", rng.integers(0, 2**63, count, dtype=np.uint64)), ("crowded", crowded),
                          ("40 bits in use", narrow)):  # fmt: skip
        hashes = [f"{value:016x}" for value in values]
        for distance in (4, 8):
            began = time.perf_counter()
            clusters = near_duplicate_clusters(hashes, distance)
            taken = time.perf_counter() - began
            print(
                f"{count} hashes, {title}, distance {distance}: {taken:.2f} s, {clusters.max() + 1} clusters, "
                f"peak {peak_memory_bytes() / 2**20:.0f} MiB",
                flush=True,
            )


def measure_memory(rows: int) -> None:
    """Peak memory of importing many small images, by the number of rows."""
    with tempfile.TemporaryDirectory() as folder:
        for count in (rows // 10, rows):
            root = Path(folder) / f"rows_{count}"
            rng = np.random.default_rng(count)
            for number in range(count):
                path = root / f"class_{number % 2}" / f"{number // 2000}" / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path, compress_level=1)
            with ProcessExecutor(2) as executor:
                taken = seconds(lambda root=root, executor=executor: import_folder(root, executor))
            peak = peak_memory_bytes() / 2**20
            print(f"{count} rows: {taken:.0f} s, peak of the main process {peak:.0f} MiB", flush=True)


def main() -> None:
    """Run the measurement named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("speed", "folder", "hashes", "memory"))
    parser.add_argument("path", nargs="?", type=Path)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=100_000)
    told = parser.parse_args()
    if told.what == "speed":
        measure_speed(told.images, told.repeats)
    elif told.what == "folder":
        measure_folder(told.path, told.repeats)
    elif told.what == "hashes":
        measure_hashes(told.count)
    else:
        measure_memory(told.rows)


if __name__ == "__main__":
    main()
