"""Measure the import against a bare Pillow decode loop, the near-duplicate search, and memory over many rows.

    python scripts/measure_intake.py speed [--images N] [--repeats R]     made photographs of five sizes
    python scripts/measure_intake.py folder PATH                          the images of a folder per class
    python scripts/measure_intake.py hashes [--count 100000]              near-duplicate search
    python scripts/measure_intake.py memory [--rows 100000]               peak memory of an import of many small images

Run it with OMP_NUM_THREADS=1. `--temporary DIR` says where images and workspaces are made: on a file system in memory
(/dev/shm) the figures are those of the work, on a disk those of its file creation too. All ways take turns; medians
with their range are printed. One core: one thread, no worker processes, by CPU seconds, which other work on the machine
disturbs less. Two cores: two warm workers by the clock, against two bare loops at the same time.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from tenfold.core.environment import peak_memory_bytes
from tenfold.core.executor import Executor, ProcessExecutor, SerialExecutor
from tenfold.core.hashing import sha256_bytes, sha256_file
from tenfold.core.progress import NullProgress
from tenfold.core.workspace import Workspace
from tenfold.data.images import FAST_PNG, decode_picture, encode_png, square_picture
from tenfold.data.near_duplicates import near_duplicate_clusters, perceptual_hash
from tenfold.intake.config import IntakeConfig
from tenfold.intake.run import run

SIZES = {(4000, 3000): 0.03, (1600, 1200): 0.5, (1024, 768): 1.0, (600, 450): 1.0, (180, 180): 1.0}
"""A phone's photograph; ISIC 2020; Fitzpatrick 17k; HAM10000; its small copies; and the share of `--images` to make."""

CORES = 2


def bare_loop(paths: Sequence[Path]) -> int:
    """What everybody writes: open and decode, one after another."""
    for path in paths:
        with Image.open(path) as image:
            image.load()
    return len(paths)


def check_loop(paths: Sequence[Path]) -> int:
    """The least a check must do with a file: hash it, decode it, cut and resize it, hash its picture."""
    for path in paths:
        sha256_file(path)
        perceptual_hash(square_picture(decode_picture(path)[1], 64))
    return len(paths)


def write_loop(paths: Sequence[Path], folder: Path) -> int:
    """The least an import must do: the same, and the canonical PNG file with its hash."""
    for number, path in enumerate(paths):
        sha256_file(path)
        canonical = square_picture(decode_picture(path)[1], 64)
        perceptual_hash(canonical)
        png = encode_png(canonical, level=FAST_PNG)
        sha256_bytes(png)
        (folder / f"{number}.png").write_bytes(png)
    return len(paths)


def measure_speed(images: int, repeats: int) -> None:
    """The table of rates for made photographs."""
    with tempfile.TemporaryDirectory() as folder, ProcessExecutor(CORES) as executor:
        for (width, height), share in SIZES.items():
            root = make_photographs(Path(folder) / f"{width}", width, height, max(16, round(images * share)))
            report(f"{width} x {height}", root, repeats, executor)


def measure_folder(root: Path, repeats: int) -> None:
    """The same for real images, which stay where they are."""
    with ProcessExecutor(CORES) as executor:
        report(root.name, root, repeats, executor)


def report(title: str, root: Path, repeats: int, executor: ProcessExecutor) -> None:
    """Four lines on one core, by CPU seconds, and one on two cores."""
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    halves = [paths[number::CORES] for number in range(CORES)]
    serial = SerialExecutor()
    # Libraries and workers are warm, and files in the system's cache, before the clock starts. The bare loop comes
    # first: workers that start for a function of the package would not load this script.
    list(executor.map(bare_loop, halves))
    import_folder(root, serial)
    import_folder(root, executor)
    one: dict[str, list[float]] = {"bare": [], "check": [], "write": [], "import": []}
    two: dict[str, list[float]] = {"bare": [], "import": []}
    busy: list[float] = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            one["bare"].append(seconds(lambda: bare_loop(paths), time.process_time))
            one["check"].append(seconds(lambda: check_loop(paths), time.process_time))
            one["write"].append(seconds(partial(write_loop, paths, Path(folder)), time.process_time))
            one["import"].append(seconds(lambda: import_folder(root, serial), time.process_time))
        two["bare"].append(seconds(lambda: list(executor.map(bare_loop, halves))))
        before = cpu_seconds()
        two["import"].append(seconds(lambda: import_folder(root, executor)))
        busy.append((cpu_seconds() - before) / two["import"][-1] / CORES)
    show(f"{title}, 1 core, CPU seconds", len(paths), one)
    show(f"{title}, {CORES} cores, {statistics.median(busy):.0%} busy in the import", len(paths), two)
    print(f"    load of the machine: {psutil.getloadavg()[0]:.1f}", flush=True)


def cpu_seconds() -> float:
    """CPU time of this process and its workers so far."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return float(sum(sum(process.cpu_times()[:2]) for process in processes))


def show(title: str, count: int, times: Mapping[str, Sequence[float]]) -> None:
    """Images a second of each way (median and range), and its ratio to the bare loop."""
    bare = statistics.median(times["bare"])
    print(f"{title}, {count} images:")
    for name, found in times.items():
        median = statistics.median(found)
        rates = f"{count / median:8.1f} ({count / max(found):.1f}-{count / min(found):.1f}) images/s"
        print(f"    {name:6} {rates}, {median / count * 1e3:6.2f} ms each, ratio {bare / median:.2f}", flush=True)


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
                taken = seconds(partial(import_folder, root, executor))
            peak = peak_memory_bytes() / 2**20
            print(f"{count} rows: {taken:.0f} s, peak of the main process {peak:.0f} MiB", flush=True)


def main() -> None:
    """Run the measurement named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("speed", "folder", "hashes", "memory"))
    parser.add_argument("path", nargs="?", type=Path)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--temporary", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=100_000)
    told = parser.parse_args()
    if told.temporary is not None:
        tempfile.tempdir = str(told.temporary)
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
