"""The model card of an exported classifier: what it is, how to load it, how its answers are meant, and its cautions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenfold.classification.novelty import FEWEST_HELD_OUT
from tenfold.classification.predictor import PredictorRecord
from tenfold.models.classifier_presets import EMBEDDED_SMALL, preset_of
from tenfold.models.classifiers import timm_arguments


def classifier_card(
    record: PredictorRecord, parameters: int, *, input_px: int | None, onnx_difference: float | None
) -> str:
    """The text of README.md.

    input_px: the side to which the network resizes its images; None: none. onnx_difference: the largest one that the
    check found; None without an ONNX file.
    """
    size = record.preparation.image_size_px
    return f"""# Classifier: {record.name}

An image classifier trained by Tenfold {record.tenfold_version} for research. **Not a medical device**: it must not
decide about patients, and no one has approved it for any use.

- Classes, in the order of the answers: {", ".join(record.labels)}
- Network: `{record.network.model}`, {parameters / 1e6:.2f} million parameters; weights SHA-256
  `{record.weights_sha256}`
- Input: RGB, {size} x {size} px, values from 0 to 1; {_shape(record)}. Normalization is part of the network
- {_calibration(record)}
- {_reference(record)}
- License of the training images, which binds this model too: {record.data_license}

## What it learned from

{_training(record)}

Its figures on test images stand in the report of its study, with intervals. They are not repeated here: a figure
without its test set, its number of patients and its interval says little.

## How to use it

With Tenfold, calibrated, with a hint for images of another kind and a map of what spoke for the answer:

```
tenfold predict IMAGE --classifier THIS_FOLDER --saliency
```
{_onnx(record, onnx_difference)}{_timm(record, input_px)}
## Caution

- It answers with one of its {len(record.labels)} classes whatever an image shows: a condition it never saw, healthy
  tissue, or no patient at all. The hint for unusual images catches images of another kind, not wrong answers.
- It learned from the images above and inherits their gaps. How skin types, ages, sexes, sites and devices were
  represented stands in the study's report; where a group was small, nothing is known.
- Probabilities are calibrated for images like the validation images and for how common each class was among these,
  which is seldom how common it is in a clinic.
- `reference.safetensors` and the weights descend from patients' images: pass them on only to those who may have these.
"""


def _shape(record: PredictorRecord) -> str:
    if record.preparation.resize_mode == "pad":
        return "the whole image resized to fit, its border repeated to fill the square (Lanczos)"
    return "the largest centered square, resized (Lanczos)"


def _calibration(record: PredictorRecord) -> str:
    found = record.calibration
    if found.note:
        return f"Not calibrated: {found.note}"
    return (
        f"Calibrated by a temperature of {found.temperature:.4g}, fitted on {found.n_images} validation images of "
        f"{found.n_patients} {found.counted_unit}s (log loss {found.log_loss_before:.3f} before, "
        f"{found.log_loss_after:.3f} after, {found.log_loss_chance:.3f} for knowing only how common each class is; all "
        "on these same images)"
    )


def _reference(record: PredictorRecord) -> str:
    if record.n_held_out < FEWEST_HELD_OUT:
        return f"No hint for unusual images: only {record.n_held_out} held-out images to measure against"
    return (
        f"`reference.safetensors`: features of {record.n_reference} training images, and distances of "
        f"{record.n_held_out} held-out ones, for the hint that an image is unlike these"
    )


def _training(record: PredictorRecord) -> str:
    origins: Mapping[str, Mapping[str, int]] = record.training.get("images_by_origin", {})
    names = {"real": "real", "extra_real": "further real", "synthetic": "synthetic"}
    lines = ["| class | " + " | ".join(names.values()) + " |", "|---|---|---|---|"]
    lines += [
        f"| {label} | " + " | ".join(str(origins.get(origin, {}).get(label, 0)) for origin in names) + " |"
        for label in record.labels
    ]
    cell = record.cell
    facts = [f"Arm `{cell.get('arm', 'unknown')}`, seeds {_seeds(cell)}."]
    if record.training.get("pretrained_from"):
        facts.append(f"It started from: {_told(record.training['pretrained_from'])}.")
    if record.training.get("origin_confound"):
        facts.append("**A class was all synthetic and another was not: it may tell them apart by their origin alone.**")
    if any(origins.get("synthetic", {}).values()):
        facts.append(f"Synthetic images by `{cell.get('strategy')}`, budget `{cell.get('generator_budget')}`.")
    return "\n".join(lines) + "\n\n" + "\n".join(facts)


def _seeds(cell: Mapping[str, Any]) -> str:
    names = ("subset_seed", "generator_seed", "classifier_seed")
    return ", ".join(f"{name.removesuffix('_seed')} {cell[name]}" for name in names if name in cell)


def _told(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {inner}" for name, inner in value.items() if inner is not None)
    return str(value)


def _onnx(record: PredictorRecord, difference: float | None) -> str:
    if difference is None:
        return ""
    return f"""
With ONNX Runtime alone (its answers differ by at most {difference:.1g} from the network's, as checked at the export):

```python
import numpy as np
import onnxruntime
from PIL import Image, ImageOps

{_squared(record)}
images = np.asarray(picture, dtype=np.float32).transpose(2, 0, 1)[None] / 255
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
logits, probabilities = session.run(None, {{"images": images}})
print(dict(zip({list(record.labels)!r}, probabilities[0].tolist())))
```
"""


def _timm(record: PredictorRecord, input_px: int | None) -> str:
    name, options = record.network.model, record.network.options
    if name == EMBEDDED_SMALL:
        return "\n`model.safetensors` holds a network of Tenfold's own: without Tenfold take the ONNX file.\n"
    further = "".join(f", {key}={value!r}" for key, value in sorted(timm_arguments(name, options).items()))
    resized = ""
    if input_px is not None and input_px != record.preparation.image_size_px:
        size = f"size=({input_px}, {input_px})"
        resized = f'images = torch.nn.functional.interpolate(images, {size}, mode="bilinear", antialias=True)\n'
    return f"""
With timm and safetensors alone:

```python
import numpy as np
import timm
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file

model = timm.create_model({preset_of(name).timm_name!r}, num_classes={len(record.labels)}{further}).eval()
model.load_state_dict(load_file("model.safetensors"))
{_squared(record)}
images = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 255
{resized}mean, std = (torch.tensor(model.pretrained_cfg[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
with torch.inference_mode():
    logits = model((images - mean) / std)
probabilities = torch.softmax(logits / {record.calibration.temperature!r}, dim=1)
print(dict(zip({list(record.labels)!r}, probabilities[0].tolist())))
```
"""


def _squared(record: PredictorRecord) -> str:
    """Code that makes `picture` square as the training's images were: of 8-bit images, the usual ones."""
    size = record.preparation.image_size_px
    opened = 'picture = ImageOps.exif_transpose(Image.open("IMAGE")).convert("RGB")  # of 8 bits, without transparency'
    if record.preparation.resize_mode == "pad":
        return f"""{opened}
scale = {size} / max(picture.size)
fitted = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
small = np.array(picture.resize(fitted, Image.Resampling.LANCZOS, None, 3.0))
before = [({size} - length) // 2 for length in small.shape[:2]]
margins = [(start, {size} - length - start) for length, start in zip(small.shape[:2], before)]
picture = np.pad(small, [*margins, (0, 0)], mode="edge")"""
    return f"""{opened}
side = min(picture.size)
left, top = (picture.width - side) // 2, (picture.height - side) // 2
box = (left, top, left + side, top + side)
picture = picture.resize(({size}, {size}), Image.Resampling.LANCZOS, box, 3.0)"""
