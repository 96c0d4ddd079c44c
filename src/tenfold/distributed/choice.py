"""The choice of an executor by its name."""

from __future__ import annotations

from pathlib import Path

from tenfold.core.errors import InputError
from tenfold.core.executor import Executor, make_executor

NAMES = ("serial", "processes", "ray")


def choose_executor(
    name: str, workers: int | None = None, address: str | None = None, shared_folder: Path | None = None
) -> Executor:
    """`serial`, `processes` or `ray`; the last on the cluster at `address`, or on this machine alone.

    Raises:
        InputError: the name is unknown, an address is given without Ray, or Ray is missing or does not answer.
    """
    if name == "ray":
        from tenfold.distributed.ray_executor import RayExecutor

        return RayExecutor(address, workers, shared_folder)
    if address is not None:
        raise InputError(
            f"--address belongs to --executor ray, not to {name}", todo="Add --executor ray, or leave --address out."
        )
    if name not in NAMES:
        raise InputError(f"unknown executor {name!r}", expected="serial, processes or ray", todo="Name one of them.")
    return make_executor(name, workers)
