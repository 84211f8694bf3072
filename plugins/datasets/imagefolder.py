"""Any tree of image files, train/<class>/* and test/<class>/* (or val/<class>/*), held in memory as uint8.

Images become RGB of size x size: the shorter side is resized (bilinear, antialiased), the centre is cut out. The pixels
are kept in the user's cache folder (KDHARNESS_CACHE names another), one file per content and size, together with their
identity: a folder whose files have the paths, sizes, times and inodes of before is not read again.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
    Parameter,
    Split,
    content_identity,
    hookimpl,
)

from ._cache import atomic, cache_folder

NAME = "imagefolder"

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
PACK_VERSION = 2  # raised when the same files give other pixels
THREADS = min(8, os.cpu_count() or 1)


Stamp = tuple[int, int, int]
"""A file's size, modification time (ns) and inode."""


@dataclass(frozen=True)
class Tree:
    """What a folder holds. files: by split ("train", "test"), paths relative to `root`, in the order of the arrays;
    digests: SHA-256 of each file's bytes."""

    root: Path
    classes: tuple[str, ...]
    files: Mapping[str, tuple[str, ...]]
    digests: Mapping[str, str]

    def key(self, size: int) -> str:
        """Digest of names, files and size. A test split called "val" is the same data."""
        found = hashlib.sha256(f"{size}\0".encode())
        for split, paths in sorted(self.files.items()):
            for path in paths:
                inside = f"{split}/{path.partition('/')[2]}\0{self.digests[path]}\0"
                found.update(inside.encode(errors="surrogateescape"))
        return found.hexdigest()

    def targets(self, split: str) -> NDArray[np.int64]:
        number = {name: index for index, name in enumerate(self.classes)}
        return np.array([number[path.split("/")[1]] for path in self.files[split]], dtype=np.int64)


# -- looking ----------------------------------------------------------------------------------------------------------


def find_root(data_root: Path, folder: str) -> Path:
    """The tree's folder: `folder` (relative to the data folder), or the data folder where it is a tree itself."""
    named = data_root / folder
    if named.is_dir():
        return named
    if test_folder(data_root) and (data_root / "train").is_dir():
        return data_root
    hint = "it should hold train/<class>/ and test/<class>/ (or val/<class>/); --data DIR says where"
    raise DatasetMissing(f"imagefolder: no folder {named}; {hint}")


def test_folder(root: Path) -> str | None:
    """ "test", or "val" where there is no test."""
    return next((name for name in ("test", "val") if (root / name).is_dir()), None)


def image_files(root: Path, split: str) -> dict[str, dict[str, Stamp]]:
    """By class, its images' paths relative to `root`, sorted. DatasetMissing when a class folder holds no image."""
    found: dict[str, dict[str, Stamp]] = {}
    for folder in sorted(p for p in (root / split).iterdir() if p.is_dir() and not p.name.startswith(".")):
        entries = [entry for entry in os.scandir(folder) if is_image(entry)]
        if not entries:
            raise DatasetMissing(f"imagefolder: no images in {folder}")
        stamps = {e.name: (e.stat().st_size, e.stat().st_mtime_ns, e.inode()) for e in entries}
        found[folder.name] = {f"{split}/{folder.name}/{name}": stamps[name] for name in sorted(stamps)}
    if not found:
        raise DatasetMissing(f"imagefolder: no class folders in {root / split}")
    return found


def is_image(entry: os.DirEntry[str]) -> bool:
    suffix = os.path.splitext(entry.name)[1].lower()
    return suffix in SUFFIXES and not entry.name.startswith(".") and entry.is_file()


def scan(request: DataRequest) -> Tree:
    """The tree a request names, its files' digests from the index where they are unchanged.

    DatasetMissing when there is none or it is empty; ValueError when a class is only in the test split.
    """
    if request.parameters["size"] < 1:
        raise ValueError(f"imagefolder: size {request.parameters['size']} is not a number of pixels")
    root = find_root(request.root, request.parameters["folder"])
    test = test_folder(root)
    if test is None or not (root / "train").is_dir():
        absent = "train" if test else "test (or val)"
        raise DatasetMissing(f"imagefolder: {root} has no folder {absent}")
    by_class = {"train": image_files(root, "train"), "test": image_files(root, test)}
    unknown = sorted(by_class["test"].keys() - by_class["train"].keys())
    if unknown:
        raise ValueError(f"imagefolder: in {root / test}, but not in train: class {', '.join(unknown)}")
    stamps = {path: stamp for part in by_class.values() for paths in part.values() for path, stamp in paths.items()}
    files = {split: tuple(p for paths in part.values() for p in paths) for split, part in by_class.items()}
    return Tree(root, tuple(by_class["train"]), files, file_digests(root, stamps))


# -- the cache folder -------------------------------------------------------------------------------------------------


def index_path(root: Path) -> Path:
    return cache_folder(NAME) / f"index-{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:32]}.json"


def file_digests(root: Path, stamps: Mapping[str, Stamp]) -> dict[str, str]:
    """SHA-256 by path. A file is read again only when its stamp is another than in the index."""
    index = index_path(root)
    try:
        known: dict[str, list[int | str]] = json.loads(index.read_text())
    except (OSError, ValueError):
        known = {}
    entries = {path: known.get(path) for path in stamps}
    changed = [path for path, entry in entries.items() if entry is None or tuple(entry[:3]) != stamps[path]]
    with ThreadPoolExecutor(THREADS) as pool:
        for path, digest in zip(changed, pool.map(lambda path: file_digest(root / path), changed), strict=True):
            entries[path] = [*stamps[path], digest]
    if changed or len(known) != len(entries):
        with atomic(index) as file:
            file.write(json.dumps(entries).encode())
    return {path: str(entry[3]) for path, entry in entries.items() if entry is not None}


def file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# -- pixels -----------------------------------------------------------------------------------------------------------


def decode(content: bytes, size: int) -> NDArray[np.uint8]:
    """uint8 [3, size, size] of an image file's bytes."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as opened:
        image = opened.convert("RGB")
    width, height = image.size
    scale = size / min(width, height)
    if scale != 1:
        image = image.resize(
            (max(size, round(width * scale)), max(size, round(height * scale))), Image.Resampling.BILINEAR
        )
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size))).transpose(2, 0, 1)


def decode_split(tree: Tree, split: str, size: int) -> NDArray[np.uint8]:
    """uint8 [N, 3, size, size]. ValueError names a file that is no image, or that changed since it was indexed."""
    paths = tree.files[split]
    images = np.empty((len(paths), 3, size, size), dtype=np.uint8)

    def fill(number: int) -> None:
        path = tree.root / paths[number]
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != tree.digests[paths[number]]:
            index_path(tree.root).unlink(missing_ok=True)
            raise ValueError(f"imagefolder: {path} changed after it was indexed; run again")
        try:
            images[number] = decode(content, size)
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise ValueError(f"imagefolder: {path} is not a readable image") from error

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(fill, range(len(paths))):
            pass
    return images


def channel_statistics(images: NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, in units of pixel value / 255, exact before they are rounded."""
    counts = [np.zeros(256, dtype=np.int64) for _ in range(images.shape[1])]
    for start in range(0, len(images), 1024):
        for channel, count in enumerate(counts):
            count += np.bincount(images[start : start + 1024, channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    means = [float(np.average(values, weights=count)) for count in counts]
    variances = [float(np.average((values - m) ** 2, weights=count)) for m, count in zip(means, counts, strict=True)]
    # A channel without contrast is only centred.
    return tuple(round(m, 4) for m in means), tuple(round(v**0.5, 4) or 1.0 for v in variances)


@dataclass(frozen=True)
class Pack:
    """The file with a tree's pixels, made where it is absent or fails its own CRC."""

    tree: Tree
    size: int

    @property
    def path(self) -> Path:
        return cache_folder(NAME) / f"{self.tree.key(self.size)}-v{PACK_VERSION}.npz"

    def identity(self) -> str:
        """Of the pixels and labels. Reads no pixels where the file is there."""
        return str(self._read(lambda found: found["identity"]))

    def splits(self) -> dict[str, Split]:
        images = self._read(lambda found: {split: found[split] for split in self.tree.files})
        return {split: Split(images[split], self.tree.targets(split)) for split in self.tree.files}

    def _read(self, what: Callable[[Mapping[str, NDArray[Any]]], Any]) -> Any:
        with FileLock(f"{self.path}.lock"):
            try:
                with np.load(self.path) as found:
                    return what(found)
            except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
                return what(self._make())

    def _make(self) -> dict[str, NDArray[Any]]:
        images = {split: decode_split(self.tree, split, self.size) for split in self.tree.files}
        splits = {split: Split(images[split], self.tree.targets(split)) for split in images}
        arrays: dict[str, NDArray[Any]] = {**images, "identity": np.array(content_identity(splits))}
        with atomic(self.path) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        return arrays


# -- the plugin -------------------------------------------------------------------------------------------------------


def describe(request: DataRequest) -> DatasetInfo:
    size, tree = request.parameters["size"], scan(request)
    return DatasetInfo(Pack(tree, size).identity(), len(tree.classes), (3, size, size), len(tree.files["train"]))


def load(request: DataRequest) -> ImageDataset:
    size, tree = request.parameters["size"], scan(request)
    splits = Pack(tree, size).splits()
    mean, std = channel_statistics(splits["train"].images)
    return ImageDataset(splits, tree.classes, mean, std, Augmentation(crop_padding=size // 8, flip=True))


@hookimpl
def kdharness_datasets() -> Iterable[DatasetSpec]:
    yield DatasetSpec(
        name=NAME,
        describe=describe,
        load=load,
        summary="a tree of image files, train/<class>/* and test/<class>/*",
        parameters=(Parameter("folder", str, "imagefolder"), Parameter("size", int, 32)),
        local_parameters=("folder",),
        revision=1,
    )
