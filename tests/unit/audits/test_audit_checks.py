"""The audit's checks on made-up points with known answers: copies, collapse, likeness and telltale shifts."""

from __future__ import annotations

import numpy as np
import pytest

from tenfold.audits.fidelity import LabeledFeatures, fidelity_rows
from tenfold.audits.probe import CONTROL, probe_rows
from tenfold.metrics.memorization import Points, memorization

RNG_SEED = 0


def points(vectors: np.ndarray, *, first_group: int, name: str, per_group: int = 1) -> Points:
    groups = first_group + np.arange(len(vectors)) // per_group
    return Points(vectors[None], tuple(f"{name}{n}" for n in range(len(vectors))), groups)


def cloud(count: int, seed: int, dims: int = 8) -> np.ndarray:
    return np.random.default_rng([RNG_SEED, seed]).normal(size=(count, dims))


def test_copies_are_flagged_with_their_original_and_others_are_not() -> None:
    training, unseen = cloud(40, 1), cloud(200, 2)
    made = np.concatenate([training[[3, 17]] + 1e-3, cloud(100, 3)])
    found = memorization(
        "features",
        points(made, first_group=1000, name="s"),
        points(training, first_group=0, name="t"),
        points(unseen, first_group=100, name="u"),
        false_flag_fraction=0.01,
    )
    assert found is not None and found.nearest_ids[:2] == ("t3", "t17")
    assert found.is_flagged[:2].all() and found.is_flagged[2:].mean() <= 0.05
    assert found.nearest_ids[0] == "t3" and found.p_values[0] < 0.01 and len(found.null) == 200
    summary = found.summary()
    assert summary["n_flagged"] == found.is_flagged.sum() and summary["expected_false_flag_fraction"] == 0.01
    assert isinstance(summary["threshold"], float)
    np.testing.assert_array_equal(found.is_flagged, found.statistics < summary["threshold"])


def test_the_share_of_flagged_new_real_images_is_as_promised() -> None:
    shares = []
    for repeat in range(20):
        unseen = points(cloud(150, 100 + repeat), first_group=100, name="u")
        training = points(cloud(30, 200 + repeat), first_group=0, name="t")
        new = points(cloud(200, 300 + repeat), first_group=1000, name="n")
        found = memorization("features", new, training, unseen, false_flag_fraction=0.05)
        assert found is not None
        shares.append(found.is_flagged.mean())
    assert np.mean(shares) == pytest.approx(0.05, abs=0.02)


def test_blurred_images_near_to_everything_are_no_copies() -> None:
    training, unseen = cloud(40, 1), cloud(200, 2)
    blurred = 0.3 * cloud(100, 3)
    found = memorization(
        "pixels",
        points(blurred, first_group=1000, name="s"),
        points(training, first_group=0, name="t"),
        points(unseen, first_group=100, name="u"),
        false_flag_fraction=0.01,
    )
    assert found is not None
    plain_null = np.sort([np.delete(np.linalg.norm(training - t, axis=1), n).min() for n, t in enumerate(training)])
    assert (found.distances < plain_null[2]).mean() > 0.3  # plain distance would cry wolf
    assert found.is_flagged.mean() <= 0.03


def test_a_mirror_image_of_a_training_image_is_found() -> None:
    training = cloud(30, 1)
    mirrored = Points(
        np.stack([training, training[:, ::-1]]), tuple(f"t{n}" for n in range(30)), np.arange(30, dtype=np.int64)
    )
    made = points(training[[5], ::-1].copy(), first_group=1000, name="s")
    unseen = cloud(40, 2)
    others = Points(np.stack([unseen, unseen[:, ::-1]]), tuple(f"u{n}" for n in range(40)), 100 + np.arange(40))
    found = memorization("pixels", made, mirrored, others, false_flag_fraction=0.01)
    assert found is not None and found.nearest_ids == ("t5",) and found.is_flagged.all()


def test_without_unseen_images_training_images_of_other_patients_calibrate() -> None:
    training, none = cloud(30, 1), points(cloud(0, 9), first_group=0, name="u")
    made = points(np.concatenate([training[:1], cloud(5, 3)]), first_group=1000, name="s")
    pairs = points(np.repeat(training, 2, axis=0), first_group=0, name="t", per_group=2)
    found = memorization("features", made, pairs, none, false_flag_fraction=0.01)
    assert found is not None and found.kind == "distance to training"
    assert found.null.min() > 0  # the second photograph of a patient does not count
    assert found.is_flagged[0] and found.threshold_p == pytest.approx(1 / 61)
    one_patient = points(training, first_group=0, name="t", per_group=30)
    assert memorization("features", made, one_patient, none, false_flag_fraction=0.01) is None


def labeled(features: np.ndarray, classes: int = 2, *, first_group: int = 0) -> LabeledFeatures:
    labels = np.arange(len(features)) % classes
    return LabeledFeatures(features, labels.astype(np.int64), first_group + np.arange(len(features)))


def test_fidelity_of_alike_collapsed_and_far_sets_beside_the_real_row() -> None:
    unseen = labeled(cloud(120, 1))
    kwargs = {"k": 5, "resamples": 20}

    def figures(features: np.ndarray) -> tuple[dict[str, float], dict[str, float]]:
        rows, reason = fidelity_rows(labeled(features), unseen, generator=np.random.default_rng(0), **kwargs)  # type: ignore[arg-type]
        assert reason == "" and [row.name for row in rows] == ["synthetic", "real"]
        assert rows[0].n_images == rows[1].n_images == 60
        made, real = ({name: e.value or 0.0 for name, e in row.metrics.items()} for row in rows)
        return made, real

    made, real = figures(cloud(120, 2))
    assert all(abs(made[name] - real[name]) < 0.2 for name in made) and real["precision"] > 0.7
    collapsed, _ = figures(np.tile(cloud(1, 1), (120, 1)) + 0.01 * cloud(120, 4))
    assert collapsed["recall"] < 0.1 and collapsed["coverage"] < 0.3
    far, _ = figures(cloud(120, 2) + 30)
    assert far["precision"] == far["coverage"] == 0.0


@pytest.mark.parametrize("count", [0, 12])
def test_fidelity_says_when_there_are_too_few(count: int) -> None:
    rows, reason = fidelity_rows(
        labeled(cloud(60, 1)), labeled(cloud(count, 2)), k=5, resamples=20, generator=np.random.default_rng(0)
    )
    assert rows == [] and "too few unseen real images" in reason


def test_the_probe_tells_shifted_from_alike_and_has_a_control() -> None:
    real, rng = labeled(cloud(120, 1)), np.random.default_rng(0)
    shifted = cloud(120, 2)
    shifted[::2] += 2.0  # the first class only
    rows, notes = probe_rows(real, labeled(shifted, first_group=1000), ("a", "b"), resamples=50, generator=rng)
    by_label = {row.label: row.auroc for row in rows}
    assert notes == [] and list(by_label) == ["a", "b", CONTROL]
    assert (by_label["a"].value or 0) > 0.95 and (by_label["a"].low or 0) > 0.9
    for alike in ("b", CONTROL):
        assert (by_label[alike].low or 0) < 0.55 and (by_label[alike].high or 0) > 0.45
    assert by_label["a"].n_images == 120 and by_label["a"].n_patients == 60


def test_the_probe_leaves_out_classes_with_few_images() -> None:
    rows, notes = probe_rows(
        labeled(cloud(12, 1)), labeled(cloud(12, 2), first_group=99), ("a", "b"), resamples=20,
        generator=np.random.default_rng(0),
    )  # fmt: skip
    assert rows == [] and "No probe of a: 6 images" in notes[0]
