"""What a run ran on: versions, device, threads, source commit and peak memory."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("tenfold", "torch", "diffusers", "transformers", "timm", "numpy")


def describe_environment(device: str = "cpu", dtype: str = "float32") -> dict[str, Any]:
    """Versions by name (null when not installed), device, dtype, threads and source commit (or null)."""
    versions = {name: _version(name) for name in _PACKAGES}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        **versions,
        "device": device,
        "dtype": dtype,
        "threads": _thread_count(),
        "commit": _commit(),
    }


def peak_memory_bytes() -> int:
    """The largest resident size of this process or of one ended child of it, in bytes."""
    try:
        import resource
    except ImportError:  # not on Windows
        import psutil

        return int(psutil.Process().memory_info().rss)
    unit_bytes = 1 if sys.platform == "darwin" else 1024
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(own, children) * unit_bytes


@cache
def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _thread_count() -> int:
    if "torch" in sys.modules:
        return int(sys.modules["torch"].get_num_threads())
    return int(os.environ.get("OMP_NUM_THREADS", 0)) or os.cpu_count() or 1


@cache
def _commit() -> str | None:
    """The commit of the checkout this package runs from; null for an installed package or without git."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parents[1]
    if not (checkout / ".git").exists() or package != checkout / "src" / "tenfold":
        return None
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=checkout, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
