"""DICOM slices: the order of a stack's slices, and which slices and frames are picked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tenfold.data.dicom_fields import VOLUMES
from tenfold.data.dicom_header import DicomHeader
from tenfold.data.import_items import ImportItem

PARALLEL = 0.99
"""Cosine between the normals of two slices from which they belong to one stack."""

FrameRule = Literal["middle", "first", "all"] | int
SliceRule = Literal["middle", "all"] | int


@dataclass(frozen=True)
class DicomFile:
    """An item whose file is DICOM, with its header; number: its place among the items, from 0."""

    item: ImportItem
    header: DicomHeader
    number: int

    @property
    def series(self) -> str:
        """What groups the files of a series; a file without a series is one of its own."""
        return self.header.series_uid or f"file {self.number}"

    @property
    def is_volume(self) -> bool:
        """Whether the file is a slice, or a stack of slices, of a body."""
        return self.header.modality in VOLUMES


@dataclass(frozen=True)
class Picked:
    """What is taken of a file. frames: from 0, or None for the only one; place: ``12 of 40``, that in the stack."""

    frames: tuple[int | None, ...]
    place: str | None = None


def pick(files: Sequence[DicomFile], slices: SliceRule, frames: FrameRule) -> dict[int, Picked]:
    """Number of a file -> what is taken of it; files that are not chosen are missing.

    Files of a CT, MR or PET series that carry one label form a stack, of which `slices` are taken; overviews
    (localizers) in it are taken only when there is nothing else. Every other file is taken, with its chosen frames.
    """
    stacks: dict[tuple[str, str], list[DicomFile]] = defaultdict(list)
    picked: dict[int, Picked] = {}
    for file in files:
        if file.header.frames > 1:
            rule: FrameRule = slices if file.is_volume else frames
            picked[file.number] = Picked(tuple(spread(file.header.frames, rule)))
        elif file.is_volume:
            stacks[file.series, file.item.label].append(file)
        else:
            picked[file.number] = Picked((None,))
    for stack in stacks.values():
        ordered = in_order([file for file in stack if not is_overview(file)] or stack)
        for place in spread(len(ordered), slices):
            text = f"{place + 1} of {len(ordered)}" if len(ordered) > 1 else None
            picked[ordered[place].number] = Picked((None,), text)
    return picked


def spread(count: int, rule: FrameRule) -> list[int]:
    """Places from 0 of the wanted ones among `count`: evenly spaced around the middle, in order."""
    if rule == "first":
        return [0]
    if rule == "all" or (isinstance(rule, int) and rule >= count):
        return list(range(count))
    wanted = 1 if rule == "middle" else int(rule)
    return [(2 * place + 1) * count // (2 * wanted) for place in range(wanted)]


def in_order(stack: Sequence[DicomFile]) -> list[DicomFile]:
    """The slices of a stack along its normal; by instance number where positions are missing or not parallel."""
    along = _along_normal(stack)
    last = 1 << 62

    def key(file: DicomFile) -> tuple[float, int, str]:
        number = last if file.header.instance_number is None else file.header.instance_number
        return along.get(file.number, 0.0), number, file.item.name

    return sorted(stack, key=key)


def has_positions(stack: Sequence[DicomFile]) -> bool:
    """Whether every slice tells where it lies, all along one normal."""
    return bool(_along_normal(stack))


def is_overview(file: DicomFile) -> bool:
    """Whether a slice is a localizer (scout) that shows where the others lie."""
    return "LOCALIZER" in file.header.image_type


def _along_normal(stack: Sequence[DicomFile]) -> Mapping[int, float]:
    """Number of a file -> its place (mm) along the stack's normal; empty when any slice lacks it or is turned."""
    normal = stack[0].header.normal
    places: dict[int, float] = {}
    for file in stack:
        position, own = file.header.position, file.header.normal
        if normal is None or position is None or own is None or _dot(normal, own) < PARALLEL:
            return {}
        places[file.number] = _dot(position, normal)
    return places


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))
