"""Plans of queues: seeded, shared out evenly, overlapping, with repeats at a distance, and stable when people join."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tenfold.review.queue import PlannedSlot, choose_real, deal_disputed, opaque_id, plan_queue
from tenfold.review.records import QueueSettings
from tests.review_store import SETTINGS, make_items

IDS = [item.image_id for item in make_items(200)]


def firsts(slots: Sequence[PlannedSlot]) -> list[str]:
    return [slot.image_id for slot in slots if slot.kind == "first"]


def repeats(slots: Sequence[PlannedSlot]) -> list[str]:
    return [slot.image_id for slot in slots if slot.kind == "repeat"]


def test_the_plan_follows_from_seed_images_and_names_alone() -> None:
    plan = plan_queue(IDS, ["Ann", "Ben"], SETTINGS)
    shuffled = random.Random(0).sample(IDS, len(IDS))
    assert plan_queue(shuffled, ["Ben", "Ann"], SETTINGS) == plan
    other = plan_queue(IDS, ["Ann", "Ben"], replace(SETTINGS, seed=12))
    assert other["Ann"] != plan["Ann"] and other["Ben"] != plan["Ben"]


def test_everyone_gets_the_overlap_and_an_equal_part_of_the_rest() -> None:
    plan = plan_queue(IDS, ["Ann", "Ben", "Cyd"], replace(SETTINGS, overlap_fraction=0.25))
    counts = Counter(image_id for slots in plan.values() for image_id in firsts(slots))
    assert set(counts) == set(IDS)
    assert Counter(counts.values()) == {3: 50, 1: 150}
    assert [len(firsts(slots)) for slots in plan.values()] == [100, 100, 100]


@pytest.mark.parametrize(("overlap", "shared"), [(0.0, 0), (1.0, 200)])
def test_no_overlap_and_full_overlap(overlap: float, shared: int) -> None:
    plan = plan_queue(IDS, ["Ann", "Ben"], replace(SETTINGS, overlap_fraction=overlap))
    assert len(set(firsts(plan["Ann"])) & set(firsts(plan["Ben"]))) == shared


def test_one_reviewer_gets_everything_and_nobody_nothing() -> None:
    assert sorted(firsts(plan_queue(IDS, ["Ann"], SETTINGS)["Ann"])) == IDS
    assert plan_queue(IDS, [], SETTINGS) == {}
    assert plan_queue([], ["Ann"], SETTINGS) == {"Ann": []}


def test_two_reviewers_see_shared_images_in_different_orders() -> None:
    plan = plan_queue(IDS, ["Ann", "Ben"], replace(SETTINGS, overlap_fraction=1.0))
    ann, ben = (np.argsort(firsts(plan[name])) for name in ("Ann", "Ben"))
    assert abs(np.corrcoef(ann, ben)[0, 1]) < 0.25  # 200 ranks of independent orders: 0.25 is 3.5 standard errors


def test_the_order_tells_nothing_about_ids() -> None:
    places = [
        firsts(plan_queue(IDS, ["Ann"], replace(SETTINGS, seed=seed))["Ann"]).index(IDS[0]) for seed in range(200)
    ]
    assert abs(np.mean(places) - 99.5) < 4 * 57.7 / np.sqrt(200)


@pytest.mark.parametrize(("count", "gap"), [(200, 50), (30, 10), (12, 4)])
def test_repeats_come_later_by_a_distance(count: int, gap: int) -> None:
    for seed in range(20):
        slots = plan_queue(IDS[:count], ["Ann"], QueueSettings(seed, 0.0, 0.25))["Ann"]
        again = repeats(slots)
        assert len(again) == len(set(again)) == round(0.25 * count)
        for image_id in again:
            distance = slots.index(PlannedSlot(image_id, "repeat")) - slots.index(PlannedSlot(image_id, "first"))
            assert distance > gap


def test_a_tiny_queue_has_no_repeats_and_none_are_made_when_not_wanted() -> None:
    assert repeats(plan_queue(IDS[:2], ["Ann"], QueueSettings(1, 0.0, 0.5))["Ann"]) == []
    assert repeats(plan_queue(IDS, ["Ann"], QueueSettings(1, 0.0, 0.0))["Ann"]) == []


def test_a_late_reviewer_shares_only_what_nobody_saw() -> None:
    alone = plan_queue(IDS, ["Ann"], SETTINGS)["Ann"]
    seen = alone[:100]
    plan = plan_queue(IDS, ["Ann", "Ben"], SETTINGS, {"Ann": seen})
    assert plan["Ann"][:100] == seen
    shared = set(firsts(plan["Ann"])) & set(firsts(plan["Ben"]))
    assert len(shared) == 40
    assert set(firsts(plan["Ann"])) | set(firsts(plan["Ben"])) == set(IDS)
    # What is left of the single images is halved.
    left = len(set(firsts(plan["Ann"])) - shared - set(firsts(seen)))
    assert abs(left - len(set(firsts(plan["Ben"])) - shared)) <= 1
    # Nothing is planned twice, and nothing of what was seen again as a first.
    assert len(set(plan["Ann"])) == len(plan["Ann"])


def test_repeats_keep_their_distance_when_the_queue_shrinks() -> None:
    settings = QueueSettings(3, 0.2, 0.2)
    seen = plan_queue(IDS, ["Ann"], settings)["Ann"][:120]
    slots = plan_queue(IDS, ["Ann", "Ben", "Cyd"], settings, {"Ann": seen})["Ann"]
    gap = min(50, len(firsts(slots)) // 3)
    assert repeats(slots)
    for image_id in set(repeats(slots)) - set(repeats(seen)):
        assert slots.index(PlannedSlot(image_id, "repeat")) - slots.index(PlannedSlot(image_id, "first")) > gap


def test_what_a_reviewer_who_left_decided_is_not_dealt_again() -> None:
    done = IDS[:60]
    plan = plan_queue(IDS, ["Ben"], replace(SETTINGS, overlap_fraction=0.0), done=done)
    assert sorted(firsts(plan["Ben"])) == IDS[60:]
    everyone = plan_queue(IDS, ["Ben"], replace(SETTINGS, overlap_fraction=1.0), done=done)
    assert sorted(firsts(everyone["Ben"])) == IDS


def test_more_images_leave_the_order_of_the_others() -> None:
    few = firsts(plan_queue(IDS[:150], ["Ann"], SETTINGS)["Ann"])
    many = firsts(plan_queue(IDS, ["Ann"], SETTINGS)["Ann"])
    assert [image_id for image_id in many if image_id in set(few)] == few


def test_real_images_fill_their_share_with_the_synthetic_classes() -> None:
    items = make_items(500)
    real = [item for item in items if item.source == "real"]
    synthetic = [
        item for item in items if item.source == "synthetic" and (item.label == "df" or item.image_id[-1] == "1")
    ]
    shares = Counter(item.label for item in synthetic)
    chosen = choose_real(real, synthetic, 0.2, 5)
    assert len(chosen) == round(len(synthetic) / 4) and all(item.source == "real" for item in chosen)
    found = Counter(item.label for item in chosen)
    for label, count in shares.items():
        assert abs(found[label] - len(chosen) * count / len(synthetic)) <= 1
    assert chosen == choose_real(real[::-1], synthetic, 0.2, 5) != choose_real(real, synthetic, 0.2, 6)


def test_too_few_real_images_are_all_taken_and_none_when_not_wanted() -> None:
    items = make_items(50)
    real = [item for item in items if item.source == "real"]
    synthetic = [item for item in items if item.source == "synthetic"]
    assert choose_real(real, synthetic, 0.9, 1) == real
    assert choose_real(real, synthetic, 0.0, 1) == choose_real(real, [], 0.5, 1) == []


def test_no_real_image_stands_beside_one_that_was_made_of_it() -> None:
    items = make_items(100)
    real = [item for item in items if item.source == "real"]
    synthetic = [item for item in items if item.source == "synthetic"]
    parent = choose_real(real, synthetic, 0.05, 1)[0].image_id
    derived = [replace(synthetic[0], parent_id=parent), *synthetic[1:]]
    chosen = {item.image_id for item in choose_real(real, derived, 0.05, 1)}
    assert parent not in chosen and len(chosen) == len(choose_real(real, synthetic, 0.05, 1))


def test_opaque_ids_need_the_secret_and_differ_in_every_part() -> None:
    made = {
        opaque_id(secret, *parts)
        for secret in (b"a", b"b")
        for parts in (
            ("slot", "1", "x", "first"),
            ("slot", "1", "x", "repeat"),
            ("slot", "2", "x", "first"),
            ("item", "x"),
        )
    }
    assert len(made) == 8 and all(len(name) == 32 and int(name, 16) >= 0 for name in made)


def test_disputed_images_go_to_the_one_with_the_least_to_do() -> None:
    pairs = deal_disputed(IDS[:10], {"Zoe": 4, "Yan": 0}, 1)
    assert Counter(name for _, name in pairs) == {"Yan": 7, "Zoe": 3}
    assert sorted(image_id for image_id, _ in pairs) == IDS[:10] != [image_id for image_id, _ in pairs]
    assert deal_disputed(IDS[:10], {}, 1) == []
