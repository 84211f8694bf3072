"""The standard small data sets, read, checked and (when allowed) downloaded by torchvision.

The data folder is torchvision's `root`, so that copies made by other programs are found. Identity is the published MD5
of what is downloaded. Loading verifies: CIFAR's and SVHN's files by their own MD5; MNIST's unpacked files have none
published, so that the archives beside them are checked where they are still there, and the number of images always.
What was decoded when a set was first loaded is remembered in the user's cache folder, and is to be the same ever after.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

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
    content_identity,
    hookimpl,
)

from ._cache import atomic, cache_folder
from ._class_names import CIFAR10, CIFAR100
from ._classes import PARAMETERS, Chosen

MNIST_FILES = tuple(f"{split}-{kind}-ubyte" for split in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
SVHN_PAPER = "Netzer et al., Reading Digits in Natural Images with Unsupervised Feature Learning, NIPS workshop 2011"


def by_flag(train: bool) -> dict[str, Any]:
    """How most of torchvision's classes are told which split to read."""
    return {"train": train}


def by_name(train: bool) -> dict[str, Any]:
    """How SVHN is told."""
    return {"split": "train" if train else "test"}


@dataclass(frozen=True)
class Source:
    """One of torchvision's data sets.

    kind: its class in torchvision.datasets. folder, files: what must be there, relative to the data folder.
    md5: published, of the archive or of each file that is downloaded.
    archives: downloaded files that torchvision does not check when it reads, in the order of md5.
    choose: the options that select the split. labels: the attribute that holds the class numbers.
    classes: names of the classes, where some of them can be asked for; each has as many training images.
    """

    name: str
    kind: str
    num_classes: int
    input_shape: tuple[int, int, int]
    train_size: int
    test_size: int
    folder: str
    files: tuple[str, ...]
    md5: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: Augmentation
    paper: str
    archives: tuple[str, ...] = ()
    choose: Callable[[bool], dict[str, Any]] = by_flag
    labels: str = "targets"
    classes: tuple[str, ...] = ()


def mnist_like(name: str, kind: str, md5: tuple[str, ...], mean: float, std: float, flip: bool, paper: str) -> Source:
    """The four files of MNIST's format."""
    return Source(
        name=name,
        kind=kind,
        num_classes=10,
        input_shape=(1, 28, 28),
        train_size=60_000,
        test_size=10_000,
        folder=f"{kind}/raw",
        files=MNIST_FILES,
        md5=md5,
        mean=(mean,),
        std=(std,),
        augmentation=Augmentation(crop_padding=2, flip=flip),
        paper=paper,
        archives=tuple(f"{file}.gz" for file in MNIST_FILES),
    )


SOURCES = (
    Source(
        name="cifar10",
        kind="CIFAR10",
        num_classes=10,
        input_shape=(3, 32, 32),
        train_size=50_000,
        test_size=10_000,
        folder="cifar-10-batches-py",
        files=(*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"),
        md5=("c58f30108f718f92721af3b95e74349a",),
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        augmentation=Augmentation(crop_padding=4, flip=True),
        paper="Krizhevsky, Learning Multiple Layers of Features from Tiny Images, technical report 2009",
        classes=CIFAR10,
    ),
    Source(
        name="cifar100",
        kind="CIFAR100",
        num_classes=100,
        input_shape=(3, 32, 32),
        train_size=50_000,
        test_size=10_000,
        folder="cifar-100-python",
        files=("train", "test", "meta"),
        md5=("eb9058c3a382ffc7106e4002c42a8d85",),
        mean=(0.5071, 0.4867, 0.4408),
        std=(0.2675, 0.2565, 0.2761),
        augmentation=Augmentation(crop_padding=4, flip=True),
        paper="Krizhevsky, Learning Multiple Layers of Features from Tiny Images, technical report 2009",
        classes=CIFAR100,
    ),
    mnist_like(
        "mnist",
        "MNIST",
        md5=(
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
        mean=0.1307,
        std=0.3081,
        flip=False,
        paper="LeCun et al., Gradient-Based Learning Applied to Document Recognition, Proceedings of the IEEE, 1998",
    ),
    mnist_like(
        "fashion_mnist",
        "FashionMNIST",
        md5=(
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
        mean=0.2860,
        std=0.3530,
        flip=True,
        paper="Xiao, Rasul, Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking, arXiv:1708.07747, 2017",
    ),
    Source(
        name="svhn",
        kind="SVHN",
        num_classes=10,
        input_shape=(3, 32, 32),
        train_size=73_257,
        test_size=26_032,
        folder="",
        files=("train_32x32.mat", "test_32x32.mat"),
        md5=("e26dedcc434d2e4c54c9b2d4a06d8373", "eb5a983be6a315427106f1b164d9cef3"),
        mean=(0.4377, 0.4438, 0.4728),
        std=(0.1980, 0.2010, 0.1970),
        augmentation=Augmentation(crop_padding=4, flip=False),
        paper=SVHN_PAPER,
        choose=by_name,
        labels="labels",
    ),
)


def is_present(source: Source, root: Path) -> bool:
    return all((root / source.folder / file).is_file() for file in source.files)


def missing(source: Source, root: Path) -> DatasetMissing:
    hint = "pass --download to fetch it, or --data DIR to say where it is"
    return DatasetMissing(f"{source.name}: no {source.files[0]} in {root / source.folder}; {hint}")


def describe(request: DataRequest, source: Source) -> DatasetInfo:
    if not (request.download or is_present(source, request.root)):
        raise missing(source, request.root)
    identity = "md5:" + "+".join(source.md5)
    info = DatasetInfo(identity, source.num_classes, source.input_shape, source.train_size)
    return Chosen.of(source.name, request.parameters, source.classes).described(info)


def download(source: Source, root: Path) -> None:
    """Fetches what is missing; one process at a time."""
    from torchvision import datasets

    root.mkdir(parents=True, exist_ok=True)
    # torchvision prints to stdout, where the results go.
    with FileLock(root / f".{source.name}.lock"), contextlib.redirect_stdout(sys.stderr):
        try:
            for train in (True, False):
                getattr(datasets, source.kind)(root, download=True, **source.choose(train))
        except (OSError, RuntimeError) as error:
            raise DatasetMissing(f"{source.name}: the download into {root} failed: {error}") from error


def read(source: Source, root: Path, train: bool) -> tuple[Split, tuple[str, ...]]:
    """One split, and the class names. ValueError when a checksum or the format is wrong."""
    from torchvision import datasets

    try:
        dataset = getattr(datasets, source.kind)(root, **source.choose(train))
    except (RuntimeError, ValueError, AssertionError, EOFError) as error:
        raise ValueError(f"{source.name}: the files in {root / source.folder} are corrupt; delete them") from error
    images = channels_first(np.asarray(dataset.data))
    targets = np.asarray(getattr(dataset, source.labels))
    names = getattr(dataset, "classes", range(source.num_classes))
    return Split(images, targets.astype(np.int64)), tuple(str(name) for name in names)


def channels_first(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[N, H, W] or [N, H, W, 3] to [N, C, H, W], which is left as it is."""
    if images.ndim == 3:
        return np.ascontiguousarray(images[:, None])
    if images.shape[1] != 3:
        images = images.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(images)


def check_archives(source: Source, root: Path) -> None:
    """ValueError when an archive that is still there is not the published one."""
    from torchvision.datasets.utils import check_integrity

    for archive, md5 in zip(source.archives, source.md5, strict=False):
        path = root / source.folder / archive
        if path.exists() and not check_integrity(str(path), md5):
            raise ValueError(f"{source.name}: {path} is corrupt (MD5 is not {md5}); delete it")


def check_content(source: Source, root: Path, splits: Mapping[str, Split]) -> None:
    """ValueError when the pixels and labels are not those of the first time that this user loaded the set."""
    known = cache_folder("torchvision") / f"{source.name}-{source.md5[0][:12]}.txt"
    found = content_identity(splits)
    if not known.exists():
        with atomic(known) as file:
            file.write(found.encode())
    elif known.read_text() != found:
        where = root / source.folder
        what = f"{where} holds other images or labels than when it was first loaded"
        raise ValueError(f"{source.name}: {what} (delete {known} if those were wrong)")


def load(request: DataRequest, source: Source) -> ImageDataset:
    """ValueError when the files are not the published ones."""
    if not is_present(source, request.root):
        if not request.download:
            raise missing(source, request.root)
        download(source, request.root)
    check_archives(source, request.root)
    train, classes = read(source, request.root, train=True)
    test, _ = read(source, request.root, train=False)
    for kind, split, size in (("training", train, source.train_size), ("test", test, source.test_size)):
        if len(split.targets) != size:
            raise ValueError(f"{source.name}: {len(split.targets)} {kind} images, expected {size}")
    splits = {"train": train, "test": test}
    dataset = ImageDataset(splits, classes, source.mean, source.std, source.augmentation)
    check_content(source, request.root, splits)
    return Chosen.of(source.name, request.parameters, source.classes).cut(dataset)


@hookimpl
def kdharness_datasets() -> Iterable[DatasetSpec]:
    for source in SOURCES:
        yield DatasetSpec(
            name=source.name,
            describe=partial(describe, source=source),
            load=partial(load, source=source),
            summary=f"torchvision's {source.kind}, {source.num_classes} classes",
            parameters=PARAMETERS if source.classes else (),
            paper=source.paper,
            revision=1,
        )
