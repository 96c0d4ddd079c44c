"""Images that could not be shown, looked at again: a share may be back, a file restored."""

from __future__ import annotations

from tenfold.core.errors import TenfoldError
from tenfold.core.hashing import sha256_bytes
from tenfold.core.workspace import Workspace
from tenfold.data.image_bytes import image_bytes
from tenfold.data.images import decode_image
from tenfold.review.records import Item
from tenfold.review.store import Store

NO_FIT = "the image does not fit the length of the set's views"
"""The page's word for an image whose bytes are sound, and which it can never show."""


def end_past_faults(store: Store, workspace: Workspace) -> int:
    """End the faults of images that are as they were when they were queued; how many. Their reviewers are asked again.

    An image whose own bytes cannot be shown stays faulty: as they are, the page would fail again.
    """
    faulty = {fault.image_id for fault in store.faults() if fault.what != NO_FIT}
    if not faulty:
        return 0
    healed = [item.image_id for item in store.items() if item.image_id in faulty and _can_be_shown(item, workspace)]
    if healed:
        store.end_faults(healed)
    return len(healed)


def _can_be_shown(item: Item, workspace: Workspace) -> bool:
    try:
        data = image_bytes(workspace.path / item.path)
        if item.sha256 and sha256_bytes(data) != item.sha256:
            return False
        decode_image(data)
    except (TenfoldError, OSError):
        return False
    return True
