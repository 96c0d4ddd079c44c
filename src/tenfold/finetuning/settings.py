"""What a fine-tuning's configuration means to the loop, the views and the adapter: the same for every kind of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tenfold.core.errors import DataError
from tenfold.core.seeds import derive_seed
from tenfold.finetuning.color_jitter import ColorJitter
from tenfold.finetuning.config import DreamBoothConfig, FinetuneConfig, PromptedConfig
from tenfold.finetuning.datasets import Wording, choose_wording, sorted_labels
from tenfold.finetuning.inpainting_config import InpaintingConfig
from tenfold.finetuning.latents import Views
from tenfold.finetuning.loop import LoopSettings
from tenfold.models.lora import LoraSettings, add_lora
from tenfold.models.pipelines import Components

_Row = Mapping[str, Any]


def loop_settings(config: FinetuneConfig, components: Components, identity: Mapping[str, Any]) -> LoopSettings:
    """The loop's settings; the text encoders have a rate and an end of their own when they are trained."""
    rates: dict[str, float] = {}
    ends: dict[str, int] = {}
    if isinstance(config, PromptedConfig) and config.trains_text:
        rates = dict.fromkeys(components.text_encoders, config.text_encoder_lr)
        if config.text_encoder_max_steps is not None:
            ends = dict.fromkeys(components.text_encoders, config.text_encoder_max_steps)
    return LoopSettings(
        max_train_steps=config.max_train_steps,
        learning_rate=config.learning_rate,
        lr_scheduler=config.lr_scheduler,
        lr_warmup_steps=config.lr_warmup_steps,
        adam_beta1=config.adam_beta1,
        adam_beta2=config.adam_beta2,
        adam_weight_decay=config.adam_weight_decay,
        adam_epsilon=config.adam_epsilon,
        use_8bit_adam=config.use_8bit_adam,
        max_grad_norm=config.max_grad_norm,
        ema_decay=config.ema_decay,
        checkpointing_steps=config.checkpointing_steps,
        weights_every_steps=kept_weights_steps(config),
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        mixed_precision=config.mixed_precision,
        trackers=config.trackers,
        module_learning_rates=rates,
        module_max_steps=ends,
        identity=identity,
    )


def kept_weights_steps(config: FinetuneConfig) -> int | None:
    """Steps between two kept weights: as asked for, or each validation where a checkpoint is chosen."""
    if config.weights_every_steps is None and config.checkpoint_choice == "validation":
        return config.validation_steps
    return config.weights_every_steps


def views_of(config: PromptedConfig) -> Views:
    """The enumerated views of the training images."""
    jitter = ColorJitter(config.jitter_brightness, config.jitter_contrast, config.jitter_saturation, config.jitter_hue)
    return Views(config.crops_per_image, config.crop_scale, config.random_flip, config.random_rotation, jitter)


def focus_margin_of(config: DreamBoothConfig) -> float | None:
    """The margin around the lesion; None where whole images are learned."""
    return config.focus_margin if config.focus == "mask" else None


def wording_of(config: DreamBoothConfig | InpaintingConfig, rows: Sequence[_Row], held_out: Sequence[_Row]) -> Wording:
    """How the prompts of these images are built. DataError when a held-out image has a label that no training image
    shows, or the identifiers do not tell the labels apart."""
    labels = sorted_labels(rows)
    unknown = sorted({str(row["label"]) for row in held_out} - set(labels))
    if unknown:
        raise DataError(
            f"validation images of {', '.join(unknown)}, which no training image shows", expected=", ".join(labels)
        )
    return choose_wording(
        labels,
        nouns=config.class_nouns,
        identifiers=config.identifiers,
        shared_noun=config.class_noun,
        captions="template" if config.captions == "template" else "manifest",
    )


def lora_settings(config: FinetuneConfig) -> LoraSettings:
    """The adapter that is asked for."""
    return LoraSettings(
        rank=config.lora_rank,
        alpha=config.lora_alpha,
        text_encoder=_trains_text(config),
        seed=derive_seed(config.seed, "lora"),
    )


def add_adapter(config: FinetuneConfig, components: Components) -> None:
    """Add the LoRA that is asked for, if one is; from then on only it asks for gradients."""
    if config.method == "lora":
        add_lora(components, lora_settings(config))


@contextmanager
def checkpointed_gradients(config: FinetuneConfig, components: Components) -> Iterator[None]:
    """For a while, activations are computed again in the backward pass instead of kept, where that is asked for."""
    if not config.gradient_checkpointing:
        yield
        return
    text_encoders = list(components.text_encoders.values()) if _trains_text(config) else []
    components.unet.enable_gradient_checkpointing()
    for model in text_encoders:
        _keep_no_activations(model)
    try:
        yield
    finally:
        components.unet.disable_gradient_checkpointing()
        for model in text_encoders:
            getattr(model, "activation_checkpointing_disable", model.gradient_checkpointing_disable)()


def _trains_text(config: FinetuneConfig) -> bool:
    return isinstance(config, PromptedConfig) and config.trains_text


def _keep_no_activations(text_encoder: Any) -> None:
    """Transformers 5 has another name for it, and warns of the old one."""
    if hasattr(text_encoder, "activation_checkpointing_enable"):
        text_encoder.activation_checkpointing_enable()
    else:
        # The older way of computing again loses the gradient of a first layer whose input has none.
        text_encoder.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
