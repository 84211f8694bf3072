"""Single operations, image by image, against torchvision's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from kdharness_plugins.views._operations import OPERATIONS, operate
from torch import Tensor
from torchvision.transforms.v2 import AutoAugment, functional as vision

LEVELS = torch.tensor([0.3, -0.3, 1.0, -1.0, 1 / 9, -5 / 9])
HEIGHT, WIDTH = 32, 24


def pictures(n: int = len(LEVELS), channels: int = 3, seed: int = 0, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Tensor:
    """Smooth shapes with some noise, each of another contrast, as photographs have them. uint8 [n, C, H, W]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, channels, 5, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size, mode="bicubic", align_corners=False)
    noise = 0.05 * torch.randn(n, channels, *size, generator=generator)
    contrast = torch.linspace(0.3, 1.1, n).view(-1, 1, 1, 1)
    return ((smooth - 0.5 + noise) * contrast * 255 + 128).clamp(0, 255).to(torch.uint8)


def affine(image: Tensor, translate: tuple[int, int] = (0, 0), shear: tuple[float, float] = (0.0, 0.0)) -> Tensor:
    corner = [0.0, 0.0] if any(shear) else None
    degrees = [float(torch.rad2deg(torch.tensor(tangent).atan())) for tangent in shear]
    return vision.affine(image, 0.0, list(translate), 1.0, degrees, center=corner)


EXPECTED: dict[str, Callable[[Tensor, float], Tensor]] = {
    "identity": lambda image, level: image,
    "shear_x": lambda image, level: affine(image, shear=(0.3 * level, 0.0)),
    "shear_y": lambda image, level: affine(image, shear=(0.0, 0.3 * level)),
    "translate_x": lambda image, level: affine(image, (int(150 / 331 * WIDTH * level), 0)),
    "translate_y": lambda image, level: affine(image, (0, int(150 / 331 * HEIGHT * level))),
    "rotate": lambda image, level: vision.rotate(image, 30 * level),
    "brightness": lambda image, level: vision.adjust_brightness(image, 1 + 0.9 * level),
    "color": lambda image, level: vision.adjust_saturation(image, 1 + 0.9 * level),
    "contrast": lambda image, level: vision.adjust_contrast(image, 1 + 0.9 * level),
    "sharpness": lambda image, level: vision.adjust_sharpness(image, 1 + 0.9 * level),
    "posterize": lambda image, level: vision.posterize(image, round(8 - 4 * abs(level))),
    "solarize": lambda image, level: vision.solarize(image, 255 * (1 - abs(level))),
    "auto_contrast": lambda image, level: vision.autocontrast(image),
    "equalize": lambda image, level: vision.equalize(image),
    "invert": lambda image, level: vision.invert(image),
}
# Blends and stretches are cut off to whole numbers: a float that is a hair below one loses it.
ROUNDED = ("brightness", "color", "contrast", "sharpness", "auto_contrast")


def test_there_is_something_to_compare_each_with() -> None:
    assert tuple(EXPECTED) == OPERATIONS
    assert {name.replace("_", "") for name in OPERATIONS if name != "identity"} == {
        name.lower() for name in AutoAugment._AUGMENTATION_SPACE
    }


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_torchvisions(name: str, channels: int) -> None:
    images = pictures(channels=channels)
    made = operate(images, torch.full((len(images),), OPERATIONS.index(name)), LEVELS)
    expected = torch.stack([EXPECTED[name](image, float(level)) for image, level in zip(images, LEVELS, strict=True)])
    difference = (made.int() - expected.int()).abs()
    assert made.dtype == torch.uint8
    assert int(difference.max()) <= (name in ROUNDED)
    assert float((difference > 0).float().mean()) < 0.1
    if name != "identity" and (name, channels) != ("color", 1):
        assert not torch.equal(made, images)


def test_each_image_has_its_own_operation_and_no_other() -> None:
    images, operation = pictures(len(OPERATIONS), seed=3), torch.arange(len(OPERATIONS)).flip(0)
    levels = torch.linspace(-0.9, 0.9, len(OPERATIONS))
    together = operate(images, operation, levels)
    for k in range(len(OPERATIONS)):
        assert torch.equal(together[k : k + 1], operate(images[k : k + 1], operation[k : k + 1], levels[k : k + 1]))


@pytest.mark.parametrize("name", ["auto_contrast", "equalize", "contrast"])
def test_an_image_of_one_value_stays_it(name: str) -> None:
    images = torch.full((1, 3, 8, 8), 77, dtype=torch.uint8)
    assert torch.equal(operate(images, torch.tensor([OPERATIONS.index(name)]), torch.tensor([0.3])), images)


def test_tiny_images_are_taken_too() -> None:
    images = torch.arange(8, dtype=torch.uint8).view(1, 2, 2, 2)
    assert operate(images, torch.tensor([OPERATIONS.index("sharpness")]), torch.tensor([0.3])).shape == images.shape
