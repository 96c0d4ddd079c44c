"""Compiling: a checkpoint's UNet through torch.compile, where the machine has what that takes."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import torch

from tenfold.models.pipelines import Components


def compile_unet(components: Components) -> tuple[Components, str | None]:
    """The components with a compiled UNet, or as they are and why.

    Each shape of a batch is compiled once, when it is first met: guided and unguided steps, and a shorter last batch.
    Last bits differ from those of the plain UNet.
    """
    fault = compiler_fault(components.device.type)
    if fault is not None:
        return components, fault
    return replace(components, unet=torch.compile(components.unet, dynamic=False)), None


@lru_cache(maxsize=2)
def compiler_fault(device: str) -> str | None:
    """Why torch.compile does not work for this kind of device here; None when it does. Tried once, by a small sum."""
    try:
        with torch.inference_mode():
            torch.compile(_sum, dynamic=False)(torch.ones(8, device=device))
    except Exception as error:
        # Its parts (dynamo, inductor, triton, a C++ compiler) raise errors of many kinds that have no common base.
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        torch._dynamo.reset()
        return f"torch.compile does not work on this machine ({device}): {first}"
    return None


def _sum(values: torch.Tensor) -> torch.Tensor:
    return values.sin() + values
