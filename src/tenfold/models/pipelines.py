"""Stable Diffusion checkpoints in diffusers format: loaded as components, saved so that plain diffusers loads them."""

from __future__ import annotations

import ctypes
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tenfold.core.errors import CheckpointError
from tenfold.core.files import read_json, storage_errors, write_json_atomic
from tenfold.models.checkpoint_ref import checkpoint_parts
from tenfold.models.registry import CheckpointKind

TRAINABLE = ("unet", "text_encoder")


@dataclass(frozen=True)
class Components:
    """The parts of one checkpoint, in evaluation mode, on one device and in one dtype."""

    vae: Any
    """diffusers AutoencoderKL."""
    unet: Any
    """diffusers UNet2DConditionModel."""
    text_encoder: Any
    """transformers CLIPTextModel."""
    tokenizer: Any
    """transformers CLIPTokenizer."""
    scheduler: Any
    """The checkpoint's own diffusers scheduler; never stepped, only read."""
    text_encoder_2: Any = None
    """transformers CLIPTextModelWithProjection of SDXL; None for Stable Diffusion 1 and 2."""
    tokenizer_2: Any = None
    """SDXL's second CLIPTokenizer: the same words, padded with another token."""
    zeros_for_empty_prompt: bool = False
    """SDXL's base was trained with embeddings of zero for a dropped prompt (`force_zeros_for_empty_prompt`)."""

    @property
    def text_encoders(self) -> dict[str, Any]:
        """The text encoder by name; of SDXL both."""
        encoders = {"text_encoder": self.text_encoder, "text_encoder_2": self.text_encoder_2}
        return {name: model for name, model in encoders.items() if model is not None}

    @property
    def vae_scale(self) -> int:
        """Pixels per latent cell along an edge."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def image_size_px(self) -> int:
        """The edge of the images that the UNet was trained for."""
        return int(self.unet.config.sample_size) * self.vae_scale

    @property
    def device(self) -> torch.device:
        """Where the UNet lies."""
        device: torch.device = next(self.unet.parameters()).device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """The UNet's dtype."""
        dtype: torch.dtype = next(self.unet.parameters()).dtype
        return dtype


def load_components(
    path: Path,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    *,
    kinds: Sequence[CheckpointKind] = ("text2img",),
) -> Components:
    """Load a checkpoint from a folder that `resolve_checkpoint` gave.

    Args:
        kinds: what the caller can work with; "inpainting" UNets take a mask and a masked image's latents besides.

    Raises:
        CheckpointError: a part is missing or damaged, or the checkpoint is of another kind.
    """
    checkpoint_parts(path)
    import diffusers
    import transformers

    index = read_json(path / "model_index.json")
    second: dict[str, Any] = {}
    release_freed_memory()
    with quiet_loading():
        unet = load_model_part(diffusers.UNet2DConditionModel, path, "unet", dtype)
        text_encoder = load_model_part(transformers.CLIPTextModel, path, "text_encoder", dtype)
        vae_dtype = dtype
        if "text_encoder_2" in index:
            second["text_encoder_2"] = load_model_part(
                transformers.CLIPTextModelWithProjection, path, "text_encoder_2", dtype
            )
            second["tokenizer_2"] = load_small_part(transformers.CLIPTokenizer, path, "tokenizer_2")
            second["zeros_for_empty_prompt"] = bool(index.get("force_zeros_for_empty_prompt", True))
            # SDXL's autoencoder overflows in float16 unless its configuration says that it was mended.
            needs_float32 = read_json(path / "vae" / "config.json").get("force_upcast", True)
            vae_dtype = torch.float32 if dtype == torch.float16 and needs_float32 else dtype
        vae = load_model_part(diffusers.AutoencoderKL, path, "vae", vae_dtype)
        try:
            tokenizer = transformers.CLIPTokenizer.from_pretrained(path / "tokenizer", local_files_only=True)
            scheduler_class = getattr(diffusers, str(index["scheduler"][1]))
            scheduler = scheduler_class.from_pretrained(path, subfolder="scheduler", local_files_only=True)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise _damaged(path, "tokenizer or scheduler", error) from error
    _check_kind(path, unet, vae, kinds)
    components = Components(vae, unet, text_encoder, tokenizer, scheduler, **second)
    place_models([vae, unet, *components.text_encoders.values()], device)
    return components


def place_models(models: Sequence[Any], device: str) -> None:
    """Put models that were just loaded on their device, in evaluation mode."""
    for model in models:
        # Convolutions are faster on pixels whose channels lie together: decoding by half on a CPU with AVX-512.
        model.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
    release_freed_memory()


def release_freed_memory() -> None:
    """Give the system back what glibc's malloc keeps of freed memory; other C libraries have no call for it.

    Reading halves and converting them leaves holes of a quarter of a checkpoint's size, and one that was dropped before
    leaves half of its own, which the next would be loaded on top of.
    """
    with suppress(OSError, TypeError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def save_components(components: Components, folder: Path, *, source: Path, trained: tuple[str, ...]) -> None:
    """Write a checkpoint: the `trained` parts from memory, all others copied byte for byte from `source`.

    The files name no path of this machine, so that equal weights give equal files. A full disk is a StorageError.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for part in checkpoint_parts(source):
            target = folder / part.name
            if target.is_dir():
                shutil.rmtree(target)
            if part.name in trained:
                model = getattr(components, part.name)
                with quiet_loading():
                    # safetensors takes plain layout only.
                    model.to(memory_format=torch.contiguous_format).save_pretrained(target, safe_serialization=True)
                model.to(memory_format=torch.channels_last)
                _forget_origin(target / "config.json")
                for weights in target.glob("*.safetensors"):
                    weights.chmod(0o644)
            elif part.is_dir():
                shutil.copytree(part, target, copy_function=shutil.copyfile)
            else:
                shutil.copyfile(part, target)


def load_model_part(kind: Any, path: Path, name: str, dtype: torch.dtype) -> Any:
    """A model of class `kind` from the checkpoint's folder `name`; CheckpointError when it cannot be loaded."""
    files = [entry.name for entry in (path / name).glob("*.safetensors")]
    variant = "fp16" if files and all(".fp16." in file for file in files) else None
    dtype_option = "dtype" if kind.__module__.startswith("transformers") else "torch_dtype"
    options = {dtype_option: dtype, "use_safetensors": True, "variant": variant, "local_files_only": True}
    try:
        return kind.from_pretrained(path, subfolder=name, **options)
    except (OSError, ValueError, TypeError, RuntimeError, KeyError) as error:
        raise _damaged(path, name, error) from error
    except Exception as error:
        if type(error).__name__ != "SafetensorError":
            raise
        raise _damaged(path, name, error) from error


def load_small_part(kind: Any, path: Path, name: str) -> Any:
    """A tokenizer or scheduler of class `kind` from the checkpoint's folder `name`; CheckpointError likewise."""
    try:
        return kind.from_pretrained(path / name, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(path, name, error) from error


def _check_kind(path: Path, unet: Any, vae: Any, kinds: Sequence[CheckpointKind]) -> None:
    config, latent = unet.config, int(vae.config.latent_channels)
    channels: dict[CheckpointKind, int] = {"text2img": latent, "inpainting": 2 * latent + 1}
    if config.in_channels in [channels[kind] for kind in kinds if kind in channels] and (
        getattr(config, "time_cond_proj_dim", None) is None
    ):
        return
    if "inpainting" in kinds:
        wanted, others = "a text-to-image or inpainting checkpoint", "upscalers and distilled ones cannot be used here."
    else:
        wanted, others = "a text-to-image checkpoint", "inpainting and distilled ones cannot be used for text-to-image."
    raise CheckpointError(
        f"this UNet takes {config.in_channels} channels where the autoencoder has {latent}, or a guidance embedding",
        where=str(path),
        expected=f"{wanted} without distilled guidance",
        todo=f"Choose another checkpoint; {others}",
    )


def _damaged(path: Path, name: str, error: Exception) -> CheckpointError:
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return CheckpointError(
        f"the checkpoint's {name} cannot be loaded: {first_line}",
        where=str(path / name) if (path / name).exists() else str(path),
        expected="a whole Stable Diffusion checkpoint in diffusers format, weights in safetensors",
        todo="Copy or download the checkpoint again, whole.",
    )


def _forget_origin(path: Path) -> None:
    config = {key: value for key, value in read_json(path).items() if key != "_name_or_path"}
    write_json_atomic(path, config)


@contextmanager
def quiet_loading() -> Iterator[None]:
    """No progress bars and no advice from diffusers and transformers while files are read or written."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    libraries = (diffusers_logging, transformers_logging)
    shown = [library.is_progress_bar_enabled() for library in libraries]
    levels = [library.get_verbosity() for library in libraries]
    try:
        for library in libraries:
            library.disable_progress_bar()
            library.set_verbosity(logging.ERROR)
        yield
    finally:
        for library, was_shown, level in zip(libraries, shown, levels, strict=True):
            library.set_verbosity(level)
            if was_shown:
                library.enable_progress_bar()
