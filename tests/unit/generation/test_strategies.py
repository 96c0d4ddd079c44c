"""Every strategy on tiny checkpoints: what comes back, what is kept, and what is refused."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tenfold.core.errors import CheckpointError, DataError, InputError
from tenfold.generation.canvas import inside, needed_lesion, outside, read_source
from tenfold.generation.recoloring import recolored, skin_tone, typical_tone
from tenfold.generation.requests import ImageRequest
from tenfold.generation.sources import Sources
from tenfold.generation.strategies.dispatch import Drawing, draw
from tenfold.models.pipelines import Components, load_components
from tenfold.models.upscaling import load_upscaler
from tests.real_sources import phantom_sources
from tests.tiny_inpainting import make_tiny_inpainting
from tests.tiny_models import make_tiny_sdxl
from tests.tiny_upscaler import make_tiny_upscaler

SIZE = 32
PAINTING = ("inpaint", "outpaint", "in_then_outpaint")
REQUEST = ImageRequest(
    strategy="inpaint", label="mole", checkpoint="models/tiny", checkpoint_sha256="0", dtype="float32",
    image_size_px=None, prompt="a mole", seed=5, num_inference_steps=4, guidance_scale=3.0, mask="lesion",
    mask_feather_px=0, outpaint_seed=77, mask_seed=9,
)  # fmt: skip


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Components:
    return load_components(make_tiny_inpainting(tmp_path_factory.mktemp("plain") / "tiny", in_channels=4))


@pytest.fixture(scope="module")
def inpainting(tmp_path_factory: pytest.TempPathFactory) -> Components:
    return load_components(make_tiny_inpainting(tmp_path_factory.mktemp("nine") / "tiny"), kinds=("inpainting",))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Sources]:
    folder = tmp_path_factory.mktemp("real")
    parents = phantom_sources(folder, 3)
    backgrounds = phantom_sources(folder, 3, skin_type=6, name="others")
    return [Sources(parent, background) for parent, background in zip(parents, backgrounds, strict=True)]


def _requests(strategy: str, **changes: object) -> list[ImageRequest]:
    return [replace(REQUEST, strategy=strategy, seed=40 + k, label=f"mole {k}", **changes) for k in range(3)]


def _originals(sources: list[Sources]) -> np.ndarray:
    return np.stack([read_source(source.parent, SIZE) for source in sources if source.parent is not None])


def _regions(requests: list[ImageRequest], sources: list[Sources], strategy: str) -> np.ndarray:
    region = inside if strategy == "inpaint" else outside
    return np.stack([region(request, source.parent, SIZE) for request, source in zip(requests, sources, strict=True)])


@pytest.mark.parametrize("kind", ["plain", "inpainting"])
@pytest.mark.parametrize("mask", ["lesion", "center", "random"])
@pytest.mark.parametrize("strategy", PAINTING)
def test_painting_keeps_the_rest_bit_by_bit(
    kind: str, mask: str, strategy: str, sources: list[Sources], request: pytest.FixtureRequest
) -> None:
    requests = _requests(strategy, mask=mask)
    drawing = draw(request.getfixturevalue(kind), requests, sources)
    originals, painted = _originals(sources), _regions(requests, sources, strategy)
    assert drawing.images.shape == (3, SIZE, SIZE, 3) and drawing.masks is None
    kept = originals
    if strategy == "in_then_outpaint":
        assert drawing.first_passes is not None
        first = _regions(requests, sources, "inpaint")
        assert np.array_equal(drawing.first_passes[~first], originals[~first])
        assert (drawing.first_passes[first] != originals[first]).any()
        digest = hashlib.sha256(drawing.first_passes[0].tobytes()).hexdigest()
        assert drawing.notes[0] == {"first_pass_pixels_sha256": digest}
        kept = drawing.first_passes
    assert np.array_equal(drawing.images[~painted], kept[~painted])
    assert (drawing.images[painted] != kept[painted]).mean() > 0.9


def test_feathers_leave_what_is_kept_alone(plain: Components, sources: list[Sources]) -> None:
    requests = _requests("outpaint", mask_feather_px=4)
    drawing, painted = draw(plain, requests, sources), _regions(requests, sources, "outpaint")
    assert np.array_equal(drawing.images[~painted], _originals(sources)[~painted])
    hard = draw(plain, _requests("outpaint"), sources)
    assert not np.array_equal(drawing.images, hard.images)


@pytest.mark.parametrize("strategy", ["text2img", "img2img", *PAINTING])
def test_companions_change_nothing_but_last_bits(strategy: str, plain: Components, sources: list[Sources]) -> None:
    requests = _requests(strategy)
    together, alone = draw(plain, requests, sources), draw(plain, requests[1:2], sources[1:2])
    assert np.abs(together.images[1].astype(int) - alone.images[0]).max() <= 1
    other = draw(plain, [replace(requests[1], seed=99, outpaint_seed=99)], sources[1:2])
    assert not np.array_equal(other.images, alone.images)


def test_the_second_pass_has_its_own_seed(plain: Components, sources: list[Sources]) -> None:
    first, second = (draw(plain, _requests("in_then_outpaint", outpaint_seed=seed), sources) for seed in (1, 2))
    assert np.array_equal(first.first_passes, second.first_passes)
    assert not np.array_equal(first.images, second.images)


def test_a_higher_strength_leaves_less_of_the_image(plain: Components, sources: list[Sources]) -> None:
    low, high = (draw(plain, _requests("img2img", strength=strength), sources) for strength in (0.25, 1.0))
    through = draw(plain, _requests("autoencoder"), sources).images.astype(int)
    distances = [np.abs(drawing.images - through).mean() for drawing in (low, high)]
    assert distances[0] < distances[1]


@pytest.mark.parametrize("strategy", ["img2img", *PAINTING])
def test_a_strength_of_nothing_and_too_few_steps_are_refused(
    strategy: str, plain: Components, sources: list[Sources]
) -> None:
    with pytest.raises(InputError, match="leaves none of 4 steps"):
        draw(plain, _requests(strategy, strength=0.0), sources)
    with pytest.raises(InputError, match="leaves none of 1 steps"):
        draw(plain, _requests(strategy, strength=0.9, num_inference_steps=1), sources)
    once = draw(plain, _requests(strategy, strength=1.0, outpaint_strength=1.0, num_inference_steps=1), sources)
    assert once.images.shape == (3, SIZE, SIZE, 3)


def test_outpainting_keeps_a_recolored_lesion(plain: Components, sources: list[Sources]) -> None:
    requests = _requests("outpaint", recolor_to=6)
    drawing, painted = draw(plain, requests, sources), _regions(requests, sources, "outpaint")
    for place, (request, source) in enumerate(zip(requests, sources, strict=True)):
        image = read_source(source.parent, SIZE)
        tone = skin_tone(image, needed_lesion(source.parent, SIZE))
        wanted = recolored(image, tone.color, typical_tone(6, request.seed))
        assert np.array_equal(drawing.images[place][~painted[place]], wanted[~painted[place]])
        assert drawing.notes[place] == {"tone_measured_on": tone.measured_on}


def test_recolor_and_composite_need_no_checkpoint(sources: list[Sources]) -> None:
    toned = draw(None, _requests("recolor", recolor_to=6), sources)
    assert toned.images.shape == (3, SIZE, SIZE, 3)
    assert toned.images.mean() < 0.7 * _originals(sources).mean()
    assert np.array_equal(draw(None, _requests("recolor", skin_type=6), sources).images, toned.images)
    made = draw(None, _requests("composite"), sources)
    assert made.masks is not None and made.masks.shape == (3, SIZE, SIZE)
    lesions = [needed_lesion(source.parent, SIZE) for source in sources]
    assert [int(mask.sum()) for mask in made.masks] == [int(lesion.sum()) for lesion in lesions]
    assert set(made.notes[0]) == {"moved_px", "filled_background"} and made.notes[0]["filled_background"]
    lighter = draw(None, _requests("composite", recolor_to=1), sources)
    assert lighter.images.mean() > 1.3 * made.images.mean()


def test_what_controls_lack_is_said(sources: list[Sources]) -> None:
    with pytest.raises(InputError, match="recolor is asked for no tone"):
        draw(None, _requests("recolor"), sources)
    with pytest.raises(InputError, match="composite needs a background"):
        draw(None, _requests("composite"), [Sources(source.parent) for source in sources])
    with pytest.raises(InputError, match="starts from a real image"):
        draw(None, _requests("composite"), [Sources()] * 3)
    maskless = [Sources(replace(source.parent, mask_path=None), source.background) for source in sources]
    with pytest.raises(DataError, match="has no mask"):
        draw(None, _requests("composite"), maskless)
    healthy = [Sources(source.parent, replace(source.background, mask_path=None)) for source in sources]
    assert draw(None, _requests("composite"), healthy).notes[0] == {"moved_px": [0, 0], "filled_background": False}


def test_images_of_several_sizes_are_not_one_batch(tmp_path: Path, sources: list[Sources]) -> None:
    larger = Sources(phantom_sources(tmp_path, 1, image_size_px=48)[0])
    with pytest.raises(DataError, match="several sizes: 32 px, 48 px"):
        draw(None, _requests("recolor", recolor_to=2)[:2], [sources[0], larger])


@pytest.mark.parametrize("strategy", ["text2img", "img2img"])
def test_an_inpainting_checkpoint_says_what_it_can(
    strategy: str, inpainting: Components, sources: list[Sources]
) -> None:
    with pytest.raises(CheckpointError, match=f"an inpainting checkpoint cannot do {strategy}") as caught:
        draw(inpainting, _requests(strategy), sources)
    assert "text-to-image" in caught.value.expected
    assert all(name in caught.value.todo for name in PAINTING)


def test_unknown_strategies_and_missing_checkpoints_are_named(plain: Components, sources: list[Sources]) -> None:
    with pytest.raises(InputError, match="no strategy 'dream'") as caught:
        draw(plain, _requests("dream"), sources)
    assert "outpaint" in caught.value.expected and "composite" in caught.value.expected
    with pytest.raises(InputError, match="inpaint needs a checkpoint"):
        draw(None, _requests("inpaint"), sources)
    with pytest.raises(InputError, match="surroundings=misty"):
        draw(plain, _requests("inpaint", surroundings="misty"), sources)


def test_clean_surroundings_paint_something_else(plain: Components, sources: list[Sources]) -> None:
    noisy, clean = (draw(plain, _requests("outpaint", surroundings=how), sources) for how in ("noisy", "clean"))
    assert not np.array_equal(noisy.images, clean.images)
    assert np.array_equal(noisy.images, draw(plain, _requests("outpaint"), sources).images)


def test_upscaling_is_a_pass_after_any(tmp_path: Path, plain: Components, sources: list[Sources]) -> None:
    upscaler = load_upscaler(make_tiny_upscaler(tmp_path / "upscaler"))

    def enlarged(strategy: str, **changes: object) -> Drawing:
        requests = _requests(strategy, upscaler="embedded:upscaler", upscale_steps=2, **changes)
        return draw(plain, requests[:1], sources[:1], upscaler)

    outpainted = enlarged("outpaint", upscale_seed=1)
    assert outpainted.images.shape == (1, 4 * SIZE, 4 * SIZE, 3)
    assert not np.array_equal(outpainted.images, enlarged("outpaint", upscale_seed=2).images)
    composite = enlarged("composite")
    small = draw(None, _requests("composite")[:1], sources[:1])
    assert composite.masks is not None and composite.masks.shape == (1, 4 * SIZE, 4 * SIZE)
    assert np.array_equal(composite.masks[:, ::4, ::4], small.masks)
    with pytest.raises(InputError, match="was not loaded"):
        draw(plain, _requests("composite", upscaler="embedded:upscaler"), sources)


@pytest.mark.parametrize("strategy", ["img2img", "outpaint"])
def test_sdxl_starts_from_images_too(strategy: str, tmp_path: Path, sources: list[Sources]) -> None:
    components = load_components(make_tiny_sdxl(tmp_path / "tiny"))
    drawing = draw(components, _requests(strategy)[:2], sources[:2])
    assert drawing.images.shape == (2, SIZE, SIZE, 3) and drawing.images.std() > 5


def test_prompts_that_are_cut_are_told(plain: Components, sources: list[Sources]) -> None:
    long = "a mole " * 40
    assert draw(plain, _requests("inpaint", prompt=long), sources).cut_prompts == [long]
