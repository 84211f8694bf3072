"""The digits split: sizes, proportions, identity."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from kdharness_plugins.datasets import digits

from kdharness.api import DataRequest, content_identity

REQUEST = DataRequest(Path("nowhere"))


def test_sizes_and_types() -> None:
    data = digits.load(REQUEST)
    train, test = data.splits["train"], data.splits["test"]
    assert train.images.shape == (1000, 1, 8, 8)
    assert test.images.shape == (797, 1, 8, 8)
    assert (train.images.min(), train.images.max()) == (0, 255)
    info = digits.describe(REQUEST)
    assert (info.num_classes, info.input_shape, info.train_size) == (10, (1, 8, 8), 1000)


def test_split_is_stratified_and_disjoint() -> None:
    data = digits.load(REQUEST)
    train, test = (np.bincount(data.splits[name].targets) for name in ("train", "test"))
    share = (train + test) * 1000 / 1797
    assert np.abs(train - share).max() < 1
    assert train.sum() + test.sum() == 1797


def test_constants_are_the_training_images_statistics() -> None:
    pixels = digits.load(REQUEST).splits["train"].images / 255
    assert round(pixels.mean(), 4) == digits.MEAN[0]
    assert round(pixels.std(), 4) == digits.STD[0]


def test_identity_is_the_digest_of_the_arrays() -> None:
    assert digits.describe(REQUEST).identity == content_identity(digits.load(REQUEST).splits)


def test_training_mask_by_hand() -> None:
    # Four of eight: two of the four 0s, one and a half of the three 1s, half of the one 2; the first remainder wins.
    targets = np.array([0, 0, 0, 0, 1, 1, 1, 2])
    assert digits.training_mask(targets, 4).tolist() == [False, True, False, True, False, True, True, False]


def test_describe_imports_no_scikit_learn() -> None:
    code = (
        "import sys; from pathlib import Path; from kdharness.api import DataRequest;"
        "from kdharness_plugins.datasets import kdharness_datasets;"
        "spec = next(s for s in kdharness_datasets() if s.name == 'digits'); spec.describe(DataRequest(Path('x')));"
        "assert not {'sklearn', 'torch', 'torchvision', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_constants_go_with_the_images() -> None:
    data = digits.load(REQUEST)
    assert (data.mean, data.std) == ((0.3052,), (0.3759,))
    assert (data.augmentation.crop_padding, data.augmentation.flip) == (0, False)
    assert data.classes == tuple("0123456789")
