"""Sources: the real images, and their masks, that a request starts from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SourceImage:
    """A real training image: where its pixels and its lesion mask lie."""

    image_id: str
    path: Path
    mask_path: Path | None = None
    skin_type: int | None = None


@dataclass(frozen=True)
class Sources:
    """What one request starts from; text-to-image starts from nothing."""

    parent: SourceImage | None = None
    background: SourceImage | None = None
    """Composite: the image that the parent's lesion is set into."""
