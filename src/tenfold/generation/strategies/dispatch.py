"""Dispatch: the strategy that draws a batch, by its name; its upscaling pass; and which checkpoints can draw it."""

from __future__ import annotations

from collections.abc import Sequence

from tenfold.core.errors import CheckpointError, InputError
from tenfold.generation.drawing_defaults import PAINTS
from tenfold.generation.requests import ImageRequest
from tenfold.generation.sources import Sources
from tenfold.generation.strategies import autoencoder, composite, img2img, painting, recolor, text2img, upscale
from tenfold.generation.strategies.result import Drawing
from tenfold.models.inpainting import is_inpainting_unet
from tenfold.models.pipelines import Components
from tenfold.models.upscaling import Upscaler

__all__ = ["Drawing", "draw"]

_FROM_IMAGES = {
    "img2img": img2img.draw,
    "inpaint": painting.inpaint,
    "outpaint": painting.outpaint,
    "in_then_outpaint": painting.in_then_outpaint,
    "autoencoder": autoencoder.draw,
}
_WITHOUT_GENERATOR = {"recolor": recolor.draw, "composite": composite.draw}


def draw(
    components: Components | None,
    requests: Sequence[ImageRequest],
    sources: Sequence[Sources],
    upscaler: Upscaler | None = None,
) -> Drawing:
    """Draw requests that share all but label, prompts, seeds, sources and skin types.

    Args:
        components: the checkpoint; None for strategies that need no generator.
        sources: one for each request.
        upscaler: what the requests name as theirs; None where they name none.

    Raises:
        CheckpointError: the checkpoint cannot draw this strategy.
        DataError: a source image or its mask cannot be used.
        InputError: a strength leaves no step, or something that the strategy needs is not given.
    """
    drawing = _draw(components, requests, sources)
    return drawing if requests[0].upscaler is None else upscale.enlarge(upscaler, requests, drawing)


def _draw(components: Components | None, requests: Sequence[ImageRequest], sources: Sequence[Sources]) -> Drawing:
    first = requests[0]
    if first.strategy in _WITHOUT_GENERATOR:
        return _WITHOUT_GENERATOR[first.strategy](requests, sources)
    if first.strategy not in (known := ("text2img", *_FROM_IMAGES)):
        raise InputError(
            f"there is no strategy {first.strategy!r}", expected=" or ".join((*known, *_WITHOUT_GENERATOR))
        )
    if components is None:
        raise InputError(f"the strategy {first.strategy} needs a checkpoint, and none was loaded")
    can = PAINTS["inpainting" if is_inpainting_unet(components) else "text2img"]
    if first.strategy not in can:
        raise CheckpointError(
            f"an inpainting checkpoint cannot do {first.strategy}",
            where=first.checkpoint,
            expected="a text-to-image checkpoint",
            todo=f"Choose another checkpoint, or one of this one's strategies: {', '.join(can)}.",
        )
    if first.strategy == "text2img":
        return text2img.draw(components, requests)
    return _FROM_IMAGES[first.strategy](components, requests, sources)
