"""CIFAR-100 from one file cifar100.npz, sorted by class.

The images, labels and names of classes are those of `cifar100`; the order within a split is not the published one (all
of class 0, then all of class 1), so that batches and subsets are others, and so are the numbers: it is a dataset of its
own. The file holds train_x [50000, 32, 32, 3] uint8, train_y [50000] int64, test_x, test_y, and classes, the names.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kdharness.api import (
    DataRequest,
    DatasetInfo,
    DatasetMissing,
    DatasetSpec,
    ImageDataset,
    Split,
    content_identity,
    hookimpl,
)

from ._class_names import CIFAR100
from ._classes import PARAMETERS, Chosen
from .torchvision_datasets import SOURCES, channels_first

NAME = "cifar100_npz"
FILE = "cifar100.npz"
IDENTITY = "content:0c8182271cd93e230c2c20db0261a3ba1ef1dd5f15f933e6bf9d78e21325ae55"
PUBLISHED = next(source for source in SOURCES if source.name == "cifar100")


def path_of(request: DataRequest) -> Path:
    path = request.root / FILE
    if not path.is_file():
        raise DatasetMissing(f"{NAME}: no {FILE} in {request.root}; --data DIR says where it is")
    return path


def describe(request: DataRequest) -> DatasetInfo:
    path_of(request)
    info = DatasetInfo(IDENTITY, PUBLISHED.num_classes, PUBLISHED.input_shape, PUBLISHED.train_size)
    return Chosen.of(NAME, request.parameters, CIFAR100).described(info)


def load(request: DataRequest) -> ImageDataset:
    """ValueError for a file of another format, and where a part is asked for, of other images."""
    path, chosen = path_of(request), Chosen.of(NAME, request.parameters, CIFAR100)
    try:
        with np.load(path) as found:
            splits = {
                name: Split(channels_first(found[f"{name}_x"]), found[f"{name}_y"].astype(np.int64))
                for name in ("train", "test")
            }
            classes = tuple(str(name) for name in found["classes"])
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{NAME}: {path} is not such a file: {error}") from error
    if not chosen.is_all and content_identity(splits) != IDENTITY:
        raise ValueError(f"{NAME}: {path} holds other images than CIFAR-100 sorted by class")
    whole = ImageDataset(splits, classes, PUBLISHED.mean, PUBLISHED.std, PUBLISHED.augmentation)
    return chosen.cut(whole)


@hookimpl
def kdharness_datasets() -> Iterable[DatasetSpec]:
    yield DatasetSpec(
        name=NAME,
        describe=describe,
        load=load,
        summary="CIFAR-100 sorted by class, from one file cifar100.npz",
        parameters=PARAMETERS,
        paper=PUBLISHED.paper,
        revision=1,
    )
