"""Prior images: pictures that the base itself drew, kept in the training so that it does not forget them."""

from __future__ import annotations

from collections.abc import Sequence

from tenfold.core.errors import DataError
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import manifest_rows, read_manifest, unpack_ancestors
from tenfold.finetuning.datasets import ImageSet, load_image_set


def read_prior_images(
    workspace: Workspace,
    manifest_path: str,
    *,
    training_ids: Sequence[str],
    image_size_px: int,
    labels: Sequence[str] | None = None,
) -> ImageSet:
    """The images and prompts of a generation run with the base.

    Args:
        training_ids: the real images that this fine-tuning may see, directly or through the prior.
        labels: only rows of these; None takes all.

    Raises:
        DataError: there are no rows (of each of the labels), a row is not synthetic or has no prompt, or it descends
            from other real images.
    """
    path = workspace.resolve(manifest_path)
    rows = list(manifest_rows(read_manifest(path)))
    if labels is not None:
        found = sorted({str(row["label"]) for row in rows})
        lacking = sorted(set(labels) - set(found))
        if lacking:
            raise DataError(
                f"there are no prior images of {', '.join(lacking)}",
                where=str(path),
                expected=f"labels of the set: {', '.join(found)}",
                todo="Correct `prior_labels`, or draw prior images of these labels.",
            )
        rows = [row for row in rows if row["label"] in labels]
    prompts = [row["prompt"] for row in rows]
    if not rows or not all(prompts) or any(row["source"] != "synthetic" for row in rows):
        raise DataError(
            "these are not prior images",
            where=str(path),
            expected="at least one row, all of them synthetic and with a prompt",
            todo="Draw them first: a text2img generation with the base and the class's prompt.",
        )
    allowed = set(training_ids)
    for row in rows:
        ancestors = unpack_ancestors(row["ancestors"])
        if ancestors is None or not set(ancestors) <= allowed:
            raise DataError(
                f"prior image {row['image_id']} descends from real images outside this fine-tuning's own",
                where=str(path),
                expected="images drawn with the base, or with a model of the same training images",
                todo="Draw prior images with the base checkpoint.",
            )
    return load_image_set(workspace, rows, [str(prompt) for prompt in prompts], image_size_px)
