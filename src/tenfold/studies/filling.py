"""The stages' configs of a study: what the recipe says, filled with names, image ids and seeds of the plan."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeVar

from tenfold.audits.config import AuditConfig
from tenfold.classification.config import ClassifierConfig
from tenfold.classification.teacher_config import TeacherConfig
from tenfold.core.config import StageConfig
from tenfold.core.seeds import derive_seed
from tenfold.data.captions import class_noun, class_prompt
from tenfold.finetuning.config import DreamBoothConfig, PromptedConfig
from tenfold.finetuning.inpainting_config import InpaintingConfig
from tenfold.finetuning.super_resolution_config import SuperResolutionConfig
from tenfold.generation.config import PROMPTED, USED_BY, GenerateConfig
from tenfold.studies.arms import PAINTED
from tenfold.studies.config import StudyRunConfig
from tenfold.studies.estimates import DEFAULT_RATES, STEPS, Rates
from tenfold.studies.parts import Step
from tenfold.studies.plan import Cell, Generator, StudyPlan, SyntheticSet, Teacher
from tenfold.studies.settings import fill_config
from tenfold.studies.stage_settings import TEACHER_FEATURES

_Prompted = TypeVar("_Prompted", bound=PromptedConfig)
PRIOR_LABEL = "prior"
_SAME_IN_CELL = (
    "arm", "training_size", "synthetic_ratio", "synthetic_share", "strategy", "generator_budget", "subset_seed",
    "generator_seed", "classifier_seed", "train_ids", "validation_ids", "budget_ids", "extra_ids", "extra_per_class",
    "transforms", "balance_by",
)  # fmt: skip


@dataclass(frozen=True)
class Filling:
    """Makes each part's steps, with their estimated seconds."""

    config: StudyRunConfig
    plan: StudyPlan
    root_seed: int
    rates: Rates = DEFAULT_RATES
    shared_prior: str | None = None
    """Another study's set of prior images that is taken; None: its own."""

    @property
    def prior_name(self) -> str:
        """The set of prior images."""
        return self.shared_prior or f"{self.plan.name}-prior"

    @property
    def archive_name(self) -> str:
        """The base that was pretrained further, without classes."""
        return f"{self.plan.name}-archive"

    @property
    def needs_prior(self) -> bool:
        """Whether prior images are drawn."""
        return self.config.prior.images > 0 and any(one.kind == "dreambooth" for one in self.plan.generators)

    def prior(self) -> Step:
        """The prior images, drawn by the base."""
        return self._generate(
            {
                "name": self.prior_name,
                "seed": derive_seed(self.root_seed, "prior"),
                "checkpoint": self._base,
                "prompts": {PRIOR_LABEL: self._base_prompts(*self.plan.labels)},
                "skin_types": self.config.prior.skin_types,
                "images_per_class": self.config.prior.images,
            },
            self.config.prior.images,
        )

    def archive(self) -> Step:
        """The base learns from images without any prompt, so that no class is told."""
        settings = (self.config.archive or self.config.finetune).model_copy(
            update={
                "caption_dropout": 1.0,
                "method": "full",
                "train_text_encoder": False,
                "lora_text_encoder": False,
                "text_encoder_max_steps": None,
                "captions": "template",
                "caption_files": None,
                "checkpoint_choice": "last",
                "samples_per_class": 0,
            }
        )
        filled = {
            "name": self.archive_name,
            "seed": derive_seed(self.root_seed, "archive"),
            "training_ids": self.plan.archive_ids,
            "class_nouns": self.config.class_nouns,
        }
        config = fill_config(DreamBoothConfig, settings, "archive", filled)
        return Step("dreambooth", config, self._tuning_seconds(config, config.train_batch_size))

    def generator(self, generator: Generator) -> list[Step]:
        """A generator's fine-tuning, and its upscaler's where there is one."""
        tuned = self._tuned(generator)
        extra = tuned.prior_batch_size if isinstance(tuned, DreamBoothConfig) and self.needs_prior else 0
        steps = [Step(generator.kind, tuned, self._tuning_seconds(tuned, tuned.train_batch_size + extra))]
        if self.config.super_resolution is not None:
            filled = {
                "name": f"{generator.name}-upscaler",
                "seed": derive_seed(generator.generator_seed, "super_resolution"),
                "training_ids": generator.training_ids,
            }
            upscaler = fill_config(SuperResolutionConfig, self.config.super_resolution, "super_resolution", filled)
            seconds = self.rates.fine_tuning_seconds(upscaler.max_train_steps, upscaler.train_batch_size)
            steps.append(Step("super_resolution", upscaler, seconds))
        return steps

    def synthetic_set(self, made: SyntheticSet) -> Step:
        """A set, drawn by its generator, by the base or without a model."""
        generator = next((one for one in self.plan.generators if one.name == made.generator), None)
        is_prompted = made.strategy in PROMPTED
        filled: dict[str, Any] = {
            "name": made.name,
            "strategy": made.strategy,
            "labels": made.labels,
            "images_per_class": made.images_per_class,
            "reference_ids": made.source_ids,
            **self._model(made, generator),
        }
        word = "generate" if made.strategy == "text2img" and generator else made.strategy
        filled["seed"] = derive_seed(made.generator_seed, word)
        if made.strategy != "text2img":
            filled |= {"prompts": {}, "skin_types": None}
        if is_prompted and generator is None and not (made.strategy == "text2img" and self._own_prompts):
            filled["prompts"] = {label: self._base_prompts(label) for label in made.labels}
        if made.strategy in ("outpaint", "recolor") and self.plan.tones:
            filled |= {"skin_types": self.plan.tones, "recolor_to_skin_type": made.strategy == "outpaint"}
        if self.config.super_resolution is not None and generator is not None:
            filled["upscaler"] = f"models/{generator.name}-upscaler"
        return self._generate(filled, made.image_count)

    def audit(self, made: SyntheticSet) -> Step:
        """The audit of a set against the images that its generator learned from."""
        filled = {
            "name": made.name,
            "synthetic": made.name,
            "training_ids": made.training_ids,
            "seed": derive_seed(made.generator_seed, "audit"),
        }
        config = fill_config(AuditConfig, self.config.audit, "audit", filled)
        return Step("audit", config, self.rates.audit.seconds(made.image_count))

    def teacher(self, teacher: Teacher) -> Step:
        """The weights of sets, by teachers with the classifiers' features."""
        classify: Any = self.config.classify
        features = {name: getattr(classify, name) for name in TEACHER_FEATURES}
        filled = {
            "name": teacher.name,
            "labels": self.plan.labels,
            "train_ids": teacher.train_ids,
            "extra_manifests": tuple(_manifest(name) for name in teacher.synthetic_sets),
            "seed": teacher.seed,
            **(features if classify.pretrained else {}),
        }
        config = fill_config(TeacherConfig, self.config.teacher, "teacher", filled)
        images = sum(made.image_count for made in self.plan.sets if made.name in teacher.synthetic_sets)
        return Step("teacher", config, self.rates.teacher.seconds(images))

    def cell(self, cell: Cell) -> Step:
        """A classifier."""
        filled: dict[str, Any] = {
            "cell": cell.name,
            "study": self.plan.name,
            "labels": self.plan.labels,
            "extra_manifests": tuple(_manifest(name) for name in cell.synthetic_sets),
            "extra_review": cell.review,
            "extra_schedule": cell.schedule,
            "extra_weights": f"classifiers/{cell.teacher}/weights.parquet" if cell.teacher else None,
            **{name: getattr(cell, name) for name in _SAME_IN_CELL},
        }
        if cell.schedule == "two_stage":
            filled["two_stage_fraction"] = cell.synthetic_share
        config = fill_config(ClassifierConfig, self.config.classify, "classify", filled)
        return Step("classify", config, self.rates.training_seconds(_steps(config, cell, self.plan), config.batch_size))

    @property
    def _base(self) -> str:
        return str(getattr(self.config.finetune, "base_checkpoint"))  # noqa: B009 (a made class: mypy knows no fields)

    @property
    def _own_prompts(self) -> bool:
        return bool(getattr(self.config.generate, "prompts"))  # noqa: B009

    def _tuned(self, generator: Generator) -> DreamBoothConfig | InpaintingConfig:
        filled: dict[str, Any] = {
            "name": generator.name,
            "seed": derive_seed(generator.generator_seed, generator.kind),
            "training_ids": generator.training_ids,
            "class_nouns": self.config.class_nouns,
        }
        if generator.kind == "inpainting" and self.config.inpaint is not None:
            return self._with_epochs(fill_config(InpaintingConfig, self.config.inpaint, "inpaint", filled))
        settings: StageConfig = self.config.finetune
        if generator.budget == "archive":
            settings = settings.model_copy(update={"base_checkpoint": f"models/{self.archive_name}"})
        filled["prior_manifest"] = _manifest(self.prior_name) if self.needs_prior else None
        return self._with_epochs(fill_config(DreamBoothConfig, settings, "finetune", filled))

    def _with_epochs(self, config: _Prompted) -> _Prompted:
        epochs = self.config.generator_epochs
        if epochs is None:
            return config
        per_step = config.train_batch_size * config.gradient_accumulation_steps
        steps = math.ceil(epochs * len(config.training_ids) / per_step)
        return config.model_copy(update={"max_train_steps": max(steps, 1)})

    def _model(self, made: SyntheticSet, generator: Generator | None) -> dict[str, Any]:
        """Checkpoint and adapter of a set."""
        if generator is None:
            painter = self.config.inpaint if made.strategy in PAINTED else None
            base = getattr(painter, "base_checkpoint") if painter is not None else self._base  # noqa: B009
            return {"checkpoint": base, "adapter": None}
        tuned, model = self._tuned(generator), f"models/{generator.name}"
        is_adapter = tuned.method == "lora"
        return {
            "checkpoint": tuned.base_checkpoint if is_adapter else model,
            "adapter": model if is_adapter else None,
        }

    def _base_prompts(self, *labels: str) -> tuple[str, ...]:
        """What the base, which knows no identifiers, is asked for; the classes' nouns where the recipe says nothing."""
        if self.config.prior.prompts:
            return self.config.prior.prompts
        shared = getattr(self.config.finetune, "class_noun")  # noqa: B009
        nouns = [shared] if shared else [class_noun(label, self.config.class_nouns) for label in labels]
        return tuple(class_prompt(noun) for noun in nouns)

    def _generate(self, filled: dict[str, Any], images: int) -> Step:
        """The section generate, its fields without use at their defaults, then the strategy's own settings."""
        strategy = filled.get("strategy", "text2img")
        settings = self.config.generate
        fields = type(settings).model_fields
        values = {name: getattr(settings, name) for name in fields}
        for name in fields:  # a recipe's options are for the arms that have a use for them
            if strategy not in USED_BY.get(name, (strategy,)):
                values[name] = fields[name].get_default(call_default_factory=True)
        values |= filled
        if own := self.config.generate_by_strategy.get(strategy):
            values |= {name: getattr(own, name) for name in own.model_fields_set}
        config = fill_config(GenerateConfig, StageConfig(), f"generate ({strategy})", values)
        is_guided = config.guidance_scale != 1
        steps = config.num_inference_steps or STEPS
        return Step("generate", config, self.rates.set_seconds(strategy, images, steps, is_guided=is_guided))

    def _tuning_seconds(self, config: PromptedConfig, images_per_step: int) -> float:
        images = images_per_step * config.gradient_accumulation_steps
        return self.rates.fine_tuning_seconds(config.max_train_steps, images)


def _steps(config: ClassifierConfig, cell: Cell, plan: StudyPlan) -> int:
    """Optimizer steps of a cell."""
    if config.max_train_epochs is None:
        return config.max_train_steps
    made = {one.name: one for one in plan.sets}
    counts = cell.extra_per_class or [made[name].images_per_class for name in cell.synthetic_sets]
    extra = sum(count * len(made[name].labels) for name, count in zip(cell.synthetic_sets, counts, strict=True))
    images = len(cell.train_ids) + len(cell.extra_ids) + extra
    return config.max_train_epochs * math.ceil(images / config.batch_size)


def _manifest(name: str) -> str:
    return f"synthetic/{name}/manifest.parquet"
