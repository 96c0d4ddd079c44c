"""The data card of a synthetic set: what it is, where it comes from and what it must not be used for."""

from __future__ import annotations

from tenfold.core.workspace import Workspace
from tenfold.generation.config import GenerateConfig
from tenfold.generation.planning import Plan


def data_card(config: GenerateConfig, workspace: Workspace, plan: Plan) -> str:
    """The text of README.md beside the manifest."""
    counts = plan.counts()
    first = next(plan.requests)
    rows = "\n".join(f"| {label} | {count} |" for label, count in counts.items())
    return f"""# Synthetic images: {config.name}

{sum(counts.values())} images made by a computer with the strategy `{config.strategy}`. {_origin(config)}
No image here is a photograph of a person.

| label | images |
|---|---|
{rows}

- Checkpoint: `{config.checkpoint}`, SHA-256 {first.checkpoint_sha256}
{_adapter(config, first.adapter_sha256)}- {_drawing(config)}
- Root seed {config.seed}; each image's own seed and prompt stand in `manifest.parquet`, its whole record in the PNG.
- {_ancestors(config, plan)}
- License of the data they descend from: {workspace.data_license}. It binds these images too.

## Caution

- Labels are what was *asked for*, not what a physician saw. Until people have reviewed them (`review` is
  `unreviewed`), an image may show another condition, none, or an impossible one.
- Use them to train classifiers that are tested on real images only; never as test data, for diagnosis or for teaching.
- They inherit the gaps and biases of the images they descend from, and may repeat parts of them: treat them with
  the same care as their ancestors, and do not call them anonymous.
- Skin types are those named in the prompt; what the images show was not measured here.
"""


def _origin(config: GenerateConfig) -> str:
    if config.strategy == "autoencoder":
        return (
            "Each is a real training image sent through the checkpoint's autoencoder and back, with that image's label."
        )
    return "Each was drawn from noise by a latent diffusion model that was given a prompt."


def _adapter(config: GenerateConfig, sha256: str | None) -> str:
    if sha256 is None:
        return ""
    return f"- Adapter (LoRA): `{config.adapter}`, weight {config.adapter_scale}, SHA-256 {sha256}\n"


def _drawing(config: GenerateConfig) -> str:
    if config.strategy == "autoencoder":
        return "No noise was drawn: the mean of the latents was decoded"
    sampler = config.sampler or "the checkpoint's own sampler"
    return f"{config.num_inference_steps} steps of {sampler}, guidance scale {config.guidance_scale}, {config.dtype}"


def _ancestors(config: GenerateConfig, plan: Plan) -> str:
    if config.strategy == "autoencoder":
        return f"Ancestors: {len(plan.references)} real images, one for each of these (`parent_id`)"
    if plan.ancestors is None:
        return "Ancestors: unknown; the checkpoint brings no record of the images it learned from"
    if not plan.ancestors:
        return "Ancestors: none of this workspace's real images; the checkpoint came from outside"
    return f"Ancestors: {len(plan.ancestors)} real images of the training split, listed in the column `ancestors`"
