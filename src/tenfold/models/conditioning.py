"""What a UNet is told beside noisy latents: text embeddings, and for SDXL a pooled one and the picture's size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from tenfold.models.pipelines import Components


class PromptEmbeddings(dict[str, torch.Tensor]):
    """By prompt: (tokens, features); for SDXL also `pooled`, by prompt: (features,)."""

    def __init__(self, contexts: Mapping[str, torch.Tensor], pooled: Mapping[str, torch.Tensor] | None = None) -> None:
        super().__init__(contexts)
        self.pooled: Mapping[str, torch.Tensor] = pooled or {}


def unet_conditioning(
    components: Components,
    prompts: Sequence[str],
    embeddings: PromptEmbeddings | None = None,
    *,
    image_size_px: int | None = None,
) -> dict[str, Any]:
    """The UNet's keyword arguments for these prompts, in their order.

    For Stable Diffusion 1 and 2 ``encoder_hidden_states`` (B, tokens, features); for SDXL also ``added_cond_kwargs``
    with the pooled embeddings and six numbers of size: the picture is whole, square and not scaled.

    Args:
        embeddings: what `encode_prompts` gave for all of them; None embeds each unique prompt here, and gradients
            flow into text encoders that are trained.
        image_size_px: None is the size the checkpoint was trained for; only SDXL is told.
    """
    if embeddings is None:
        unique = list(dict.fromkeys(prompts))
        places = [unique.index(prompt) for prompt in prompts]
        context, pooled = _embed(components, token_ids(components, unique), unique)
        context, pooled = context[places], None if pooled is None else pooled[places]
    else:
        context = torch.stack([embeddings[prompt] for prompt in prompts])
        pooled = torch.stack([embeddings.pooled[prompt] for prompt in prompts]) if embeddings.pooled else None
    told: dict[str, Any] = {"encoder_hidden_states": context}
    if pooled is not None:
        told["added_cond_kwargs"] = {
            "text_embeds": pooled,
            "time_ids": _size_ids(components, len(prompts), image_size_px),
        }
    return told


def encode_prompts(components: Components, prompts: Sequence[str]) -> PromptEmbeddings:
    """Embed each unique prompt once, in one batch.

    Returns:
        (tokens, features) in the components' dtype for each prompt; longer prompts are cut at the tokenizer's limit.
        The empty prompt stands for none: SDXL's base is then given zeros, as it was trained.
    """
    unique = list(dict.fromkeys(prompts))
    contexts, pooled = _embed(components, token_ids(components, unique), unique)
    return PromptEmbeddings(
        dict(zip(unique, contexts, strict=True)),
        None if pooled is None else dict(zip(unique, pooled, strict=True)),
    )


def token_ids(components: Components, prompts: Sequence[str]) -> torch.Tensor:
    """(prompts, tokens) int64, padded and cut to the tokenizer's limit; for SDXL (prompts, 2, tokens)."""
    ids = _tokenize(components.tokenizer, prompts)
    if components.tokenizer_2 is None:
        return ids
    return torch.stack([ids, _tokenize(components.tokenizer_2, prompts)], dim=1)


def embed_token_ids(components: Components, ids: torch.Tensor) -> torch.Tensor:
    """(B, tokens, features) text embeddings of `token_ids`; gradients flow when the text encoder is trained."""
    return _embed_ids(components, ids)[0]


def cut_prompts(components: Components, prompts: Sequence[str]) -> list[str]:
    """The unique prompts that are too long for the tokenizer, so that their ends are not seen by the model."""
    limit = components.tokenizer.model_max_length
    unique = list(dict.fromkeys(prompts))
    ids = components.tokenizer(unique, padding=False, truncation=False, verbose=False).input_ids
    return [prompt for prompt, tokens in zip(unique, ids, strict=True) if len(tokens) > limit]


def cut_ends(components: Components, prompts: Sequence[str]) -> dict[str, str]:
    """By prompt that is too long for the tokenizer, the words that the model does not see."""
    tokenizer = components.tokenizer
    ends = {}
    for prompt in cut_prompts(components, prompts):
        tokens = tokenizer(prompt, padding=False, truncation=False, verbose=False).input_ids
        # Cut to the limit, the last place goes to the end mark, which stands at the end of the whole prompt too.
        ends[prompt] = tokenizer.decode(tokens[tokenizer.model_max_length - 1 : -1]).strip()
    return ends


def _embed(
    components: Components, ids: torch.Tensor, prompts: Sequence[str]
) -> tuple[torch.Tensor, torch.Tensor | None]:
    context, pooled = _embed_ids(components, ids)
    if components.zeros_for_empty_prompt and pooled is not None and "" in prompts:
        is_told = torch.tensor([bool(prompt) for prompt in prompts], device=context.device)
        return context * is_told[:, None, None], pooled * is_told[:, None]
    return context, pooled


def _embed_ids(components: Components, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Embeddings (B, tokens, features) and, for SDXL, pooled ones (B, features)."""
    ids = ids.to(components.device)
    if components.text_encoder_2 is not None:
        first = components.text_encoder(ids[:, 0], output_hidden_states=True)
        second = components.text_encoder_2(ids[:, 1], output_hidden_states=True)
        # SDXL reads the last layer but one of both (Podell et al. 2023, section 2.1).
        return torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1), second.text_embeds
    uses_mask = getattr(components.text_encoder.config, "use_attention_mask", False)
    mask = (ids != components.tokenizer.pad_token_id).long() if uses_mask else None
    return components.text_encoder(ids, attention_mask=mask)[0], None


def _tokenize(tokenizer: Any, prompts: Sequence[str]) -> torch.Tensor:
    encoded = tokenizer(
        list(prompts), padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
    )
    return torch.as_tensor(encoded.input_ids)


def _size_ids(components: Components, count: int, image_size_px: int | None) -> torch.Tensor:
    """(count, 6): original height and width, top and left of the crop, height and width of the picture, in pixels."""
    edge_px = image_size_px or components.image_size_px
    sizes = torch.tensor([edge_px, edge_px, 0, 0, edge_px, edge_px], dtype=components.dtype, device=components.device)
    return sizes.expand(count, -1)
