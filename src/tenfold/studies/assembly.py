"""From the plan to parts: the stages' configs filled with ids and seeds, in three waves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenfold.audits.config import AuditConfig
from tenfold.classification.config import ClassifierConfig
from tenfold.core.seeds import derive_seed
from tenfold.data.captions import class_noun, class_prompt
from tenfold.finetuning.config import DreamBoothConfig
from tenfold.generation.config import USED_BY, GenerateConfig
from tenfold.studies import estimates
from tenfold.studies.arms import SyntheticSet
from tenfold.studies.config import StudyRunConfig
from tenfold.studies.design import Cell, Chain, StudyPlan
from tenfold.studies.parts import Part, Step
from tenfold.studies.settings import fill_config

PRIOR_LABEL = "prior"


@dataclass(frozen=True)
class Waves:
    """Parts by wave: each wave needs what the ones before it made. `needs` names, by part, the parts it builds on."""

    first: tuple[Part, ...]
    second: tuple[Part, ...]
    third: tuple[Part, ...]
    needs: Mapping[str, tuple[str, ...]]

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts in order."""
        return self.first + self.second + self.third


def assemble(config: StudyRunConfig, plan: StudyPlan, root_seed: int, workspace: Path, progress_folder: Path) -> Waves:
    """All parts of the study, the longest first within a wave, so that the last worker does not wait long.

    First: prior images and sets that need no fine-tuning. Second: generators with their sets, and cells without images
    of theirs. Third: cells with such images, and audits of the sets.
    """
    builder = _Builder(config, plan, root_seed, workspace, progress_folder)
    first, second, third = [], [], []
    if plan.generator_count and config.prior.images:
        first.append(builder.prior())
    fine_tuned = set()
    for chain in plan.chains:
        for made in chain.sets:
            if made.strategy == "text2img":
                fine_tuned.add(made.name)
                second.append(builder.generator(chain, made))
                third.append(builder.audit(chain, made))
            else:
                first.append(builder.synthetic_set(chain, made))
    for cell in plan.cells:
        (second if fine_tuned.isdisjoint(cell.synthetic_sets) else third).append(builder.cell(cell))
    return Waves(_longest_first(first), _longest_first(second), _longest_first(third), builder.needs)


def _longest_first(parts: Sequence[Part]) -> tuple[Part, ...]:
    return tuple(sorted(parts, key=lambda part: (-part.seconds, part.name)))


class _Builder:
    def __init__(
        self, config: StudyRunConfig, plan: StudyPlan, root_seed: int, workspace: Path, progress_folder: Path
    ) -> None:
        self.config = config
        self.plan = plan
        self.root_seed = root_seed
        self.workspace = workspace
        self.progress_folder = progress_folder
        self.needs: dict[str, tuple[str, ...]] = {}
        self.prior_name = f"{plan.name}-prior"
        self.base: str = getattr(config.finetune, "base_checkpoint")  # noqa: B009 (a made class: mypy knows no fields)

    def prior(self) -> Part:
        config = self._generate(
            name=self.prior_name,
            seed=derive_seed(self.root_seed, "prior"),
            checkpoint=self.base,
            prompts={PRIOR_LABEL: self._base_prompts(*self.plan.labels)},
            skin_types=self.config.prior.skin_types,
            images_per_class=self.config.prior.images,
        )
        return self._part(
            self.prior_name, Step("generate", config, _generation_seconds(config, self.config.prior.images))
        )

    def synthetic_set(self, chain: Chain, made: SyntheticSet) -> Part:
        """A set made of the chain's real images by the base, or by no generator."""
        settings: dict[str, Any] = {"prompts": {}, "skin_types": None}
        if made.strategy == "outpaint":
            settings["prompts"] = {label: self._base_prompts(label) for label in self.plan.labels}
        if made.strategy in ("outpaint", "recolor") and self.plan.tones:
            settings |= {"skin_types": self.plan.tones, "recolor_to_skin_type": made.strategy == "outpaint"}
        config = self._generate(
            name=made.name,
            seed=derive_seed(chain.generator_seed, made.strategy),
            strategy=made.strategy,
            checkpoint=self.base,
            labels=self.plan.labels,
            images_per_class=made.images_per_class,
            reference_ids=made.source_ids,
            **settings,
        )
        return self._part(made.name, Step("generate", config, _generation_seconds(config, made.image_count)))

    def generator(self, chain: Chain, made: SyntheticSet) -> Part:
        has_prior = self.config.prior.images > 0
        tuned = fill_config(
            DreamBoothConfig,
            self.config.finetune,
            "finetune",
            {
                "name": chain.name,
                "seed": derive_seed(chain.generator_seed, "dreambooth"),
                "training_ids": chain.training_ids,
                "class_nouns": self.config.class_nouns,
                "prior_manifest": f"synthetic/{self.prior_name}/manifest.parquet" if has_prior else None,
            },
        )
        model = f"models/{chain.name}"
        drawn = self._generate(
            name=made.name,
            seed=derive_seed(chain.generator_seed, "generate"),
            checkpoint=model if tuned.method == "full" else self.base,
            adapter=model if tuned.method == "lora" else None,
            labels=self.plan.labels,
            images_per_class=made.images_per_class,
        )
        images_per_step = tuned.train_batch_size + (tuned.prior_batch_size if has_prior else 0)
        self.needs[chain.name] = (self.prior_name,) if has_prior else ()
        return self._part(
            chain.name,
            Step("dreambooth", tuned, estimates.dreambooth_seconds(tuned.max_train_steps, images_per_step)),
            Step("generate", drawn, _generation_seconds(drawn, made.image_count)),
        )

    def audit(self, chain: Chain, made: SyntheticSet) -> Part:
        config = fill_config(
            AuditConfig,
            self.config.audit,
            "audit",
            {
                "name": made.name,
                "synthetic": made.name,
                "training_ids": chain.training_ids,
                "seed": derive_seed(chain.generator_seed, "audit"),
            },
        )
        name = f"audit-{made.name}"
        self.needs[name] = (chain.name,)
        return self._part(name, Step("audit", config, estimates.audit_seconds(made.image_count)))

    def cell(self, cell: Cell) -> Part:
        shared = {name: getattr(cell, name) for name in _CELL_FIELDS}
        manifests = [f"synthetic/{name}/manifest.parquet" for name in cell.synthetic_sets]
        config = fill_config(
            ClassifierConfig,
            self.config.classify,
            "classify",
            {
                "cell": cell.name,
                "study": self.plan.name,
                "labels": self.plan.labels,
                "extra_manifests": tuple(manifests),
                **shared,
            },
        )
        self.needs[cell.name] = cell.synthetic_sets
        seconds = estimates.classify_seconds(config.max_train_steps, config.batch_size)
        return self._part(cell.name, Step("classify", config, seconds))

    def _base_prompts(self, *labels: str) -> tuple[str, ...]:
        """What the base, which knows no identifiers, is asked for; the classes' nouns where the recipe says nothing."""
        if self.config.prior.prompts:
            return self.config.prior.prompts
        shared = getattr(self.config.finetune, "class_noun")  # noqa: B009
        nouns = [shared] if shared else [class_noun(label, self.config.class_nouns) for label in labels]
        return tuple(class_prompt(noun) for noun in nouns)

    def _generate(self, **filled: Any) -> GenerateConfig:
        changed = {name for name in filled if name in type(self.config.generate).model_fields}
        settings = self.config.generate.model_copy(update={name: filled.pop(name) for name in changed})
        strategy = filled.get("strategy", "text2img")
        for name in type(settings).model_fields:  # a recipe's options are for the arms that have a use for them
            if strategy not in USED_BY.get(name, (strategy,)):
                default = type(settings).model_fields[name].get_default(call_default_factory=True)
                settings = settings.model_copy(update={name: default})
        return fill_config(GenerateConfig, settings, "generate", filled)

    def _part(self, name: str, *steps: Step) -> Part:
        return Part(name, steps, self.workspace, self.progress_folder / f"{name}.fraction")


_CELL_FIELDS = (
    "arm",
    "training_size",
    "synthetic_ratio",
    "synthetic_share",
    "strategy",
    "generator_budget",
    "subset_seed",
    "generator_seed",
    "classifier_seed",
    "train_ids",
    "validation_ids",
    "extra_ids",
    "transforms",
)


def _generation_seconds(config: GenerateConfig, images: int) -> float:
    if config.strategy in estimates.SECONDS_PER_MADE_IMAGE:
        return estimates.make_seconds(config.strategy, images)
    steps = config.num_inference_steps or estimates.STEPS
    return estimates.generate_seconds(images, steps, is_guided=config.guidance_scale != 1)
