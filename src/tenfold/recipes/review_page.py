"""How a workspace's review page is set up: one size for all images, a tick for their answers, guides, figures."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from tenfold.core.errors import DataError, StorageError
from tenfold.core.workspace import Workspace
from tenfold.data.image_bytes import image_bytes
from tenfold.data.images import read_header
from tenfold.data.manifest import labels_of, read_manifest
from tenfold.review.apart import dashboard_apart
from tenfold.review.config import ReviewConfig
from tenfold.review.guide_choice import kept_guides
from tenfold.review.items import MANIFEST, real_items
from tenfold.review.records import Item
from tenfold.review.rubric import load_placed_rubric
from tenfold.review.run import dashboard
from tenfold.review.store import Store
from tenfold.review.web.context import PageSettings
from tenfold.review.web.guides import check_classes, guide_files
from tenfold.review.web.images import THREADS, ImageFile, encode_view, read_verified
from tenfold.review.web.security import Place

_SMALLEST_SIDE_PX, _LARGEST_SIDE_PX = 64, 1024
_LOOKED_AT, _TIMED = 40, 4
_SHORTEST_TICK_SECONDS, _LONGEST_TICK_SECONDS = 0.02, 1.0
_TICK_MARGIN, _SPACING_MARGIN = 3.0, 1.5
_MANY_IMAGES = 2000
"""Above it the dashboard's figures take longer than a reviewer should wait."""


def page_settings(store: Store, workspace: Workspace, config: ReviewConfig, place: Place) -> PageSettings:
    """The settings of the page that serves this store.

    Raises:
        DataError: the rubric has a fault, names a class that the data does not have, or a guide image that is not
            there.
    """
    items = store.items()
    rubric, tell = load_placed_rubric(config.rubric)
    check_classes(rubric, _labels(workspace) | {item.label for item in items}, tell)
    side_px = view_side(items, workspace)
    folders = [workspace.path] if config.rubric is None else [Path(config.rubric).absolute().parent, workspace.path]
    real = _real_images(workspace)
    paths = {item.image_id: workspace.path / item.path for item in real}
    chosen = {
        label: [paths[image_id] for image_id in ids if image_id in paths]
        for label, ids in kept_guides(workspace).shown.items()
    }
    guides = guide_files(rubric, folders, chosen, {item.sha256 for item in items}, tell)

    def figures() -> dict[str, Any]:
        made_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        is_large = len(items) > _MANY_IMAGES
        made = dashboard_apart(workspace) if is_large else dashboard(store, config, workspace)
        return {"made_at": made_at, **made}

    return PageSettings(
        place=place,
        side_px=side_px,
        rubric=rubric,
        rule=config.consensus,
        shows_class=config.shows_class,
        guides=guides,
        real_images=lambda: real,
        figures=figures,
        tick_seconds=answer_tick(items, workspace, side_px),
        spacing_seconds=view_spacing(items, workspace, side_px),
    )


def view_side(items: Sequence[Item], workspace: Workspace) -> int:
    """The side at which all images are shown, in px: that of the smallest of some generated ones, 64 to 1024.

    An image shown larger than it is would tell its origin by its blur; real ones are mostly larger than generated ones.
    """
    sides = []
    for item in _some(items, "synthetic", _LOOKED_AT):
        try:
            header = read_header(image_bytes(workspace.path / item.path))
        except (DataError, OSError):
            continue  # shown as a fault when its turn comes
        sides.append(min(header.width_px, header.height_px))
    return min(max(min(sides, default=_LARGEST_SIDE_PX), _SMALLEST_SIDE_PX), _LARGEST_SIDE_PX)


def answer_tick(items: Sequence[Item], workspace: Workspace, side_px: int) -> float:
    """Seconds allowed for making any image's view: three times what the slowest of some images took.

    A large photograph takes longer to decode than a small generated image; nobody can tell within the time for all.
    """
    slowest = max((max(times) for times in _view_seconds(items, workspace, side_px).values()), default=0.0)
    return min(max(_TICK_MARGIN * slowest, _SHORTEST_TICK_SECONDS), _LONGEST_TICK_SECONDS)


def view_spacing(items: Sequence[Item], workspace: Workspace, side_px: int) -> float:
    """Seconds between views that come due: one and a half times what one takes on average with all threads at work."""
    found = _view_seconds(items, workspace, side_px)
    counts = Counter(item.source for item in items if item.source in found)
    if not counts:
        return _SHORTEST_TICK_SECONDS / (2 * THREADS)
    mean = sum(count * fmean(found[source]) for source, count in counts.items()) / counts.total()
    return _SPACING_MARGIN * mean / THREADS


def _view_seconds(items: Sequence[Item], workspace: Workspace, side_px: int) -> dict[str, list[float]]:
    """By source, what making the views of some images takes."""
    found: dict[str, list[float]] = {}
    for item in (*_some(items, "synthetic", _TIMED), *_some(items, "real", _TIMED)):
        began = time.perf_counter()
        try:
            data = read_verified(ImageFile(workspace.path / item.path, item.sha256))
            encode_view(data, side_px)
        except (DataError, StorageError):
            continue
        found.setdefault(item.source, []).append(time.perf_counter() - began)
    return found


def _some(items: Sequence[Item], source: str, count: int) -> list[Item]:
    """At most `count` items of a source, spread evenly over the list."""
    fitting = [item for item in items if item.source == source]
    return fitting[:: -(-len(fitting) // count)] if fitting else []


def _labels(workspace: Workspace) -> set[str]:
    place = workspace.resolve(MANIFEST)
    return set(labels_of(read_manifest(place))) if place.is_file() else set()


def _real_images(workspace: Workspace) -> list[Item]:
    try:
        return real_items(workspace)
    except DataError:
        return []  # images that are not split yet: a test image may be among them
