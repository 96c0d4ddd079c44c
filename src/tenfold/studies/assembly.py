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
from tenfold.generation.config import GenerateConfig
from tenfold.studies import estimates
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

    First: prior images and autoencoder round-trips. Second: generators with their sets, and cells of real images.
    Third: cells with synthetic images, and audits of the sets.
    """
    builder = _Builder(config, plan, root_seed, workspace, progress_folder)
    first, second, third = [], [], []
    has_text = any(chain.needs_text for chain in plan.chains)
    if has_text and config.prior.images:
        first.append(builder.prior())
    for chain in plan.chains:
        if chain.needs_autoencoder:
            first.append(builder.autoencoder(chain))
        if chain.needs_text:
            second.append(builder.generator(chain))
            third.append(builder.audit(chain))
    for cell in plan.cells:
        (third if cell.synthetic_set == _chain_name(plan, cell) else second).append(builder.cell(cell))
    return Waves(_longest_first(first), _longest_first(second), _longest_first(third), builder.needs)


def _chain_name(plan: StudyPlan, cell: Cell) -> str:
    """The text-to-image set of the cell's size and seed."""
    return f"{plan.name}-n{cell.training_size}-s{cell.seed_index}"


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
            prompts={PRIOR_LABEL: self.config.prior.prompts or self._prior_prompts()},
            skin_types=self.config.prior.skin_types,
            images_per_class=self.config.prior.images,
        )
        return self._part(self.prior_name, Step("generate", config, _generation_seconds(config, 1)))

    def autoencoder(self, chain: Chain) -> Part:
        config = self._generate(
            name=chain.autoencoder_set,
            seed=derive_seed(chain.generator_seed, "autoencoder"),
            strategy="autoencoder",
            checkpoint=self.base,
            prompts={},
            skin_types=None,
            reference_ids=chain.training_ids,
        )
        return self._part(
            chain.autoencoder_set, Step("generate", config, estimates.reconstruct_seconds(len(chain.training_ids)))
        )

    def generator(self, chain: Chain) -> Part:
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
        drawn = self._generate(
            name=chain.text_set,
            seed=derive_seed(chain.generator_seed, "generate"),
            checkpoint=f"models/{chain.name}",
            labels=self.plan.labels,
            images_per_class=self.config.synthetic_ratio * chain.training_size,
        )
        images_per_step = tuned.train_batch_size + (tuned.prior_batch_size if has_prior else 0)
        self.needs[chain.name] = (self.prior_name,) if has_prior else ()
        return self._part(
            chain.name,
            Step("dreambooth", tuned, estimates.dreambooth_seconds(tuned.max_train_steps, images_per_step)),
            Step("generate", drawn, _generation_seconds(drawn, len(self.plan.labels))),
        )

    def audit(self, chain: Chain) -> Part:
        config = fill_config(
            AuditConfig,
            self.config.audit,
            "audit",
            {
                "name": chain.text_set,
                "synthetic": chain.text_set,
                "training_ids": chain.training_ids,
                "seed": derive_seed(chain.generator_seed, "audit"),
            },
        )
        images = self.config.synthetic_ratio * chain.training_size * len(self.plan.labels)
        name = f"audit-{chain.text_set}"
        self.needs[name] = (chain.name,)
        return self._part(name, Step("audit", config, estimates.audit_seconds(images)))

    def cell(self, cell: Cell) -> Part:
        shared = {name: getattr(cell, name) for name in _CELL_FIELDS}
        manifests = [] if cell.synthetic_set is None else [f"synthetic/{cell.synthetic_set}/manifest.parquet"]
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
        if cell.synthetic_set is not None:
            self.needs[cell.name] = (cell.synthetic_set,)
        seconds = estimates.classify_seconds(config.max_train_steps, config.batch_size)
        return self._part(cell.name, Step("classify", config, seconds))

    def _prior_prompts(self) -> tuple[str, ...]:
        shared = getattr(self.config.finetune, "class_noun")  # noqa: B009
        nouns = [shared] if shared else [class_noun(label, self.config.class_nouns) for label in self.plan.labels]
        return tuple(class_prompt(noun) for noun in nouns)

    def _generate(self, **filled: Any) -> GenerateConfig:
        changed = {name for name in filled if name in type(self.config.generate).model_fields}
        settings = self.config.generate.model_copy(update={name: filled.pop(name) for name in changed})
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


def _generation_seconds(config: GenerateConfig, label_count: int) -> float:
    images = config.images_per_class * label_count
    return estimates.generate_seconds(images, config.num_inference_steps, is_guided=config.guidance_scale > 1)
