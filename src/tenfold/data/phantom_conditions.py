"""The phantom's conditions as data: ranges and probabilities of every clinical feature.

Nothing here comes from patients. The *common* conditions imitate textbook descriptions; the *emerging* ones are
invented and carry "phantom" in their names so that nobody takes them for diseases. Strengths are in [0, 1] unless said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

PARTS: tuple[str, ...] = (
    "plaque", "globules", "network", "scale", "ulcer", "vessels", "ring", "core", "papules", "dent", "satellites",
)  # fmt: skip
"""Visual parts a lesion may show; each is a strength in [0, 1], 0 when absent."""

FEATURES: tuple[str, ...] = (
    "size", "elongation", "asymmetry", "border", "edge", "melanin", "heme", "variegation", "blue", "relief", "gloss",
    *PARTS,
)  # fmt: skip
"""Columns of the feature table. size: lesion radius as a fraction of half the frame; edge: width of the border as a
fraction of the radius; melanin, heme: optical dose (absorbance in the blue and green channels); the rest: strengths."""

FEATURE_INDEX: Mapping[str, int] = MappingProxyType({name: i for i, name in enumerate(FEATURES)})

PART_PHRASES: Mapping[str, str] = MappingProxyType({
    "plaque": "a raised plaque", "globules": "globules", "network": "a pigment network", "scale": "white scale",
    "ulcer": "an ulcer", "vessels": "vessels", "ring": "a ring", "core": "a dusky center", "papules": "papules",
    "dent": "a central dent", "satellites": "satellite vesicles",
})  # fmt: skip

VISIBLE_STRENGTH = 0.3
"""A part at or above this strength is named in the attributes; conditions draw parts at 0.35 or more, or not at all."""


@dataclass(frozen=True)
class Range:
    """A feature drawn uniformly in [low, high], present with the given probability and 0 otherwise."""

    low: float
    high: float
    probability: float = 1.0


@dataclass(frozen=True)
class Condition:
    """One condition: its label, its phrase in captions and its feature distributions."""

    label: str
    noun: str
    group: Literal["common", "emerging"]
    features: Mapping[str, Range]
    description: str
    archive_exclusions: tuple[frozenset[str], ...] = field(default=())
    """Part pairs that define this condition or resemble it: no archive image may hold one."""


SHAPE = {"elongation": Range(0.0, 0.28), "relief": Range(0.15, 0.6), "gloss": Range(0.0, 0.5)}


def _common(label: str, noun: str, description: str, **features: Range) -> Condition:
    return Condition(label, noun, "common", MappingProxyType(SHAPE | features), description)


# One distribution of size, color and outline for all emerging conditions: only the arrangement of parts differs.
_EMERGING_BASE = SHAPE | {
    "size": Range(0.36, 0.58), "asymmetry": Range(0.0, 0.35), "border": Range(0.05, 0.4), "edge": Range(0.12, 0.4),
    "melanin": Range(0.0, 0.5), "heme": Range(0.35, 1.0), "variegation": Range(0.1, 0.7),
    "scale": Range(0.35, 0.7, 0.2), "plaque": Range(0.35, 0.8, 0.3), "vessels": Range(0.35, 0.7, 0.15),
}  # fmt: skip


def _emerging(label: str, description: str, exclusions: tuple[tuple[str, str], ...], **parts: Range) -> Condition:
    pairs = tuple(frozenset(pair) for pair in exclusions)
    return Condition(
        label, f"phantom {label}", "emerging", MappingProxyType(_EMERGING_BASE | parts), description, pairs
    )


_ALL = (
    _common("nevus", "nevus", "small, symmetric, evenly brown, sharp border; network or globules",
            size=Range(0.22, 0.42), asymmetry=Range(0.0, 0.22), border=Range(0.0, 0.2), edge=Range(0.08, 0.22),
            melanin=Range(0.5, 1.3), heme=Range(0.0, 0.15), variegation=Range(0.0, 0.35),
            network=Range(0.4, 0.9, 0.5), globules=Range(0.4, 0.9, 0.35)),
    _common("melanoma", "melanoma", "asymmetric, irregular border, several colors, blue-black areas",
            size=Range(0.32, 0.6), asymmetry=Range(0.3, 1.0), border=Range(0.3, 0.95), edge=Range(0.06, 0.25),
            melanin=Range(0.8, 1.9), heme=Range(0.0, 0.4), variegation=Range(0.35, 1.0), blue=Range(0.35, 0.9, 0.6),
            network=Range(0.4, 0.9, 0.4), globules=Range(0.4, 0.9, 0.4), ulcer=Range(0.35, 0.7, 0.1)),
    _common("seborrheic_keratosis", "seborrheic keratosis", "waxy, stuck-on, sharply cut, with pale and dark pits",
            size=Range(0.28, 0.52), asymmetry=Range(0.0, 0.45), border=Range(0.1, 0.5), edge=Range(0.03, 0.1),
            melanin=Range(0.4, 1.3), heme=Range(0.0, 0.2), variegation=Range(0.2, 0.7), relief=Range(0.6, 1.0),
            plaque=Range(0.6, 1.0), globules=Range(0.45, 1.0, 0.7), scale=Range(0.35, 0.6, 0.35)),
    _common("psoriasis", "psoriasis plaque", "well-defined raised red plaque under silvery scale",
            size=Range(0.38, 0.72), asymmetry=Range(0.1, 0.6), border=Range(0.1, 0.5), edge=Range(0.06, 0.2),
            melanin=Range(0.0, 0.25), heme=Range(0.6, 1.2), variegation=Range(0.1, 0.5),
            plaque=Range(0.5, 1.0), scale=Range(0.5, 1.0, 0.9)),
    _common("basal_cell_carcinoma", "basal cell carcinoma", "pearly pink papule with branching vessels or an ulcer",
            size=Range(0.24, 0.46), asymmetry=Range(0.0, 0.4), border=Range(0.0, 0.35), edge=Range(0.1, 0.25),
            melanin=Range(0.0, 0.3), heme=Range(0.2, 0.6), variegation=Range(0.1, 0.4), relief=Range(0.7, 1.0),
            gloss=Range(0.5, 1.0), blue=Range(0.35, 0.6, 0.15), vessels=Range(0.45, 1.0, 0.8),
            ulcer=Range(0.4, 0.9, 0.5)),
    _common("eczema", "eczema", "ill-defined red patch with fine scale and small papules",
            size=Range(0.4, 0.78), asymmetry=Range(0.2, 0.7), border=Range(0.2, 0.7), edge=Range(0.4, 0.9),
            melanin=Range(0.0, 0.25), heme=Range(0.4, 1.0), variegation=Range(0.3, 0.9),
            scale=Range(0.35, 0.7, 0.5), papules=Range(0.35, 0.7, 0.5)),
    _emerging("annulosis", "ring beaded with papules around a clear center", (("ring", "papules"),),
              ring=Range(0.6, 1.0, 0.96), papules=Range(0.35, 0.9, 0.8), core=Range(0.35, 0.5, 0.06),
              satellites=Range(0.35, 0.6, 0.12)),
    _emerging("umbilicosis", "cluster of papules, each with a central dent", (("papules", "dent"),),
              papules=Range(0.5, 1.0, 0.96), dent=Range(0.6, 1.0, 0.9), ring=Range(0.35, 0.5, 0.08),
              satellites=Range(0.35, 0.7, 0.2), core=Range(0.35, 0.5, 0.08)),
    _emerging("targetosis", "target: dusky center, pale zone, outer ring",
              (("ring", "core"), ("ring", "ulcer"), ("ring", "dent")),
              ring=Range(0.5, 1.0, 0.94), core=Range(0.6, 1.0, 0.94), papules=Range(0.35, 0.5, 0.1),
              satellites=Range(0.35, 0.6, 0.12)),
    _emerging("satellosis", "ulcerated plaque with satellite vesicles",
              (("ulcer", "satellites"), ("core", "satellites")),
              ulcer=Range(0.5, 1.0, 0.92), satellites=Range(0.5, 1.0, 0.95), ring=Range(0.35, 0.5, 0.08),
              papules=Range(0.35, 0.5, 0.1)),
)  # fmt: skip

CONDITIONS: Mapping[str, Condition] = MappingProxyType({condition.label: condition for condition in _ALL})
COMMON: tuple[str, ...] = tuple(c.label for c in _ALL if c.group == "common")
EMERGING: tuple[str, ...] = tuple(c.label for c in _ALL if c.group == "emerging")

ARCHIVE_EXCLUSIONS: tuple[frozenset[str], ...] = tuple(pair for c in _ALL for pair in c.archive_exclusions)

PART_LESION = SHAPE | {
    "size": Range(0.26, 0.62), "asymmetry": Range(0.0, 0.6), "border": Range(0.0, 0.6), "edge": Range(0.06, 0.45),
    "melanin": Range(0.0, 1.0), "heme": Range(0.1, 1.0), "variegation": Range(0.0, 0.8), "blue": Range(0.35, 0.7, 0.08),
    **{part: Range(0.45, 1.0) for part in PARTS},
}  # fmt: skip
"""Distributions of an archive lesion made of random parts; which parts it has is drawn by ``draw_parts``."""

SEVERITY_SCALES: Mapping[str, tuple[float, float, float]] = MappingProxyType({
    "size": (0.85, 1.0, 1.14), "melanin": (0.85, 1.0, 1.12), "heme": (0.75, 1.0, 1.2), "relief": (0.8, 1.0, 1.2),
    "scale": (0.85, 1.0, 1.2), "papules": (0.75, 1.0, 1.25), "satellites": (0.75, 1.0, 1.25), "ulcer": (0.85, 1.0, 1.2),
    "globules": (0.85, 1.0, 1.15),
})  # fmt: skip
"""Multipliers of a feature at severity 1, 2 and 3 (parts present stay in [VISIBLE_STRENGTH, 1])."""


def is_excluded_from_archive(parts: frozenset[str] | set[str]) -> bool:
    """Whether a combination of parts holds a pair that defines or resembles an emerging condition."""
    return any(pair <= parts for pair in ARCHIVE_EXCLUSIONS)
