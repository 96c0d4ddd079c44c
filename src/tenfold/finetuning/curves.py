"""Training curves: losses.csv, and the same as a small picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tenfold.core.files import write_bytes_atomic, write_text_atomic
from tenfold.data.images import encode_png

_SIZE = (640, 360)
_LEFT, _TOP, _RIGHT, _BOTTOM = 64, 28, 620, 328
_FAINT, _TRAINING, _VALIDATION, _INK = (200, 212, 226), (43, 92, 138), (196, 92, 28), (60, 60, 60)


def write_curves(
    folder: Path, losses: Sequence[float], validation: Mapping[int, float], chosen_step: int
) -> list[Path]:
    """``losses.csv`` (step, loss, validation_loss) and ``curves.png``.

    Args:
        losses: of each step, from the first on.
        validation: by finished steps.
        chosen_step: the weights that the model has; marked in the picture.
    """
    lines = ["step,loss,validation_loss"]
    for step in range(len(losses) + 1):
        loss = f"{losses[step - 1]:.6g}" if step else ""
        held_out = f"{validation[step]:.6g}" if step in validation else ""
        if loss or held_out:
            lines.append(f"{step},{loss},{held_out}")
    write_text_atomic(folder / "losses.csv", "\n".join(lines) + "\n")
    picture = _draw(losses, dict(sorted(validation.items())), chosen_step)
    write_bytes_atomic(folder / "curves.png", encode_png(np.asarray(picture, dtype=np.uint8)))
    return [folder / "losses.csv", folder / "curves.png"]


def write_losses(path: Path, losses: Sequence[float]) -> None:
    """Write ``step,loss`` rows, steps counted from 1."""
    rows = [f"{step},{loss:.6g}" for step, loss in enumerate(losses, start=1)]
    write_text_atomic(path, "\n".join(["step,loss", *rows]) + "\n")


def _draw(losses: Sequence[float], validation: Mapping[int, float], chosen_step: int) -> Image.Image:
    window = max(1, len(losses) // 20)
    means = [sum(part) / len(part) for k in range(len(losses)) if (part := losses[max(0, k - window + 1) : k + 1])]
    shown = [*means, *validation.values()]
    # Single steps are noisy: those far above the means do not stretch the scale.
    low = min([*losses, *shown])
    high = max(shown)
    high = high + 0.15 * (high - low) if high > low else low + max(abs(low), 1e-6)

    def place(step: float, loss: float) -> tuple[float, float]:
        share = min(1.0, max(0.0, (loss - low) / (high - low)))
        return _LEFT + step / len(losses) * (_RIGHT - _LEFT), _BOTTOM - share * (_BOTTOM - _TOP)

    picture = Image.new("RGB", _SIZE, "white")
    draw = ImageDraw.Draw(picture)
    for tick in range(5):
        value = low + (high - low) * tick / 4
        y = place(0, value)[1]
        draw.line([(_LEFT, y), (_RIGHT, y)], fill=(232, 232, 232))
        draw.text((6, y - 6), f"{value:.3g}", fill=_INK)
        step = round(len(losses) * tick / 4)
        draw.text((place(step, low)[0] - 8, _BOTTOM + 6), str(step), fill=_INK)
    draw.line([place(k, loss) for k, loss in enumerate(losses, 1)], fill=_FAINT)
    draw.line([place(k, mean) for k, mean in enumerate(means, 1)], fill=_TRAINING, width=2)
    points = [place(step, loss) for step, loss in validation.items() if math.isfinite(loss)]
    draw.line(points, fill=_VALIDATION, width=2)
    for x, y in points:
        draw.ellipse([x - 2, y - 2, x + 2, y + 2], fill=_VALIDATION)
    x = place(chosen_step, low)[0]
    draw.line([(x, _TOP), (x, _BOTTOM)], fill=_INK)
    draw.text((_LEFT, 8), f"loss (mean of {window} steps)", fill=_TRAINING)
    if points:
        draw.text((_LEFT + 190, 8), "validation loss", fill=_VALIDATION)
    draw.text((_LEFT + 330, 8), f"weights of step {chosen_step}", fill=_INK)
    return picture
