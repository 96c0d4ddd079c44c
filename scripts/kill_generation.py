"""Kill `tenfold generate` with -9 at random moments, let it finish, and compare every byte with an uninterrupted run's.

    python scripts/kill_generation.py FOLDER [--way shards] [--container webdataset] [--kills 20] [-- words of generate]

Ways: serial; processes (two workers; a kill hits the command or a worker); shards (two commands, 1/2 and 2/2; a kill
hits one or both). The next kill comes within the time that an uninterrupted run takes; a set that is
whole before the last kill is compared, removed and begun again. Commands are forked from a process that has loaded all
code, so that the moments fall into the run and not into its start.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import torch

import tenfold.generation.strategies.dispatch
import tenfold.models.compiling
import tenfold.reports.contact_sheet_run  # noqa: F401
from tenfold.cli.app import main as run_tenfold
from tenfold.core.hashing import sha256_file
from tenfold.core.workspace import Workspace

WORDS = [
    "--prompt", "df=a photo of a dermatofibroma", "--prompt", "vasc=a photo of a vascular lesion",
    "--per-class", "100", "--set", "num_inference_steps=1", "--set", "guidance_scale=1", "--set", "batch_size=8",
    "--set", "images_per_shard=8",
]  # fmt: skip
WAYS = {
    "serial": [["--executor", "serial"]],
    "processes": [["--executor", "processes", "--workers", "2"]],
    "shards": [["--executor", "serial", "--shard", f"{number}/2"] for number in (1, 2)],
}
WITH_TIMES = {"run.json", "gallery.html"}
"""Files that tell of times; so do the records in parts/."""
NAME = "killed"
_MOST_FAILURES = 5


def main() -> int:
    """Exit code 0 when every killed set has the bytes of the reference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="Where the workspace is made, or lies.")
    parser.add_argument("--way", choices=WAYS, default="serial")
    parser.add_argument("--container", choices=("folder", "webdataset"), default="folder")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("words", nargs="*", help="Instead of 200 images by the embedded base in 1 step.")
    arguments = parser.parse_args()
    if not (arguments.folder / "workspace.json").is_file():
        Workspace.create(arguments.folder, name="killed", root_seed=3, data_license="CC0-1.0 of nobody")
    words = [*(arguments.words or WORDS), "--set", f"container={arguments.container}"]
    began = time.monotonic()
    _, status = os.waitpid(_start(arguments.folder, [*words, "--executor", "serial"]), 0)
    if status:
        return os.waitstatus_to_exitcode(status)
    drawn = arguments.folder / "synthetic" / NAME
    reference = _hashes(drawn)
    shutil.rmtree(drawn)
    seconds = time.monotonic() - began
    print(f"{arguments.way}, {arguments.container}: whole in {seconds:.1f} s, {len(reference)} files", flush=True)
    commands = [[*words, *way] for way in WAYS[arguments.way]]
    return _attack(drawn, commands, reference, (arguments.kills, seconds, random.Random(arguments.seed)))


def _attack(
    drawn: Path, commands: list[list[str]], reference: dict[str, str], how: tuple[int, float, random.Random]
) -> int:
    most, seconds, moments = how
    folder = drawn.parent.parent
    kills = sets = failures = 0
    while True:
        running = {_start(folder, words): words for words in commands}
        while running:
            is_over = kills >= most
            ended = _wait(running, 3600 if is_over else moments.uniform(0, seconds))
            for pid, status in ended.items():
                words = running.pop(pid)
                if status and failures < _MOST_FAILURES:  # a worker of its pool was killed
                    failures += 1
                    running[_start(folder, words)] = words
                elif status:
                    print("ended with an error too often")
                    return 1
            if not ended and running:
                kills += 1
                for victim in _victims(list(running), moments):
                    os.kill(victim, signal.SIGKILL)
                    if victim in running:
                        os.waitpid(victim, 0)
                        words = running.pop(victim)
                        running[_start(folder, words)] = words
                done = len(list((drawn / "parts").glob("*.json")))
                print(f"kill {kills}: {done} parts were done", flush=True)
        sets, failures = sets + 1, 0
        fault = _differences(_hashes(drawn), reference)
        if fault or kills >= most:
            print(fault or f"{kills} kills over {sets} sets: every file as in the uninterrupted run")
            return 1 if fault else 0
        shutil.rmtree(drawn)


def _start(folder: Path, words: Sequence[str]) -> int:
    """The process id of a child that runs the command."""
    pid = os.fork()
    if pid:
        return pid
    status = 3
    try:
        torch.set_num_threads(1)
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        status = run_tenfold(["generate", "-w", str(folder), "--name", NAME, "--quiet", *words])
    finally:
        os._exit(status)


def _wait(running: dict[int, list[str]], seconds: float) -> dict[int, int]:
    """Exit statuses of commands that ended, as soon as one has; empty when none did within these seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ended = {pid: status for pid, status in (os.waitpid(pid, os.WNOHANG) for pid in running) if pid}
        if ended:
            return ended
        time.sleep(0.005)
    return {}


def _victims(running: list[int], moments: random.Random) -> list[int]:
    """One of the commands, or all of them, or a worker of one."""
    workers = [child.pid for pid in running for child in psutil.Process(pid).children(recursive=True)]
    if workers and moments.random() < 0.3:
        return [moments.choice(workers)]
    return running if moments.random() < 0.3 else [moments.choice(running)]


def _hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file by its path."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for path in paths
        if path.name not in WITH_TIMES and path.parent.name != "parts"
    }


def _differences(ours: dict[str, str], reference: dict[str, str]) -> str:
    """What differs; empty when nothing does."""
    missing = sorted(set(ours) ^ set(reference))
    changed = sorted(path for path in set(ours) & set(reference) if ours[path] != reference[path])
    shown = "\n  ".join((missing + changed)[:20])
    return f"{len(changed)} changed, {len(missing)} missing or new:\n  {shown}" if shown else ""


if __name__ == "__main__":
    sys.exit(main())
