"""What a strategy gives: the pixels of one batch, and what belongs beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Drawing:
    """The pixels of one batch."""

    images: NDArray[np.uint8]
    """(B, H, W, 3) sRGB."""
    cut_prompts: Sequence[str] = ()
    """Prompts whose ends the model could not see."""
    masks: NDArray[np.bool_] | None = None
    """(B, H, W) True on the lesion, where the strategy moved it; None where the parent's mask still holds."""
    first_passes: NDArray[np.uint8] | None = None
    """(B, H, W, 3) sRGB before the second pass, for strategies of two."""
    notes: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    """For each image, plain JSON facts that its record keeps (such as the first pass's SHA-256)."""
