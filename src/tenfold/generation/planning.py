"""The plan of a generation: every request and its batch, computed before anything is drawn; torch-free."""

from __future__ import annotations

import difflib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from tenfold.core.errors import DataError
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import ATTRIBUTE_PREFIX, manifest_rows
from tenfold.generation.adapter import adapter_inputs, resolve_model
from tenfold.generation.amounts import Amount, label_counts
from tenfold.generation.checkpoint_records import PROMPTS, RECORDS, recorded_prompts
from tenfold.generation.config import AMOUNTS, PROMPTED, WITHOUT_GENERATOR, GenerateConfig, PromptTemplate
from tenfold.generation.plan_fields import ancestors, extras, model_folders, shared_request
from tenfold.generation.plan_reading import FACT_PREFIX, Batch, batch_of, rows_of
from tenfold.generation.plan_rows import Prompting, SourceRows, text_rows
from tenfold.generation.plan_seeds import with_distinct_noise
from tenfold.generation.plan_table import batch_starts, collect, grouped_order, with_image_ids, write_table
from tenfold.generation.prompt_plan import (
    MANIFEST_FIELDS,
    SKIN_FIELDS,
    FieldValues,
    Template,
    check_fields,
    offered_fields,
)
from tenfold.generation.real_images import (
    MANIFEST,
    SPLIT,
    Row,
    check_masks,
    check_skin,
    mask_places,
    read_backgrounds,
    read_parents,
    read_training_rows,
)
from tenfold.generation.requests import ImageRequest
from tenfold.models.checkpoint_ref import checkpoint_parts, resolve_checkpoint
from tenfold.models.learned_images import TRAINING_ROWS

__all__ = ["PROMPTS", "TRAINING_ROWS", "Batch", "Plan", "plan", "plan_inputs", "write_requests"]

Templates = Mapping[str, Sequence[Template]]
_APART = ("guidance_scale", "negative_prompt")
"""What all images of a batch share, beside what all images of a plan do."""


@dataclass(frozen=True)
class Plan:
    """What will be made, in columns: requests are built when they are asked for.

    `ancestors`: the real images the checkpoint learned from; None when nobody recorded them.
    """

    shared: ImageRequest
    """The fields that are the same for all images; its others say nothing."""
    table: pa.Table
    """By image: image_id, the fields that differ, its number and facts."""
    starts: tuple[int, ...]
    """Where each batch begins in the table, and the table's end."""
    ancestors: tuple[str, ...] | None
    references: Mapping[str, Mapping[str, Any]]
    """Manifest rows of the real images that are started from or set into, by image_id."""

    @property
    def image_count(self) -> int:
        """Images in all."""
        return int(self.table.num_rows)

    @property
    def batch_count(self) -> int:
        """Batches in all."""
        return len(self.starts) - 1

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """Images of each batch."""
        return tuple(end - start for start, end in itertools.pairwise(self.starts))

    def batch(self, number: int) -> Batch:
        """One batch."""
        rows = rows_of(self.table, self.starts[number], self.starts[number + 1])
        return batch_of(number, rows, self.shared.as_dict())

    @property
    def batches(self) -> Iterator[Batch]:
        """All batches in order, built one after the other."""
        return (self.batch(number) for number in range(self.batch_count))

    @property
    def requests(self) -> Iterator[ImageRequest]:
        """All requests in order."""
        return (request for batch in self.batches for request in batch.requests)

    @property
    def first(self) -> ImageRequest:
        """The first request."""
        return self.batch(0).requests[0]

    def counts(self) -> dict[str, int]:
        """Images by label, in order of appearance."""
        return dict(Counter(itertools.chain.from_iterable(chunk.to_pylist() for chunk in self.table["label"].chunks)))

    def coverage(self) -> pd.DataFrame:
        """What will be made: `images` by label, strategy, skin type and whatever the prompts' fields say."""
        facts = [name for name in self.table.column_names if name.startswith(FACT_PREFIX)]
        table = self.table.select(["label", "skin_type", *facts]).to_pandas()
        table = table.rename(columns=lambda name: str(name).removeprefix(FACT_PREFIX))
        table.insert(1, "strategy", self.shared.strategy)
        table["skin_type"] = table["skin_type"].astype("Int64")
        found = table.groupby(list(table.columns), dropna=False, observed=True).size()
        coverage: pd.DataFrame = found.rename("images").reset_index()
        return coverage


def plan(config: GenerateConfig, workspace: Workspace) -> Plan:
    """The plan of a run; the same config and inputs give the same plan.

    Raises:
        CheckpointError: the checkpoint is missing, or cannot do the strategy.
        DataError: there are no prompts, a prompt has an unknown field, a source image is not of the training split or
            lacks its mask, skin types are asked of images without skin, or no image is asked for.
    """
    if config.skin_types or config.recolor_to_skin_type:
        check_skin(workspace)
    shared = shared_request(config, workspace)
    learned_from = ancestors(config, workspace)
    templates = _templates(config, workspace) if config.strategy in PROMPTED else {}
    references: dict[str, Row] = {}
    if config.strategy == "text2img":
        table = collect(_text_rows(config, workspace, shared, templates))
    else:
        rows = _source_rows(config, workspace, shared, templates)
        table = collect(rows)
        references = {str(row["image_id"]): row for row in rows.parents} | rows.used
    if config.recolor_to_skin_type and table["recolor_to"].null_count:
        raise DataError(
            "recolor_to_skin_type has no skin type to go by: the prompts ask for none",
            expected="a prompt with {skin_type} or {skin_phrase}",
            todo="Put such a field into the prompts, or give skin_types.",
        )
    table = with_distinct_noise(grouped_order(table, _APART), config.seed)
    table = with_image_ids(table, shared)
    return Plan(shared, table, batch_starts(table, config.batch_size, apart=_APART), learned_from, references)


def plan_inputs(config: GenerateConfig, workspace: Workspace) -> list[Path]:
    """The files that decide plan and pixels; of source images the manifest, which holds their hashes, and the masks."""
    inputs: list[Path] = []
    if config.strategy not in WITHOUT_GENERATOR:
        checkpoint, adapter = resolve_model(config, workspace)
        inputs += [*checkpoint_parts(checkpoint), *adapter_inputs(adapter, RECORDS)]
        inputs += [checkpoint / name for name in RECORDS if (checkpoint / name).is_file()]
    if config.upscaler is not None:
        inputs += checkpoint_parts(resolve_checkpoint(config.upscaler, workspace))
    if config.ancestors_from is not None:
        inputs.append(workspace.resolve(config.ancestors_from) / TRAINING_ROWS)
    if config.strategy != "text2img" or _reads_training_rows(config, _templates(config, workspace)):
        inputs += [workspace.resolve(MANIFEST), workspace.resolve(SPLIT)]
    if config.strategy != "text2img":
        inputs += mask_places(workspace)  # also where nothing is painted: each image's record holds its mask's hash
    return inputs


def write_requests(plan: Plan, path: Path) -> None:
    """One row for each image: image_id, batch, position in it, and the request's fields; `read_batches` reads it."""
    write_table(path, plan.table, plan.shared, plan.starts)


def _text_rows(
    config: GenerateConfig, workspace: Workspace, shared: ImageRequest, templates: Templates
) -> Iterator[dict[str, Any]]:
    training = read_training_rows(workspace) if _reads_training_rows(config, templates) else None
    real: dict[str, int] = {}
    rows: list[Row] = []
    if training is not None:
        real = Counter(training["label"].tolist())
        names = {name for listed in templates.values() for template in listed for name in template.fields}
        offered = {*offered_fields(training.columns), "skin_type_group"}
        needed = ["label", "skin_type", "skin_type_source", *sorted(names & offered)]
        rows = list(manifest_rows(training[needed]))
    prompting = _prompting(config, shared, templates, rows, () if training is None else training.columns)
    counts = label_counts(prompting.amount, _texts(templates), real, seed=config.seed)
    return text_rows(prompting, counts, extras(config))


def _source_rows(
    config: GenerateConfig, workspace: Workspace, shared: ImageRequest, templates: Templates
) -> SourceRows:
    parents = read_parents(workspace, config.reference_ids, config.labels or tuple(templates))
    if shared.mask == "lesion":
        check_masks(parents, todo="Import masks, name images that have one in `reference_ids`, or set mask to center.")
    if config.strategy == "composite":
        check_masks(parents, todo="Import masks, or name images that have one in `reference_ids`.")
    real = Counter(str(row["label"]) for row in parents)
    texts = {label: [""] for label in real} | _texts(templates)
    prompting = None
    if config.strategy in PROMPTED:
        prompting = _prompting(config, shared, templates, (), parents[0])
    return SourceRows(
        strategy=config.strategy,
        parents=parents,
        counts=label_counts(_amount(config), texts, real, seed=config.seed),
        extras=extras(config),
        skin_types=config.skin_types,
        prompting=prompting,
        backgrounds=read_backgrounds(workspace, config.reference_ids, config.background_labels)
        if config.strategy == "composite"
        else None,
    )


def _prompting(
    config: GenerateConfig, shared: ImageRequest, templates: Templates, rows: Sequence[Row], columns: Iterable[str]
) -> Prompting:
    _check(templates, [*config.fields, *offered_fields(columns)])
    return Prompting(
        templates=templates,
        values=FieldValues(config.fields, rows, config.class_nouns, seed=config.seed),
        skin_types=config.skin_types,
        amount=_amount(config),
        nouns=config.class_nouns,
        negative_prompt=config.negative_prompt,
        negative_prompts=config.negative_prompts,
        guidance_scale=shared.guidance_scale or 1.0,
        guidance_scales=config.guidance_scales,
    )


def _amount(config: GenerateConfig) -> Amount:
    given = {name: getattr(config, name) for name in AMOUNTS}
    if config.strategy != "text2img" and all(value is None for value in given.values()):
        given["images_per_real_image"] = 1
    return Amount(**given, class_weights=config.class_weights)


def _templates(config: GenerateConfig, workspace: Workspace) -> dict[str, tuple[Template, ...]]:
    """By label; {} where images start from real ones and nobody gave prompts: their captions are taken then."""
    own = model_folders(config, workspace).own
    found: dict[str, tuple[Template, ...]] = {
        label: tuple(_template(listed) for listed in prompts) for label, prompts in config.prompts.items()
    }
    if not found and own is not None:
        found = recorded_prompts(own)
    if not found and config.strategy != "text2img":
        return {}
    if not found:
        raise DataError(
            "there are no prompts, and the checkpoint brings none of its own",
            where=str(own),
            expected="`prompts`: for each label a list of prompts",
            todo="Give prompts, or take a checkpoint that Tenfold fine-tuned.",
        )
    chosen = config.labels or tuple(found)
    lacking = [label for label in chosen if not found.get(label)]
    if lacking:
        raise DataError(f"there is no prompt for {', '.join(lacking)}", expected="a prompt for each label")
    _check_labels(config, chosen)
    return {label: tuple(dict.fromkeys(found[label])) for label in chosen}


def _template(prompt: str | PromptTemplate) -> Template:
    if isinstance(prompt, str):
        return Template(prompt)
    return Template(prompt.text, prompt.weight, prompt.negative_prompt)


def _texts(templates: Templates) -> dict[str, list[str]]:
    return {label: [template.text for template in listed] for label, listed in templates.items()}


def _reads_training_rows(config: GenerateConfig, templates: Templates) -> bool:
    """Whether text-to-image needs the real images: for their number, or for values of the prompts' fields."""
    fields = {name for listed in templates.values() for template in listed for name in template.fields}
    _check(templates, [*config.fields, *MANIFEST_FIELDS, *(name for name in fields if _is_attribute(name))])
    told = {*config.fields, *(SKIN_FIELDS if config.skin_types or "skin_type" in config.fields else ())}
    is_open = any(name in (*SKIN_FIELDS, *MANIFEST_FIELDS) or _is_attribute(name) for name in fields - told)
    return is_open or _amount(config).needs_real_counts


def _check(templates: Templates, offered: Iterable[str]) -> None:
    check_fields((template for listed in templates.values() for template in listed), offered)


def _is_attribute(name: str) -> bool:
    return name.startswith(ATTRIBUTE_PREFIX)


def _check_labels(config: GenerateConfig, labels: Sequence[str]) -> None:
    """Raises DataError for settings of labels that nothing is made of: a misspelled one would do nothing."""
    for name in ("guidance_scales", "negative_prompts", "class_weights"):
        for label in getattr(config, name):
            if label not in labels:
                near = difflib.get_close_matches(label, labels, n=1)
                raise DataError(
                    f"{name} names the label {label!r}, of which nothing is made",
                    expected=", ".join(labels),
                    todo=f"Did you mean {near[0]!r}?" if near else "Correct the label.",
                )
