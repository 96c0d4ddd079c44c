"""The built-in arms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenfold.studies.arms import ArmSpec

_ARMS: dict[str, dict[str, Any]] = {
    "real_only": dict(description="the real images, unchanged", transforms="none"),
    "real_transforms": dict(description="the real images, randomly changed"),
    "real_strong": dict(description="the real images with RandAugment, MixUp and CutMix", transforms="strong"),
    "real_duplicated": dict(
        description="each real image as often as real and synthetic ones together; where epochs count",
        duplicate_real=True,
    ),
    "real_balanced": dict(
        description="real images, the groups of skin types drawn equally often",
        balance_by="skin_type_group",
    ),
    "real_autoencoder": dict(
        description="a share is the same real images through the autoencoder",
        sets=("autoencoder",),
        generator="pretrained",
    ),
    "real_recolor": dict(
        description="a share is the same real images in other skin tones",
        sets=("recolor",),
        generator="pretrained",
    ),
    "real_composite": dict(
        description="a share is the real lesions set into each other's surroundings",
        sets=("composite",),
        generator="pretrained",
    ),
    "hybrid": dict(description="a share is drawn from prompts by the fine-tuned generator", sets=("text2img",)),
    "hybrid_outpaint": dict(
        description="a share is the real lesions with surroundings that the base draws, without fine-tuning",
        sets=("outpaint",),
        generator="pretrained",
    ),
    "hybrid_mix": dict(
        description="outpainted images and composites in equal parts",
        sets=("outpaint", "composite"),
        generator="pretrained",
    ),
    "synthetic_only": dict(
        description="nothing but images that the fine-tuned generator draws from prompts",
        real=False,
        sets=("text2img",),
    ),
    "fresh_real": dict(description="a share is other real images: the headroom", fresh=True),
    "hybrid_pretrained": dict(
        description="a share is drawn from prompts by the base, without fine-tuning",
        sets=("text2img",),
        generator="pretrained",
    ),
    "hybrid_img2img": dict(
        description="a share is the real images drawn anew in part by the fine-tuned generator",
        sets=("img2img",),
    ),
    "hybrid_inpaint": dict(
        description="a share is the real images with a part painted anew by the fine-tuned generator",
        sets=("inpaint",),
    ),
    "hybrid_outpaint_tuned": dict(
        description="a share is the real lesions with surroundings that the fine-tuned generator draws",
        sets=("outpaint",),
    ),
    "hybrid_in_then_outpaint": dict(
        description="a share is painted anew inside and then outside by the fine-tuned generator",
        sets=("in_then_outpaint",),
    ),
    "hybrid_unfiltered": dict(
        description="as hybrid, with the images that reviewers rejected",
        sets=("text2img",),
        review="unfiltered",
    ),
    "hybrid_two_stage": dict(
        share=0.5,
        description="as hybrid, but synthetic images first and real images last",
        sets=("text2img",),
        schedule="two_stage",
    ),
    "hybrid_weighted": dict(
        description="as hybrid, synthetic images drawn as often as cross-fitted teachers trust them",
        sets=("text2img",),
        weighting="teacher",
    ),
    "hybrid_balanced": dict(
        description="as hybrid, the groups of skin types drawn equally often",
        sets=("text2img",),
        balance_by="skin_type_group",
    ),
    "synthetic_pretrained": dict(
        description="nothing but images that the base draws from prompts, without fine-tuning",
        real=False,
        sets=("text2img",),
        generator="pretrained",
    ),
}
BUILT_IN: Mapping[str, ArmSpec] = {name: ArmSpec.model_validate({"name": name, **arm}) for name, arm in _ARMS.items()}

DEFAULT_ARMS = (
    "real_only",
    "real_transforms",
    "real_autoencoder",
    "real_recolor",
    "real_composite",
    "hybrid",
    "hybrid_outpaint",
    "synthetic_only",
    "fresh_real",
)
CURVE_ARMS = ("real_only", "real_transforms")
