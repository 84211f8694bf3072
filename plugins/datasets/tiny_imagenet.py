"""Tiny ImageNet in its folder tiny-imagenet-200: 200 classes of 64x64 pixels, 500 training images each.

Le, Yang, "Tiny ImageNet Visual Recognition Challenge", course report, Stanford 2015. The 10,000 labelled validation
images measure, as in all papers: the test images have no published labels.

    wnids.txt                         the classes, one a line
    words.txt                         what each is called, behind a tab
    train/<class>/images/*.JPEG
    val/images/*.JPEG, val/val_annotations.txt      a file and its class in a line, with tabs

Classes are numbered in alphabetical order. Decoded pixels are kept in the cache as those of `imagefolder` are.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from kdharness.api import (
    DataRequest,
    DatasetInfo,
    DatasetMissing,
    DatasetSpec,
    ImageDataset,
    hookimpl,
)

from ._tree import Tree, file_digests, index_of, stamp
from .imagefolder import Pack

NAME = "tiny_imagenet"
FOLDER = "tiny-imagenet-200"
URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
SIDE = 64
ANNOTATIONS = "val/val_annotations.txt"


@dataclass(frozen=True)
class LabelledTree(Tree):
    """A tree whose paths do not say the classes. numbers: of the class, by path."""

    numbers: Mapping[str, int] = field(default_factory=dict)

    def key(self, size: int) -> str:
        """The labels too."""
        found = hashlib.sha256(super().key(size).encode())
        for path, number in sorted(self.numbers.items()):
            found.update(f"{path}\0{number}\0".encode(errors="surrogateescape"))
        return found.hexdigest()

    def targets(self, split: str) -> NDArray[np.int64]:
        return np.array([self.numbers[path] for path in self.files[split]], dtype=np.int64)


def find(request: DataRequest) -> Path:
    """The folder, which may be the data folder itself."""
    for root in (request.root / FOLDER, request.root):
        if (root / "wnids.txt").is_file() and (root / ANNOTATIONS).is_file():
            return root
    hint = "pass --download to fetch it, or unpack tiny-imagenet-200.zip there; --data DIR says where it is"
    raise DatasetMissing(f"{NAME}: no {FOLDER}/wnids.txt in {request.root}; {hint}")


def download(request: DataRequest) -> None:
    """One process at a time."""
    from torchvision.datasets.utils import download_and_extract_archive

    request.root.mkdir(parents=True, exist_ok=True)
    # torchvision prints to stdout, where the results go.
    with FileLock(request.root / f".{NAME}.lock"), contextlib.redirect_stdout(sys.stderr):
        try:
            if not (request.root / FOLDER / "wnids.txt").is_file():
                download_and_extract_archive(URL, str(request.root))
        except (OSError, RuntimeError) as error:
            raise DatasetMissing(f"{NAME}: the download into {request.root} failed: {error}") from error


def labels_of(root: Path) -> dict[str, str]:
    """The class of each validation image, by its path. ValueError for a line of another form."""
    found = {}
    for number, line in enumerate((root / ANNOTATIONS).read_text(encoding="utf-8").splitlines(), 1):
        name, *rest = line.split("\t")
        if not rest:
            raise ValueError(f"{NAME}: {root / ANNOTATIONS}, line {number}: no class behind '{name[:80]}'")
        found[f"val/images/{name}"] = rest[0]
    return found


def called(root: Path, wnids: Iterable[str]) -> tuple[str, ...]:
    """What the classes are called; their numbers in WordNet where nobody says."""
    words = root / "words.txt"
    lines = words.read_text(encoding="utf-8").splitlines() if words.is_file() else []
    names = dict(line.split("\t", 1) for line in lines if "\t" in line)
    return tuple(names.get(wnid, wnid) for wnid in wnids)


def tree_of(request: DataRequest) -> LabelledTree:
    """ValueError where files or labels do not fit each other."""
    if request.download:
        download(request)
    root = find(request)
    wnids = sorted((root / "wnids.txt").read_text(encoding="utf-8").split())
    number = {wnid: index for index, wnid in enumerate(wnids)}
    trained = {
        f"train/{wnid}/images/{path.name}": number[wnid]
        for wnid in wnids
        for path in sorted((root / "train" / wnid / "images").glob("*.JPEG"))
    }
    known = labels_of(root)
    if unknown := sorted(set(known.values()) - number.keys()):
        raise ValueError(f"{NAME}: {root / ANNOTATIONS} has the class {unknown[0][:80]}, which wnids.txt has not")
    measured = {path: number[wnid] for path, wnid in sorted(known.items())}
    absent = next((path for path in measured if not (root / path).is_file()), "")
    if absent or not trained:
        raise ValueError(f"{NAME}: {root / (absent or 'train')} is not there or is empty; unpack the archive anew")
    numbers = {**trained, **measured}
    stamps = {path: stamp((root / path).stat()) for path in numbers}
    digests = file_digests(index_of(root, NAME), root, stamps)
    files = {"train": tuple(trained), "test": tuple(measured)}
    return LabelledTree(root, "val", called(root, wnids), files, digests, numbers=numbers)


def describe(request: DataRequest) -> DatasetInfo:
    return Pack(tree_of(request), SIDE).info()


def load(request: DataRequest) -> ImageDataset:
    return Pack(tree_of(request), SIDE).dataset()


@hookimpl
def kdharness_datasets() -> Iterable[DatasetSpec]:
    yield DatasetSpec(
        name=NAME,
        describe=describe,
        load=load,
        summary="Tiny ImageNet, 200 classes of 64x64 pixels, 500 training images each",
        paper="Le, Yang, Tiny ImageNet Visual Recognition Challenge, Stanford 2015",
        revision=1,
    )
