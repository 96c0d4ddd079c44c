"""Saliency: it falls where the network looks, adds up, and is drawn beside the image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tenfold.classification.explaining import SALIENCY_METHODS, saliency, saliency_picture
from tenfold.core.errors import InputError

SIDE = 24


class RedCorner(nn.Module):
    """A network whose first class sees red in the upper left quarter, and nothing else; its second class nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 2, 3, padding=1, bias=False)
        self.second = nn.Conv2d(2, 2, 3, padding=1, bias=False)
        for layer in (self.first, self.second):
            nn.init.zeros_(layer.weight)
            layer.weight.data[0, 0, 1, 1] = 1.0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        corner = torch.zeros_like(images)
        corner[:, :, : SIDE // 2, : SIDE // 2] = images[:, :, : SIDE // 2, : SIDE // 2]
        return self.second(torch.relu(self.first(corner))).mean(dim=(2, 3)) * 50


def picture() -> np.ndarray:
    image = np.full((SIDE, SIDE, 3), 90, dtype=np.uint8)
    image[4:8, 4:8] = (250, 90, 90)
    image[16:20, 16:20] = (250, 90, 90)
    return image


@pytest.mark.parametrize("method", SALIENCY_METHODS)
def test_what_speaks_for_the_class_is_bright_and_all_else_dark(method: str) -> None:
    found = saliency(RedCorner().eval(), picture(), 0, method)  # type: ignore[arg-type]
    assert found.heat.shape == (SIDE, SIDE) and found.heat.dtype == np.float32
    assert found.heat[4:8, 4:8].mean() > 0.7
    assert found.heat[14:, 14:].max() < 0.05
    assert not saliency(RedCorner().eval(), picture(), 1, method).heat.any()  # type: ignore[arg-type]


def test_integrated_gradients_add_up_to_the_difference_of_the_logits() -> None:
    found = saliency(RedCorner().eval(), picture(), 0, "integrated_gradients")
    assert found.gap is not None and found.gap < 1e-3


def test_grad_cam_is_refused_for_a_network_without_convolutions() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 2)).eval()
    with pytest.raises(InputError, match="no convolutions"):
        saliency(flat, picture(), 0, "gradcam")
    assert saliency(flat, picture(), 0, "integrated_gradients").heat.max() <= 1


def test_the_picture_keeps_the_image_and_lays_the_heat_on_a_gray_copy() -> None:
    image = picture()
    heat = np.zeros((SIDE, SIDE), dtype=np.float32)
    heat[4:8, 4:8] = 1.0
    page = saliency_picture(image, heat, ["Answer: df, 61%"])
    scale = 12
    assert page.shape[1] == 2 * SIDE * scale + 30
    np.testing.assert_array_equal(page[10 + 6 * scale, 10 + 6 * scale], image[6, 6])
    hot, cold = (
        page[10 + 6 * scale, 20 + SIDE * scale + 6 * scale],
        page[10 + 18 * scale, 20 + SIDE * scale + 18 * scale],
    )
    assert hot.min() >= 100 and int(hot.max()) - int(hot.min()) > 40
    assert np.ptp(cold) == 0
