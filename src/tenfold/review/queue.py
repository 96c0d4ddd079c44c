"""Who judges what in which order: pure plans, seeded by identity, that nothing about an image's origin enters."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tenfold.core.seeds import derive_seed
from tenfold.review.records import Item, Kind, QueueSettings

LARGEST_GAP = 50
"""A repeat comes at least so many images after the first time, in short queues at least a third of the queue."""

Keys = np.ndarray[tuple[int], np.dtype[np.uint64]]


@dataclass(frozen=True)
class PlannedSlot:
    """One image in a reviewer's queue."""

    image_id: str
    kind: Kind


def choose_real(
    candidates: Sequence[Item], synthetic: Sequence[Item], real_fraction: float, seed: int,
    last: Collection[str] = (),
) -> list[Item]:  # fmt: skip
    """Real images to mix in, so that they are `real_fraction` of the queue, by image id.

    Classes get the shares that they have among the synthetic images, so that the class tells nothing about the origin;
    where a class has too few real images, there are fewer. None that a synthetic image was made of: beside its likeness
    it would tell which of the two is real. Those of the ids `last` come only where there are no others.
    """
    parents = {item.parent_id for item in synthetic}
    wanted = wished_real(len(synthetic), real_fraction)
    quotas = _shares(Counter(item.label for item in synthetic), wanted)
    chosen: list[Item] = []
    for label, count in quotas.items():
        ranked = sorted(
            (item for item in candidates if item.label == label and item.image_id not in parents),
            key=lambda item: (
                item.image_id in last,
                derive_seed(seed, "review", "real", item.image_id),
                item.image_id,
            ),
        )
        chosen += ranked[:count]
    return sorted(chosen, key=lambda item: item.image_id)


def wished_real(n_synthetic: int, real_fraction: float) -> int:
    """So many real images beside so many synthetic ones are `real_fraction` of all."""
    return round(n_synthetic * real_fraction / (1.0 - real_fraction))


def plan_queue(
    image_ids: Collection[str],
    reviewers: Sequence[str],
    settings: QueueSettings,
    kept: Mapping[str, Sequence[PlannedSlot]] | None = None,
    done: Collection[str] = (),
) -> dict[str, list[PlannedSlot]]:
    """The slots of each reviewer in order.

    A share of the images goes to everyone, each of the others to one reviewer, in equal parts. The order in which
    images or reviewers are named is without meaning; before anything was seen, so is the order of joining.

    Args:
        image_ids: all images, without doubles.
        reviewers: names of those who can judge.
        kept: by reviewer, what was already seen, in that order: it stays in front and with the reviewer.
        done: images that someone who has left decided: nobody else needs to, unless they are for everyone.
    """
    kept = kept or {}
    ids = np.array(sorted(image_ids), dtype=np.str_)
    keys: Keys = np.array(
        [derive_seed(settings.seed, "review", image_id) for image_id in ids.tolist()], dtype=np.uint64
    )
    for_all = _ranks(_mixed(keys, settings.seed, "overlap")) < round(settings.overlap_fraction * len(ids))
    taken = {slot.image_id for slots in kept.values() for slot in slots} | set(done)
    free = ~for_all & ~np.isin(ids, sorted(taken))
    dealt = np.full(len(ids), -1)
    dealt[free] = _ranks(_mixed(keys, settings.seed, "share")[free]) % max(1, len(reviewers))
    # The one who gets the first share changes with the seed.
    ranked = sorted(reviewers, key=lambda name: (derive_seed(settings.seed, "review", "reviewer", name), name))
    return {
        name: _in_order(ids, keys, for_all | (dealt == number), name, kept.get(name, ()), settings)
        for number, name in enumerate(ranked)
    }


def opaque_id(secret: bytes, *parts: str) -> str:
    """32 hex digits by HMAC-SHA-256, from which nobody without the secret learns image, kind or order."""
    return hmac.new(secret, "\x1f".join(parts).encode("utf-8"), hashlib.sha256).hexdigest()[:32]


def deal_disputed(disputed: Sequence[str], burden: Mapping[str, int], seed: int) -> list[tuple[str, str]]:
    """Pairs (image, adjudicator) in seeded order; each image goes to the one with the least to do; none: no pairs."""
    loads = dict(burden)
    pairs: list[tuple[str, str]] = []
    for image_id in sorted(disputed, key=lambda image_id: derive_seed(seed, "review", "disputed", image_id)):
        if loads:
            least = min(loads, key=lambda name: (loads[name], name))
            loads[least] += 1
            pairs.append((image_id, least))
    return pairs


def _in_order(
    ids: np.ndarray[tuple[int], np.dtype[np.str_]],
    keys: Keys,
    is_mine: np.ndarray[tuple[int], np.dtype[np.bool_]],
    name: str,
    kept: Sequence[PlannedSlot],
    settings: QueueSettings,
) -> list[PlannedSlot]:
    """One reviewer's slots: what was seen, then the others in an order of the reviewer's own, repeats among them."""
    seen = {slot.image_id for slot in kept if slot.kind == "first"}
    mine = np.flatnonzero(is_mine & ~np.isin(ids, sorted(seen)))
    order = _mixed(keys, settings.seed, "order", name)
    rest = mine[np.argsort(order[mine], kind="stable")]
    planned = [*kept, *(PlannedSlot(image_id, "first") for image_id in ids[rest].tolist())]
    firsts = [place for place, slot in enumerate(planned) if slot.kind == "first"]
    repeated = {slot.image_id for slot in kept if slot.kind == "repeat"}
    wanted = round(settings.repeat_fraction * len(firsts)) - len(repeated)
    gap = min(LARGEST_GAP, len(planned) // 3)
    position = {image_id: place for place, image_id in enumerate(ids.tolist())}
    # What was seen of an image that was drawn anew since stays where it is, and is not repeated.
    repeatable = position.keys() - repeated
    free = [place for place in firsts if place + gap < len(planned) and planned[place].image_id in repeatable]
    if wanted <= 0 or gap == 0 or not free:
        return planned
    luck = _mixed(keys, settings.seed, "repeat", name)
    free.sort(key=lambda place: int(luck[position[planned[place].image_id]]))
    placed: list[tuple[float, PlannedSlot]] = [(float(place), slot) for place, slot in enumerate(planned)]
    where = _mixed(keys, settings.seed, "distance", name)
    for place in free[:wanted]:
        image_id = planned[place].image_id
        room = len(planned) - 1 - place - gap
        later = place + gap + int(where[position[image_id]]) % (room + 1)
        placed.append((max(later, len(kept) - 1) + 0.5, PlannedSlot(image_id, "repeat")))
    return [slot for _, slot in sorted(placed, key=lambda pair: (pair[0], pair[1].image_id))]


def _mixed(keys: Keys, seed: int, *purpose: str) -> Keys:
    """A stream of its own for each purpose and image: the finalizer of MurmurHash3 over the two seeds."""
    mixed = keys ^ np.uint64(derive_seed(seed, "review", *purpose))
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        mixed = (mixed ^ (mixed >> np.uint64(33))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(33))


def _ranks(keys: Keys) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    ranks = np.empty(len(keys), dtype=np.int64)
    ranks[np.argsort(keys, kind="stable")] = np.arange(len(keys))
    return ranks


def _shares(counts: Mapping[str, int], total: int) -> dict[str, int]:
    """`total` divided as the counts are, by largest remainders."""
    if not total:
        return {}
    exact = {label: total * count / sum(counts.values()) for label, count in sorted(counts.items())}
    shares = {label: int(share) for label, share in exact.items()}
    by_remainder = sorted(exact, key=lambda label: (shares[label] - exact[label], label))
    for label in by_remainder[: total - sum(shares.values())]:
        shares[label] += 1
    return shares
