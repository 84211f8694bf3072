"""STL-10 in its binary form: 5,000 labelled training images of 96x96 in ten classes, 8,000 test images.

Coates, Ng, Lee, "An Analysis of Single Layer Networks in Unsupervised Feature Learning", AISTATS 2011. A file of images
is bytes, image by image, channel by channel, each channel column by column; a file of labels is bytes from 1. The
100,000 images without labels are not read, and need not be there. Images are normalised by their own mean and
deviation, as the authors publish none.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from kdharness.api import (
    Augmentation,
    DataRequest,
    DatasetInfo,
    DatasetMissing,
    DatasetSpec,
    ImageDataset,
    Split,
    hookimpl,
)

from ._statistics import channel_statistics

NAME = "stl10"
FOLDER = "stl10_binary"
URL = "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz"
ARCHIVE_MD5 = "91f7769df0f17e558f3565bffb0c7dfb"
SIDE = 96
SIZES = {"train": 5000, "test": 8000}
CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")

# Published, of images and labels.
MD5 = {
    "train_X.bin": "918c2871b30a85fa023e0c44e0bee87f",
    "train_y.bin": "5a34089d4802c674881badbb80307741",
    "test_X.bin": "7f263ba9f9e0b06b93213547f721ac82",
    "test_y.bin": "36f9794fa4beb8a2c72628de14fa638e",
}


def images_of(content: bytes) -> NDArray[np.uint8]:
    """uint8 [N, 3, 96, 96]. ValueError for bytes that are no whole images."""
    size = 3 * SIDE * SIDE
    if not content or len(content) % size:
        raise ValueError(f"{len(content)} bytes are no whole images of {size}")
    columns = np.frombuffer(content, dtype=np.uint8).reshape(-1, 3, SIDE, SIDE)
    return np.ascontiguousarray(columns.transpose(0, 1, 3, 2))


def labels_of(content: bytes) -> NDArray[np.int64]:
    """int64 [N], from 0. ValueError for bytes that are no labels."""
    labels = np.frombuffer(content, dtype=np.uint8).astype(np.int64) - 1
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(CLASSES):
        raise ValueError(f"labels are outside 1 to {len(CLASSES)}")
    return labels


def is_present(root: Path) -> bool:
    return all((root / FOLDER / file).is_file() for file in MD5)


def missing(root: Path) -> DatasetMissing:
    hint = "pass --download to fetch it (2.6 GB), or --data DIR to say where it is"
    return DatasetMissing(f"{NAME}: no {next(iter(MD5))} in {root / FOLDER}; {hint}")


def describe(request: DataRequest) -> DatasetInfo:
    if not (request.download or is_present(request.root)):
        raise missing(request.root)
    return DatasetInfo("md5:" + "+".join(MD5.values()), len(CLASSES), (3, SIDE, SIDE), SIZES["train"])


def download(root: Path) -> None:
    """One process at a time."""
    from torchvision.datasets.utils import download_and_extract_archive

    root.mkdir(parents=True, exist_ok=True)
    # torchvision prints to stdout, where the results go.
    with FileLock(root / f".{NAME}.lock"), contextlib.redirect_stdout(sys.stderr):
        try:
            if not is_present(root):
                download_and_extract_archive(URL, str(root), md5=ARCHIVE_MD5)
        except (OSError, RuntimeError) as error:
            raise DatasetMissing(f"{NAME}: the download into {root} failed: {error}") from error


def read(root: Path, file: str) -> bytes:
    """ValueError when it is not the published file."""
    content = (root / FOLDER / file).read_bytes()
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != MD5[file]:
        raise ValueError(f"{NAME}: {root / FOLDER / file} is corrupt (MD5 is not {MD5[file]}); delete it")
    return content


def load(request: DataRequest) -> ImageDataset:
    """ValueError when the files are not the published ones."""
    if not is_present(request.root):
        if not request.download:
            raise missing(request.root)
        download(request.root)
    splits = {
        name: Split(images_of(read(request.root, f"{name}_X.bin")), labels_of(read(request.root, f"{name}_y.bin")))
        for name in SIZES
    }
    mean, std = channel_statistics(splits["train"].images)
    return ImageDataset(splits, CLASSES, mean, std, Augmentation(crop_padding=SIDE // 8, flip=True))


@hookimpl
def kdharness_datasets() -> Iterable[DatasetSpec]:
    yield DatasetSpec(
        name=NAME,
        describe=describe,
        load=load,
        summary="STL-10, ten classes of 96x96 pixels, 500 training images each",
        paper="Coates, Ng, Lee, An Analysis of Single Layer Networks in Unsupervised Feature Learning, AISTATS 2011",
        revision=1,
    )
