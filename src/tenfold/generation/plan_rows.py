"""The rows of a plan: what differs from image to image, for images from prompts and for those from real images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tenfold.core.seeds import derive_seed
from tenfold.data.captions import class_noun, stated_skin_type, template_caption
from tenfold.generation.amounts import Amount, in_turn, interleaved, prompt_counts
from tenfold.generation.plan_reading import FACT_PREFIX
from tenfold.generation.plan_seeds import image_seed
from tenfold.generation.plan_table import NUMBER
from tenfold.generation.prompt_plan import (
    FieldValues,
    Template,
    facts_of,
    named_skin_type,
    prompt_for_skin_type,
)
from tenfold.generation.real_images import Backgrounds, Row

Identity = tuple[str | int, ...]


@dataclass(frozen=True)
class Prompting:
    """The prompts of every label and how they are guided."""

    templates: Mapping[str, Sequence[Template]]
    """By label; a label without any is told what the source image's row says."""
    values: FieldValues
    skin_types: Sequence[int] | None
    amount: Amount
    nouns: Mapping[str, str]
    negative_prompt: str
    negative_prompts: Mapping[str, str]
    guidance_scale: float
    guidance_scales: Mapping[str, float]

    def told(self, template: Template, identity: Identity, parent: Row | None, tone: int | None) -> dict[str, Any]:
        """The fields of an image that its prompt decides, and its facts."""
        label = str(identity[0])
        facts: dict[str, Any] = {}
        if template.fields:
            values = self.values.of_image(template, identity, parent, tone)
            prompt, skin_type = template.filled(values), values["skin_type"]
            facts = {f"{FACT_PREFIX}{name}": value for name, value in facts_of(values).items()}
        else:
            prompt, skin_type = template.filled({}), None
        if not template.names_skin:
            prompt = prompt_for_skin_type(prompt, tone)
            skin_type = named_skin_type(prompt)
        negative = template.negative_prompt
        return {
            "label": label,
            "prompt": prompt,
            "negative_prompt": self.negative_prompts.get(label, self.negative_prompt) if negative is None else negative,
            "guidance_scale": self.guidance_scales.get(label, self.guidance_scale),
            "skin_type": skin_type,
            **facts,
        }

    def order_of(self, label: str, count: int, *, seed: int) -> list[tuple[Template, int | None]]:
        """Template and skin type of each of a label's images: skin types in turn, and each meets the templates."""
        templates = self.templates[label]
        tones: Sequence[int | None] = self.skin_types or (None,)
        if self.amount.images_per_prompt is not None:
            counts = prompt_counts(self.amount, label, [template.text for template in templates], seed=seed)
            return [(templates[place], tones[(place + turn) % len(tones)]) for place, turn in interleaved(counts)][
                :count
            ]
        sequence = in_turn([template.weight for template in templates], -(-count // len(tones)) + len(tones))
        turns = [divmod(number, len(tones)) for number in range(count)]
        return [(templates[sequence[turn + place]], tones[place]) for turn, place in turns]


@dataclass(frozen=True)
class Extras:
    """Seeds and tones beside the prompt's."""

    seed: int
    """The run's root seed."""
    streams: Sequence[str]
    """The seed columns that the strategy draws noise by."""
    has_mask_seed: bool = False
    recolors: bool = False
    """Whether the skin type that is asked for is also the tone to recolor to."""

    def of_image(self, identity: Identity, skin_type: int | None) -> dict[str, Any]:
        """The columns of one image."""
        row: dict[str, Any] = {name: image_seed(self.seed, name, identity) for name in self.streams}
        if self.has_mask_seed:
            row["mask_seed"] = derive_seed(self.seed, "mask", *identity)
        if self.recolors:
            row["recolor_to"] = skin_type
        return row


def text_rows(prompting: Prompting, counts: Mapping[str, int], extras: Extras) -> Iterator[dict[str, Any]]:
    """Rows of images from prompts alone, label by label.

    An image's seed depends on (seed, label, its number) only, so that more images leave the first ones as they are.
    """
    for label, count in counts.items():
        for number, (template, tone) in enumerate(prompting.order_of(label, count, seed=extras.seed)):
            identity = (label, number)
            yield {
                **prompting.told(template, identity, None, tone),
                **extras.of_image(identity, tone),
                NUMBER: number,
            }


@dataclass(frozen=True)
class SourceRows:
    """Rows of images that start from real ones: the first image of every parent, then the second ones, and so on.

    An image's seeds depend on (seed, label, parent, its number among the parent's) only.
    """

    strategy: str
    parents: Sequence[Row]
    counts: Mapping[str, int]
    """Images of each label, shared out evenly over its parents."""
    extras: Extras
    skin_types: Sequence[int] | None
    prompting: Prompting | None = None
    """None for strategies that read no prompt."""
    backgrounds: Backgrounds | None = None
    used: dict[str, Row] = field(default_factory=dict)
    """Filled on the way: the backgrounds that were chosen, by image_id."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        ranks: dict[str, int] = {}
        ranked = []
        for parent in self.parents:
            label = str(parent["label"])
            ranked.append((parent, label, ranks.setdefault(label, 0)))
            ranks[label] += 1
        turns = max((-(-count // ranks[label]) for label, count in self.counts.items()), default=0)
        orders = self._orders(ranks)
        for turn in range(turns):
            for parent, label, rank in ranked:
                place = turn * ranks[label] + rank
                if place < self.counts.get(label, 0):
                    yield self._row(parent, label, (rank, turn, place), orders.get(label))

    def _orders(self, ranks: Mapping[str, int]) -> dict[str, list[tuple[Template, int | None]]]:
        """Template and skin type by number; a label's longest diagonal of parents and turns."""
        if self.prompting is None:
            return {}
        found = {}
        for label, count in self.counts.items():
            if self.prompting.templates.get(label):
                length = count if self.prompting.amount.images_per_prompt is not None else count + ranks[label]
                found[label] = self.prompting.order_of(label, length, seed=self.extras.seed)
        return found

    def _row(
        self, parent: Row, label: str, place: tuple[int, int, int], order: list[tuple[Template, int | None]] | None
    ) -> dict[str, Any]:
        rank, turn, position = place
        tones: Sequence[int | None] = self.skin_types or (None,)
        tone = tones[(rank + turn) % len(tones)]
        identity = (label, str(parent["image_id"]), turn)
        row: dict[str, Any] = {"label": label, "skin_type": self._kept_skin_type(parent)}
        if self.prompting is not None:
            if order is None:
                template = Template(_caption(parent, self.prompting.nouns), is_plain=True)
            elif self.prompting.amount.images_per_prompt is not None:
                template = order[position][0]
            else:
                template, tone = order[rank + turn]
            kept = row["skin_type"]
            row = self.prompting.told(template, identity, parent, tone)
            row["skin_type"] = self._shown_skin_type(row["skin_type"], kept)
        elif self.strategy == "recolor":
            row["skin_type"] = tone
        elif self.backgrounds is not None:
            background = self.backgrounds.of_skin_type(tone).choose(parent, self.extras.seed, identity)
            self.used[str(background["image_id"])] = background
            row |= {"background_id": background["image_id"], "skin_type": stated_skin_type(background)}
        return {**row, "parent_id": identity[1], **self.extras.of_image(identity, row["skin_type"]), NUMBER: turn}

    def _kept_skin_type(self, parent: Row) -> int | None:
        if self.strategy == "autoencoder":
            skin_type: int | None = parent["skin_type"]
            return skin_type
        return stated_skin_type(parent)

    def _shown_skin_type(self, asked: int | None, kept: int | None) -> int | None:
        """What the picture should show: inpainting keeps the skin, image-to-image does where nothing is asked."""
        if self.strategy == "inpaint":
            return kept
        return kept if self.strategy == "img2img" and asked is None else asked


def _caption(parent: Row, nouns: Mapping[str, str]) -> str:
    if parent["caption"]:
        return str(parent["caption"])
    noun = class_noun(str(parent["label"]), nouns)
    return template_caption(noun, skin_type=stated_skin_type(parent), site=parent["site"])
