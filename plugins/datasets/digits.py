"""The 1797 handwritten digits of 8x8 pixels that come with scikit-learn: no download, and minutes for a whole matrix.

Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998. The split is
this project's own: 1000 training and 797 test images, each class in proportion.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from kdharness.api import DataRequest, DatasetInfo, DatasetSpec, ImageDataset, Split, hookimpl

TRAIN_SIZE = 1000
CLASSES = tuple(str(digit) for digit in range(10))
MEAN = (0.3052,)
STD = (0.3759,)
IDENTITY = "content:1b714c78d7a231ada426a20d2be8517b6d8576b438e9b46cce4b8bcb69c7b2ce"


def training_mask(targets: NDArray[np.int64], train_size: int) -> NDArray[np.bool_]:
    """Which samples train: a fixed, stratified choice of `train_size`, in integer arithmetic alone.

    Each class gets its share, the largest remainders rounded up, and spreads it evenly over the order of the file,
    which is by writer.
    """
    counts = np.bincount(targets)
    quota, remainder = np.divmod(counts * train_size, len(targets))
    quota[np.argsort(-remainder, kind="stable")[: train_size - quota.sum()]] += 1
    mask = np.zeros(len(targets), dtype=np.bool_)
    for label, (count, wanted) in enumerate(zip(counts, quota, strict=True)):
        steps = np.arange(count + 1) * wanted // count
        mask[targets == label] = np.diff(steps) == 1
    return mask


def describe(request: DataRequest) -> DatasetInfo:
    return DatasetInfo(IDENTITY, len(CLASSES), (1, 8, 8), TRAIN_SIZE)


def load(request: DataRequest) -> ImageDataset:
    from sklearn.datasets import load_digits  # a second to import

    raw = load_digits()
    # Grey levels 0..16 become 0..255.
    images = np.rint(raw.images * (255 / 16)).astype(np.uint8)[:, None]
    targets = raw.target.astype(np.int64)
    train = training_mask(targets, TRAIN_SIZE)
    splits = {"train": Split(images[train], targets[train]), "test": Split(images[~train], targets[~train])}
    return ImageDataset(splits, CLASSES, MEAN, STD)


@hookimpl
def kdharness_datasets() -> Iterable[DatasetSpec]:
    yield DatasetSpec(
        name="digits",
        describe=describe,
        load=load,
        summary="scikit-learn's 8x8 digits, 1000 training and 797 test images",
        paper="Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998",
        revision=1,
    )
