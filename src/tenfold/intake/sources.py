"""Sources: the listing of a source with the hashes of its files, for real images and synthetic ones alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tenfold.core.executor import Executor
from tenfold.core.progress import Progress
from tenfold.core.workspace import Workspace
from tenfold.data.dicom_header import is_dicom
from tenfold.data.import_items import Listing, QuarantineRow
from tenfold.data.importers import list_source
from tenfold.data.pseudonyms import KEY_FILE, keep_pseudonyms, open_pseudonyms, temporary_pseudonyms
from tenfold.data.source_options import SourceOptions
from tenfold.intake.originals import Original, hash_originals, hash_paths, without_duplicates, write_plan

NOT_CHOSEN = "not_chosen"
"""The reason of rows that are fine and were left out on purpose, such as the other slices of a series."""


@dataclass(frozen=True)
class Source:
    """A source before decoding. Rows in = originals + refused.

    `plan` is the file that tells all of it by hash; until `adopt_plan` it waits beside the plan of an earlier import.
    """

    listing: Listing
    originals: tuple[Original, ...]
    refused: tuple[QuarantineRow, ...]
    plan: Path

    @property
    def rows_in(self) -> int:
        """Rows or files of the chosen classes."""
        return len(self.listing.items) + len(self.listing.quarantined)

    @property
    def is_planned_already(self) -> bool:
        """Whether the earlier plan is this one: nothing in the source has changed."""
        return self.plan.is_file() and self.plan.read_bytes() == _waiting(self.plan).read_bytes()

    def counts(self) -> Counter[str]:
        """Originals by label."""
        return Counter(original.item.label for original in self.originals)

    def adopt_plan(self) -> Path:
        """Let this plan take the place of the earlier one."""
        _waiting(self.plan).replace(self.plan)
        return self.plan

    def drop_plan(self) -> None:
        """Leave the earlier plan as it is."""
        _waiting(self.plan).unlink(missing_ok=True)


def open_source(
    path: Path, options: SourceOptions, workspace: Workspace, plan: str, executor: Executor, progress: Progress
) -> Source:
    """List a source, hash its files and write the plan beside its place in the workspace. DataError when unusable.

    Where it holds DICOM files, their ids become pseudonyms under the workspace's key, which is made when there is none.
    """
    key = workspace.resolve(KEY_FILE)
    pseudonyms = open_pseudonyms(key) if key.exists() else temporary_pseudonyms()
    listing = list_source(path, replace(options, pseudonyms=pseudonyms))
    if not key.exists() and any(is_dicom(item.path) for item in listing.items):
        keep_pseudonyms(key, pseudonyms)
    hashed, unreadable = hash_originals(listing.items, executor, progress)
    originals, duplicates = without_duplicates(hashed)
    refused = (*listing.quarantined, *unreadable, *duplicates)
    target = workspace.resolve(plan)
    masks = [original.item.mask_file for original in originals if original.item.mask_file is not None]
    write_plan(_waiting(target), listing, originals, refused, hash_paths(masks, executor, progress) if masks else ())
    return Source(listing, tuple(originals), refused, target)


def bad_rows(refused: Sequence[QuarantineRow]) -> list[QuarantineRow]:
    """The rows that something is wrong with, without those that were left out on purpose."""
    return [row for row in refused if row.reason != NOT_CHOSEN]


def _waiting(plan: Path) -> Path:
    return plan.with_name(f"{plan.name}.next")
