"""DreamBooth's images: checked rows of the training split, their prompts, and the order of drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tenfold.core.errors import DataError, Faults
from tenfold.core.seeds import derive_seed, numpy_generator
from tenfold.core.workspace import Workspace
from tenfold.data.captions import (
    PHOTO_PREFIX,
    class_noun,
    identifier_for,
    instance_prompt,
    stated_skin_type,
    template_caption,
)
from tenfold.data.datasets import load_images
from tenfold.data.images import resize_and_crop
from tenfold.data.manifest import labels_of, make_manifest, manifest_rows, read_manifest, select_images
from tenfold.data.splits import read_sealed_split, with_split
from tenfold.finetuning.focus import focus_images

CaptionSource = Literal["manifest", "template"]


@dataclass(frozen=True)
class ImageSet:
    """Images with their prompts, in the order of `image_ids`."""

    image_ids: tuple[str, ...]
    labels: tuple[str, ...]
    prompts: tuple[str, ...]
    images: NDArray[np.uint8]
    """(N, H, W, 3) sRGB, square."""
    whole_ids: tuple[str, ...] = ()
    """Images that were to be cut to their lesion, but have no mask or an empty one."""


@dataclass(frozen=True)
class Wording:
    """How prompts are built: each label's noun in the captions and its identifier, and the noun that prompts say."""

    nouns: Mapping[str, str]
    identifiers: Mapping[str, str]
    shared_noun: str | None
    captions: CaptionSource

    def prompt(self, row: Mapping[str, Any]) -> str:
        """``a photo of {identifier} {noun}, details`` for a manifest row."""
        label = row["label"]
        own_noun = self.nouns[label]
        caption = row["caption"] if self.captions == "manifest" else None
        # A caption that the import made of the class's name would say that name beside the noun given here.
        if not caption or row.get("attr.caption_source") == "template":
            caption = template_caption(own_noun, skin_type=stated_skin_type(row), site=row["site"])
        noun = self.shared_noun or own_noun
        plain = f"{PHOTO_PREFIX} {own_noun}"
        if caption == plain or caption.startswith(f"{plain},"):
            caption = f"{PHOTO_PREFIX} {noun}" + caption[len(plain) :]
        return instance_prompt(noun, self.identifiers[label], caption)


def choose_wording(
    labels: Sequence[str],
    *,
    nouns: Mapping[str, str],
    identifiers: Mapping[str, str] | None,
    shared_noun: str | None,
    captions: CaptionSource,
) -> Wording:
    """Nouns and identifiers for these labels. DataError when given identifiers lack a label or repeat."""
    if identifiers is None:
        identifiers = {label: identifier_for(number) for number, label in enumerate(labels)}
    lacking = [label for label in labels if label not in identifiers]
    tokens = [identifiers[label] for label in labels if label in identifiers]
    if lacking or len(set(tokens)) < len(tokens):
        raise DataError(
            f"the identifiers {dict(identifiers)} do not tell the labels apart",
            expected=f"one token of its own for each of {', '.join(labels)}",
            todo="Correct `identifiers`, or leave it out.",
        )
    return Wording({label: class_noun(label, nouns) for label in labels}, identifiers, shared_noun, captions)


def read_rows(workspace: Workspace, image_ids: Sequence[str], *, allowed_splits: Sequence[str]) -> list[dict[str, Any]]:
    """Manifest rows of these images, in their order.

    Raises:
        DataError: an id is unknown, repeated, or not in an allowed split: no generator may learn from it.
    """
    if len(set(image_ids)) < len(image_ids):
        raise DataError("an image id is given more than once", expected="each image once")
    manifest = read_manifest(workspace.resolve("data/manifest.parquet"))
    table = with_split(manifest, read_sealed_split(workspace.resolve("data/splits.json")))
    rows = list(manifest_rows(select_images(table, image_ids)))
    faults = Faults()
    for row in rows:
        if row["split"] not in allowed_splits or row["source"] != "real":
            faults.add(
                DataError(
                    f"image {row['image_id']} is a {row['source']} image of the split {row['split']}",
                    where=f"manifest row {row['image_id']}",
                    expected=f"a real image of the split {' or '.join(allowed_splits)}",
                    todo="Take the ids from the training split only: a generator must not see any other.",
                )
            )
    faults.raise_if_any()
    return rows


def read_chosen_rows(
    workspace: Workspace, training_ids: Sequence[str], validation_ids: Sequence[str], base_ids: Sequence[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of the training and of the held-out images, once no image that the model learns from is anything but a
    training image: none of `training_ids`, and none of `base_ids`, which its base was trained on.

    Raises:
        DataError: an image of a wrong split, or a held-out image that the model or its base learns from.
    """
    if set(validation_ids) & {*training_ids, *base_ids}:
        raise DataError("an image is both a training and a validation image", todo="Take it out of `validation_ids`.")
    read_rows(workspace, base_ids, allowed_splits=("train",))
    return (
        read_rows(workspace, training_ids, allowed_splits=("train",)),
        read_rows(workspace, validation_ids, allowed_splits=("train", "val")),
    )


def load_image_set(
    workspace: Workspace,
    rows: Sequence[Mapping[str, Any]],
    prompts: Sequence[str],
    image_size_px: int,
    *,
    focus_margin: float | None = None,
) -> ImageSet:
    """The rows' images, scaled to the checkpoint's size where they differ from it.

    With `focus_margin` (see `focus_images`) they are cut to their lesions first.
    """
    images = load_images(workspace, make_manifest(rows))
    whole: list[str] = []
    if focus_margin is not None:
        cut, whole = focus_images(workspace, rows, images, focus_margin)
        images = np.stack([resize_and_crop(image, image_size_px) for image in cut])
    elif images.shape[1:3] != (image_size_px, image_size_px):
        images = np.stack([resize_and_crop(image, image_size_px) for image in images])
    labels = tuple(str(row["label"]) for row in rows)
    return ImageSet(tuple(str(row["image_id"]) for row in rows), labels, tuple(prompts), images, tuple(whole))


def sorted_labels(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The labels of the rows in the order of class numbers."""
    return labels_of(make_manifest(rows))


class BalancedOrder:
    """An endless order of images, the labels in turn and each label's images reshuffled once all were drawn.

    Position n is the same in whatever batch it is drawn, so that a resumed run needs no state.
    """

    def __init__(self, labels: Sequence[str], *, seed: int) -> None:
        self._seed = seed
        self._groups = [np.flatnonzero(np.array(labels) == label) for label in sorted(set(labels))]
        self._shuffled = lru_cache(maxsize=2 * len(self._groups))(self._shuffle)

    def batch(self, step: int, batch_size: int) -> NDArray[np.int64]:
        """(batch_size,) image indices of this step."""
        positions = range(step * batch_size, (step + 1) * batch_size)
        return np.array([self._at(position) for position in positions], dtype=np.int64)

    def _at(self, position: int) -> int:
        turn, group = divmod(position, len(self._groups))
        epoch, place = divmod(turn, len(self._groups[group]))
        return int(self._shuffled(group, epoch)[place])

    def _shuffle(self, group: int, epoch: int) -> NDArray[np.int64]:
        return numpy_generator(derive_seed(self._seed, "order", group, epoch)).permutation(self._groups[group])
