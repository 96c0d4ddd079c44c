"""The compute device and the number of threads."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tenfold.core.errors import InputError

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def resolve_device(device: str) -> str:
    """`auto` becomes `cuda` where there is one, else `cpu`; any other name is checked by torch.

    Raises InputError when the device is unknown or not on this machine.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"unknown device {device!r}", expected="auto, cpu, cuda or cuda:N") from error
    if kind.type == "cuda" and (kind.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"the device {device!r} is not on this machine",
            expected=f"one of {torch.cuda.device_count()} CUDA devices",
            todo="Use `auto` or `cpu`.",
        )
    return device


def cuda_devices() -> tuple[str, ...]:
    """The CUDA devices of this process, each as CUDA_VISIBLE_DEVICES would name it; () where there are none."""
    import torch

    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    names = map(str, range(count)) if listed is None else map(str.strip, listed.split(","))
    return tuple(names)[:count]


def limit_threads(count: int) -> None:
    """Limit this process's numerical libraries to `count` threads, loaded already or later."""
    for name in THREAD_VARIABLES:
        os.environ[name] = str(count)
    if "threadpoolctl" in sys.modules or "numpy" in sys.modules:
        from threadpoolctl import threadpool_limits

        threadpool_limits(limits=count)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(count)


@contextmanager
def limited_threads(count: int) -> Iterator[None]:
    """`limit_threads` for a block; libraries first loaded inside it keep the limit."""
    from threadpoolctl import threadpool_limits

    variables = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    torch_threads = sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None
    with threadpool_limits(limits=count):
        limit_threads(count)
        try:
            yield
        finally:
            for name, value in variables.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
    if torch_threads is not None:
        sys.modules["torch"].set_num_threads(torch_threads)
