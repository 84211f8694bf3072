"""Any tree of image files, train/<class>/* and test/<class>/* (or val/<class>/*), held in memory as uint8.

Images become upright RGB of size x size: the shorter side is resized (bilinear, antialiased), the centre is cut out.
The pixels are kept in the user's cache folder (KDHARNESS_CACHE names another), one file per content and size, together
with their identity: a folder whose files have the paths, sizes, times and inodes of before is not read again. What is
not read as a file has it, or not at all, is warned of by name and number.
"""

from __future__ import annotations

import hashlib
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from filelock import BaseFileLock, FileLock
from numpy.typing import NDArray

from kdharness.api import (
    Augmentation,
    DataRequest,
    DatasetInfo,
    DatasetSpec,
    ImageDataset,
    Neutral,
    Parameter,
    Split,
    content_identity,
    content_warnings,
    hookimpl,
)

from ._cache import atomic, cache_folder
from ._classes import PARAMETERS, Chosen
from ._pictures import Remark, decode
from ._statistics import channel_statistics
from ._tree import NAME, THREADS, Tree, counted, index_path, read, scan, shown

PACK_VERSION = 4  # raised when the same files give other pixels, or warnings are worded anew
LARGEST = 4096  # pixels to a side


# -- pixels -----------------------------------------------------------------------------------------------------------


def decode_split(tree: Tree, split: str, size: int) -> tuple[NDArray[np.uint8], dict[Remark, list[str]]]:
    """uint8 [N, 3, size, size], and the files that there is something to say of.

    ValueError names a file that is no image, or that changed since it was indexed.
    """
    paths = tree.files[split]
    images = np.empty((len(paths), 3, size, size), dtype=np.uint8)

    def fill(number: int) -> tuple[Remark, ...]:
        images[number], remarks = decode_file(tree, paths[number], size)
        return remarks

    told: dict[Remark, list[str]] = {}
    # Pillow's own warnings do not say which file they are about.
    with warnings.catch_warnings(), ThreadPoolExecutor(THREADS) as pool:
        warnings.simplefilter("ignore")
        for path, remarks in zip(paths, pool.map(fill, range(len(paths))), strict=True):
            for remark in remarks:
                told.setdefault(remark, []).append(path)
    return images, told


def decode_file(tree: Tree, path: str, size: int) -> tuple[NDArray[np.uint8], tuple[Remark, ...]]:
    """ValueError names the file."""
    from PIL import Image, UnidentifiedImageError

    content, named = read(tree.root / path), f"{NAME}: {shown(str(tree.root / path))}"
    if hashlib.sha256(content).hexdigest() != tree.digests[path]:
        index_path(tree).unlink(missing_ok=True)
        raise ValueError(f"{named} changed after it was indexed; run again")
    try:
        picture = decode(content, size)
    except UnidentifiedImageError as error:  # its message is about a buffer
        raise ValueError(f"{named} is not a readable image: no format that Pillow knows") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"{named} is far too large, or was made to fill the memory: {error}") from error
    except Exception as error:
        raise ValueError(f"{named} is not a readable image: {shown(str(error) or type(error).__name__)}") from error
    return picture.pixels, picture.remarks


@dataclass(frozen=True)
class Packed:
    """What a pack holds. warnings: of pixels and files, a line each."""

    identity: str
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Pack:
    """The file with a tree's pixels, made where it is absent or damaged."""

    tree: Tree
    size: int

    def described(self) -> Packed:
        """Reads no pixels where the file is there."""
        with self._locked():
            try:
                with np.load(self._path) as found:
                    return _packed(found)
            except DAMAGES:
                return _packed(self._make())

    def splits(self) -> dict[str, Split]:
        """Held to the identity that the file says."""
        with self._locked():
            try:
                with np.load(self._path) as found:
                    splits = self._splits(found)
                    if content_identity(splits) == _packed(found).identity:
                        return splits
            except DAMAGES:
                pass  # it is made anew
            return self._splits(self._make())

    def info(self) -> DatasetInfo:
        """What is known without pixels, as `described`."""
        packed, images = self.described(), (3, self.size, self.size)
        lines = (*self.tree.warnings, *packed.warnings)
        return DatasetInfo(packed.identity, len(self.tree.classes), images, len(self.tree.files["train"]), lines)

    def dataset(self) -> ImageDataset:
        """Normalised by its own training images."""
        splits = self.splits()
        mean, std = channel_statistics(splits["train"].images)
        augmentation = Augmentation(crop_padding=self.size // 8, flip=True)
        return ImageDataset(splits, self.tree.classes, mean, std, augmentation, self.tree.names)

    @property
    def _path(self) -> Path:
        return cache_folder(NAME) / f"{self.tree.key(self.size)}-v{PACK_VERSION}.npz"

    def _locked(self) -> BaseFileLock:
        return FileLock(f"{self._path}.lock")

    def _splits(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Split]:
        return {split: Split(arrays[split], self.tree.targets(split)) for split in self.tree.files}

    def _make(self) -> dict[str, NDArray[Any]]:
        arrays: dict[str, NDArray[Any]] = {}
        told: dict[Remark, list[str]] = {}
        for split in self.tree.files:
            arrays[split], remarks = decode_split(self.tree, split, self.size)
            for remark, paths in remarks.items():
                told.setdefault(remark, []).extend(paths)
        splits = self._splits(arrays)
        lines = [f"{counted(paths, 'file')} {remark.value}" for remark, paths in sorted(told.items())]
        lines += content_warnings(splits, [shown(name) for name in self.tree.classes], self.tree.names)
        arrays |= {"identity": np.array(content_identity(splits)), "warnings": np.array(lines, dtype=np.str_)}
        with atomic(self._path) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        return arrays


DAMAGES = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile)


def _packed(arrays: Mapping[str, NDArray[Any]]) -> Packed:
    return Packed(str(arrays["identity"]), tuple(str(line) for line in arrays["warnings"]))


# -- the plugin -------------------------------------------------------------------------------------------------------


def tree_of(request: DataRequest) -> Tree:
    """The tree that a request names. ValueError for a size that images cannot have."""
    size = request.parameters["size"]
    if not 1 <= size <= LARGEST:
        raise ValueError(f"{NAME}: size {size} is not a number of pixels from 1 to {LARGEST}")
    tree = scan(request.root, request.parameters["folder"], request.parameters["test"])
    return part_of(tree, Chosen.of(NAME, request.parameters, tree.classes))


def part_of(tree: Tree, chosen: Chosen) -> Tree:
    """The tree as if it held nothing but that. ValueError when nothing of it measures."""
    if chosen.is_all:
        return tree
    numbers = range(len(tree.classes)) if chosen.numbers is None else chosen.numbers
    files = {}
    for split, paths in tree.files.items():
        targets = tree.targets(split)
        most = chosen.per_class if split == "train" and chosen.per_class else len(targets)
        files[split] = tuple(paths[k] for n in numbers for k in np.flatnonzero(targets == n)[:most])
    if not files["test"]:
        raise ValueError(f"{NAME}: {tree.root / tree.test} holds no image of the classes that are asked for")
    return replace(tree, classes=tuple(tree.classes[n] for n in numbers), files=files)


def describe(request: DataRequest) -> DatasetInfo:
    return Pack(tree_of(request), request.parameters["size"]).info()


def load(request: DataRequest) -> ImageDataset:
    return Pack(tree_of(request), request.parameters["size"]).dataset()


@hookimpl
def kdharness_datasets() -> Iterable[DatasetSpec]:
    yield DatasetSpec(
        name=NAME,
        describe=describe,
        load=load,
        summary="a tree of image files, train/<class>/* and test/<class>/*",
        parameters=(
            Parameter("folder", str, "imagefolder"),
            Parameter("size", int, 32),
            Parameter("test", Annotated[Literal["auto", "test", "val"], Neutral("auto")], "auto"),
            *PARAMETERS,
        ),
        local_parameters=("folder",),
        revision=1,
    )
