"""CIFAR-100 as one .npz file, on a tiny file in its true format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kdharness_plugins.datasets import cifar100_npz as plugin

from kdharness.api import Augmentation, DataRequest, DatasetMissing


def write(root: Path) -> dict[str, np.ndarray]:
    """Three training and two test images of three classes."""
    generator = np.random.default_rng(0)
    arrays = {
        "classes": np.array(["apple", "bear", "cat"]),
        "train_x": generator.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8),
        "train_y": np.array([0, 1, 2]),
        "test_x": generator.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8),
        "test_y": np.array([1, 2]),
    }
    np.savez(root / "cifar100.npz", **arrays)
    return arrays


def test_load(tmp_path: Path) -> None:
    arrays = write(tmp_path)
    data = plugin.load(DataRequest(tmp_path))
    assert np.array_equal(data.splits["train"].images, arrays["train_x"].transpose(0, 3, 1, 2))
    assert data.splits["train"].images.flags.c_contiguous
    assert data.splits["train"].targets.tolist() == [0, 1, 2]
    assert data.splits["test"].targets.tolist() == [1, 2]
    assert data.classes == ("apple", "bear", "cat")
    assert data.augmentation == Augmentation(crop_padding=4, flip=True)


def test_describe_opens_nothing(tmp_path: Path) -> None:
    (tmp_path / "cifar100.npz").touch()
    info = plugin.describe(DataRequest(tmp_path))
    assert (info.num_classes, info.input_shape, info.train_size) == (100, (3, 32, 32), 50_000)
    assert info.identity == plugin.IDENTITY


def test_another_format_is_refused_in_one_line(tmp_path: Path) -> None:
    np.savez(tmp_path / "cifar100.npz", images=np.zeros(3))
    with pytest.raises(ValueError, match=r"cifar100_npz: .*cifar100\.npz is not such a file") as error:
        plugin.load(DataRequest(tmp_path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("call", [plugin.describe, plugin.load])
def test_missing_says_where_and_what_to_do(tmp_path: Path, call) -> None:
    with pytest.raises(DatasetMissing, match=rf"cifar100_npz: no cifar100\.npz in {tmp_path}; --data DIR"):
        call(DataRequest(tmp_path))
