"""Pixels made ready for networks: by torchvision's numbers, once per batch, and safe from each other."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as vision

from kdharness.api import ModelSpec, Preprocessing, StagedModel
from kdharness.api.prepared import Prepare, share

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
CPU = torch.device("cpu")


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 12, 10, generator=torch.Generator().manual_seed(0))


def prepare(**how: Any) -> Prepare:
    return Prepare(Preprocessing(**how), (3, 12, 10), CPU)


def test_it_normalises_resizes_and_cuts_out_the_middle_as_torchvision_does(images: Tensor) -> None:
    made = prepare(mean=MEAN, std=STD, size=(21, 16), crop=(16, 14))
    expected = vision.center_crop(vision.resize(images, [21, 16], antialias=True), [16, 14])
    torch.testing.assert_close(made(images), vision.normalize(expected, list(MEAN), list(STD)))
    assert made.input_shape == (3, 16, 14)


def test_one_number_stands_for_all_channels(images: Tensor) -> None:
    assert torch.equal(prepare(mean=(0.5,), std=(0.5,))(images), prepare(mean=(0.5,) * 3, std=(0.5,) * 3)(images))


@pytest.mark.parametrize("std", [(0.5,), STD])
def test_a_mean_may_be_of_each_pixel_of_the_input(images: Tensor, std: tuple[float, ...]) -> None:
    mean = torch.rand(3, 6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    made = prepare(mean=mean.flatten().tolist(), std=std, crop=(6, 4))(images)
    expected = (vision.center_crop(images, [6, 4]).double() - mean) / torch.tensor(std).double().view(-1, 1, 1)
    torch.testing.assert_close(made.double(), expected, rtol=1e-5, atol=1e-6)


def test_nothing_to_do_is_no_copy(images: Tensor) -> None:
    assert prepare()(images) is images
    assert prepare(size=(12, 10), crop=(12, 10))(images).data_ptr() == images.data_ptr()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"mean": MEAN, "std": (1.0, 1.0)}, "a mean and a positive std"),
        ({"mean": (0.5,), "std": (1.0, 1.0)}, "a mean and a positive std"),
        ({"std": (0.0,)}, "a mean and a positive std"),
        ({"mean": (), "std": ()}, "a mean and a positive std"),
        ({"size": (0, 4)}, "size is"),
        ({"crop": (4,)}, "crop is"),
    ],
    ids=str,
)
def test_what_is_no_preprocessing(how: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Preprocessing(**how)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"mean": MEAN, "std": STD}, "its mean has 3 channels, the images have 1"),
        ({"mean": (0.1,) * 64, "crop": (4, 4)}, "its mean has 64 channels, the images have 1"),
        ({"crop": (9, 8)}, "no 9x8 pixels can be cut out of 8x8"),
    ],
    ids=str,
)
def test_images_that_do_not_fit(how: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Preprocessing(**how).input_shape((1, 8, 8))


# -- once per batch ----------------------------------------------------------------------------------------------------


def test_networks_that_prepare_alike_share_what_is_made_of_a_batch(images: Tensor) -> None:
    one, like_it, other = prepare(mean=MEAN, std=STD), prepare(mean=list(MEAN), std=list(STD)), prepare(mean=(0.1,))
    share(images)
    assert one(images) is like_it(images)
    assert one(images) is not one(images, channels_last=True)
    assert not torch.equal(one(images), other(images))
    fresh = images.clone()
    assert one(fresh) is not one(fresh)


def test_a_batch_that_was_changed_is_prepared_anew(images: Tensor) -> None:
    made = prepare(mean=MEAN, std=STD)
    before = made(share(images)).clone()
    images.add_(1)
    torch.testing.assert_close(made(images), before + 1 / torch.tensor(STD).view(1, 3, 1, 1))
    assert made(images) is made(images)


def test_what_a_network_did_to_its_input_reaches_no_other(images: Tensor) -> None:
    made = prepare(mean=MEAN, std=STD)
    before = made(share(images)).clone()
    made(images).zero_()
    assert torch.equal(made(images), before)


def test_images_that_need_a_gradient_have_their_own(images: Tensor) -> None:
    made = prepare(mean=MEAN, std=STD)
    made(share(images))
    asked = share(images.clone().requires_grad_())
    for _ in range(2):
        (gradient,) = torch.autograd.grad(made(asked).sum(), asked)
        torch.testing.assert_close(gradient, (1 / torch.tensor(STD)).view(1, 3, 1, 1).expand_as(images))


def test_what_inference_mode_made_is_not_kept_for_training(images: Tensor) -> None:
    made, layer = prepare(mean=MEAN, std=STD), nn.Conv2d(3, 2, 3)
    share(images)
    with torch.inference_mode():
        made(images)
    layer(made(images)).sum().backward()
    assert layer.weight.grad is not None


def test_it_goes_with_the_batch() -> None:
    batch = share(torch.rand(2, 3, 12, 10))
    found = weakref.ref(prepare(mean=MEAN, std=STD)(batch))
    assert found() is not None
    del batch
    gc.collect()
    assert found() is None


# -- in a network ------------------------------------------------------------------------------------------------------


def staged(**how: Any) -> StagedModel:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 5))
    spec = ModelSpec("sketch", nn.Identity, stages=("1",), classifier="3")
    return StagedModel(network, spec, (3, 12, 10), Preprocessing(**how)).eval()


def test_whoever_runs_a_network_on_images_has_them_prepared(images: Tensor) -> None:
    model = staged(mean=MEAN, std=STD, size=(16, 16))
    assert (model.image_shape, model.input_shape) == ((3, 12, 10), (3, 16, 16))
    inputs = model.prepare(images)
    expected = model.network(inputs)
    outputs = model.run(images, taps=("stages", "embedding"))
    assert torch.equal(outputs.logits, expected)
    assert torch.equal(model(images), expected)
    assert torch.equal(model.trunk(0, images), outputs.stages[0])
    assert torch.equal(model.head(outputs.stages[0]), expected)
    assert [len(section) for section in model.sections()] == [2, 2]


def test_no_weight_is_added(images: Tensor) -> None:
    model = staged(mean=MEAN, std=STD, size=(16, 16))
    assert all(name.startswith("network.") for name in model.state_dict())


def test_it_prepares_on_the_device_of_the_network() -> None:
    with torch.device("meta"):
        network = nn.Conv2d(3, 4, 3)
    model = StagedModel(network, ModelSpec("sketch", nn.Identity), (3, 12, 10), Preprocessing(MEAN, STD, (8, 8)))
    assert model(torch.zeros(2, 3, 12, 10, device="meta")).shape == (2, 4, 6, 6)
