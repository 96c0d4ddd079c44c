"""Kill the demo with -9 at random moments, let it finish, and compare every output with an uninterrupted run's.

    python scripts/kill_demo.py tenfold-killed --reference tenfold-demo --kills 10

Waits 5 to 60 seconds between start and kill, so that ten kills fall all over the run; prints which stage each one hit.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tenfold.core.files import read_json

TIMES_AND_MACHINE = {"report/timings.json", "report/report.html"}
"""Outputs that tell of times and the machine, and so differ from run to run."""


def main() -> int:
    """Exit code 0 when the killed run's outputs are those of the reference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    for number in range(1, arguments.kills + 1):
        seconds = moments.uniform(5, 60)
        if not killed_after(arguments.workspace, seconds):
            print(f"finished before kill {number}")
            break
        hit = ", ".join(unfinished(arguments.workspace)) or "start-up"
        print(f"kill {number} after {seconds:.1f} s in {hit}", flush=True)
    finished = subprocess.run(command(arguments.workspace), check=False)
    if finished.returncode:
        return finished.returncode
    return compare(hashes(arguments.workspace), hashes(arguments.reference))


def command(workspace: Path) -> list[str]:
    """The demo's command line."""
    return [sys.executable, "-m", "tenfold", "demo", "--quiet", "--workspace", str(workspace)]


def killed_after(workspace: Path, seconds: float) -> bool:
    """Start the demo and kill its main process; False when it ended by itself before."""
    process = subprocess.Popen(command(workspace))
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(1)  # workers watch for their parent twice a second
        return True


def unfinished(workspace: Path) -> list[str]:
    """Stage folders that were begun and not finished."""
    return sorted(marker.parent.relative_to(workspace).as_posix() for marker in workspace.rglob("started.json"))


def hashes(workspace: Path) -> dict[str, str]:
    """Recorded hash of every stage's outputs, by path, without those that tell of times."""
    found: dict[str, str] = {}
    for record in sorted(workspace.rglob("run.json")):
        found.update(read_json(record)["outputs"])
    return {path: digest for path, digest in found.items() if path not in TIMES_AND_MACHINE}


def compare(ours: dict[str, str], reference: dict[str, str]) -> int:
    """Print what differs; 0 when nothing does."""
    missing = sorted(set(ours) ^ set(reference))
    changed = sorted(path for path in set(ours) & set(reference) if ours[path] != reference[path])
    print(f"{len(ours)} outputs, {len(changed)} changed, {len(missing)} missing or new")
    for path in (missing + changed)[:20]:
        print("  " + path)
    return 1 if missing or changed else 0


if __name__ == "__main__":
    sys.exit(main())
