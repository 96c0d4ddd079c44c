"""The arms in words: names, what each trains on, the order in which they are listed; variants by their suffixes."""

from __future__ import annotations

import re

ARM_NAMES = {
    "real_only": "Real images only",
    "real_transforms": "Real + transforms",
    "real_strong": "Real + strong transforms",
    "real_duplicated": "Real images duplicated",
    "real_balanced": "Real, subgroups balanced",
    "real_autoencoder": "Real through the autoencoder",
    "real_recolor": "Real in other skin tones",
    "real_composite": "Real lesions on other images",
    "hybrid": "Real + synthetic",
    "hybrid_pretrained": "Real + synthetic of the base",
    "hybrid_img2img": "Real + redrawn",
    "hybrid_inpaint": "Real + inpainted",
    "hybrid_outpaint": "Real + outpainted",
    "hybrid_outpaint_tuned": "Real + outpainted by the fine-tuned generator",
    "hybrid_in_then_outpaint": "Real + inpainted and outpainted",
    "hybrid_mix": "Real + outpainted + composites",
    "hybrid_two_stage": "Synthetic first, real last",
    "hybrid_weighted": "Real + synthetic, weighted by teachers",
    "hybrid_unfiltered": "Real + synthetic, rejected images too",
    "hybrid_balanced": "Real + synthetic, subgroups balanced",
    "synthetic_only": "Synthetic only",
    "synthetic_pretrained": "Synthetic of the base only",
    "fresh_real": "More real images (headroom)",
}
_EXPLANATIONS = {
    "real_only": "The few real images, shown as they are.",
    "real_transforms": "The same real images, randomly cropped, flipped, rotated and relit during training.",
    "real_strong": "The same real images under RandAugment, MixUp and CutMix, a stronger set of random changes.",
    "real_duplicated": "Each real image counts as often as real and synthetic ones together: shows what more steps "
    "alone do where epochs count.",
    "real_balanced": "As real + transforms, but the groups of skin types are drawn equally often.",
    "real_autoencoder": "As above, but part of each batch is the same real images passed through the generator's "
    "autoencoder: shows what its blur alone does.",
    "real_recolor": "As real + transforms, but part of each batch is the same real images with the skin in another "
    "tone, computed without a generator.",
    "real_composite": "As real + transforms, but part of each batch is the real lesions, cut out by their masks and "
    "set into the surroundings of other training images, without a generator.",
    "hybrid": "As real + transforms, but part of each batch is synthetic images.",
    "hybrid_pretrained": "As real + synthetic, but the generator draws without having been fine-tuned.",
    "hybrid_img2img": "As real + transforms, but part of each batch is the real images, drawn anew in part by the "
    "fine-tuned generator.",
    "hybrid_inpaint": "As real + transforms, but part of each batch is the real images with a part painted anew by the "
    "fine-tuned generator.",
    "hybrid_outpaint": "As real + transforms, but part of each batch is the real lesions, kept by their masks, in "
    "surroundings that the generator draws without having been fine-tuned.",
    "hybrid_outpaint_tuned": "As real + outpainted, but the generator was fine-tuned.",
    "hybrid_in_then_outpaint": "As real + transforms, but part of each batch is real images painted anew inside and "
    "then outside.",
    "hybrid_mix": "As real + transforms, but part of each batch is outpainted images and composites in equal parts.",
    "hybrid_two_stage": "As real + synthetic, but the synthetic images come first and the real ones last.",
    "hybrid_weighted": "As real + synthetic, but a synthetic image is drawn as often as teachers, classifiers that "
    "never saw its parents, believe that it shows its class.",
    "hybrid_unfiltered": "As real + synthetic, with the images that reviewers rejected.",
    "hybrid_balanced": "As real + synthetic, but the groups of skin types are drawn equally often.",
    "synthetic_only": "Synthetic images alone, no real image in training.",
    "synthetic_pretrained": "Synthetic images alone, drawn by a generator that was not fine-tuned.",
    "fresh_real": "As real + synthetic, but with other real images in place of the synthetic ones: "
    "what a perfect generator could have given.",
}
_SUFFIXES = {
    "none": "without transforms",
    "paper": "with transforms",
    "strong": "strong transforms",
    "strict": "strict budget",
    "archive": "archive budget",
    "pooled": "pooled budget",
}
_NAME = rf"(?:{'|'.join(sorted(ARM_NAMES, key=len, reverse=True))})"
_SUFFIX = rf"(?:@(?:r\d+|s0\.\d+|{'|'.join(_SUFFIXES)})\b)"
_PATTERN = re.compile(rf"\b{_NAME}\b{_SUFFIX}*|\b[a-z]\w*{_SUFFIX}+")


def arm_name(arm: str) -> str:
    """The arm in words; an unknown one by its own name.

    >>> arm_name("hybrid"), arm_name("hybrid@r25@strong"), arm_name("our_arm")
    ('Real + synthetic', 'Real + synthetic, 25 per real image, strong transforms', 'Our arm')
    """
    base, *suffixes = arm.split("@")
    name = ARM_NAMES.get(base, base.replace("_", " ").capitalize())
    return ", ".join([name, *(_suffix_words(suffix) for suffix in suffixes)])


def arm_explanation(arm: str, description: str = "") -> str:
    """What the arm trains on: of one that is not built in, the recipe's `description`; "" when nobody says.

    >>> arm_explanation("hybrid@pooled")
    'As real + synthetic; pooled budget: its generator saw all labeled training images.'
    """
    base, *suffixes = arm.split("@")
    told = plain_words(description).rstrip(".")
    known = _EXPLANATIONS.get(base) or (told and f"{told[:1].upper()}{told[1:]}.")
    if not suffixes:
        return known
    words = "; ".join(_suffix_explanation(suffix) for suffix in suffixes)
    return f"As {_lower(arm_name(base))}; {words}."


def arm_order(arm: str) -> tuple[int, str]:
    """Sorts arms from the fewest means to the most, variants behind their own by rising dose; unknown ones last.

    >>> sorted(["hybrid@r25", "fresh_real", "other", "hybrid@r5", "hybrid", "real_only"], key=arm_order)
    ['real_only', 'hybrid', 'hybrid@r5', 'hybrid@r25', 'fresh_real', 'other']
    """
    base, _, suffixes = arm.partition("@")
    place = list(ARM_NAMES).index(base) if base in ARM_NAMES else len(ARM_NAMES)
    padded = re.sub(r"\d+", lambda match: match.group().zfill(6), suffixes)
    return place, padded if base in ARM_NAMES else f"{base}@{padded}"


def plain_words(text: str) -> str:
    """A sentence with the arms' identifiers put into words.

    >>> plain_words("hybrid@r5 is worse than real_only.")
    'real + synthetic, 5 per real image is worse than real images only.'
    """
    return _PATTERN.sub(lambda match: _lower(arm_name(match.group())), text)


def _suffix_words(suffix: str) -> str:
    if suffix[:1] == "r" and suffix[1:].isdigit():
        return f"{suffix[1:]} per real image"
    if suffix[:1] == "s" and suffix[1:2].isdigit():
        return f"{100 * float(suffix[1:]):g} % of a batch"
    return _SUFFIXES.get(suffix, suffix.replace("_", " "))


def _suffix_explanation(suffix: str) -> str:
    further = {
        "archive": "archive budget: its base was pretrained further on unlabeled images outside validation and test",
        "pooled": "pooled budget: its generator saw all labeled training images",
        "strict": "strict budget: its generator saw the cell's own images only",
    }
    return further.get(suffix, _suffix_words(suffix))


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]
