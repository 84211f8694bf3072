"""A folder of class folders: which files are its pictures, which are left aside, and what they hold by digest."""

from __future__ import annotations

import hashlib
import json
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kdharness.api import DatasetMissing

from ._cache import atomic, cache_folder
from ._pictures import SUFFIXES

NAME = "imagefolder"
THREADS = min(8, os.cpu_count() or 1)

# Folders that may measure, the first that is there; and what else splits are called.
MEASURING = ("test", "val")
SPLITS = (*MEASURING, "valid", "validation")

# What lies beside pictures and is none: nobody misses it.
NOTES = frozenset(
    {".csv", ".db", ".htm", ".html", ".ini", ".json", ".log", ".md", ".mat", ".txt", ".xml", ".yaml", ".yml"}
)

Stamp = tuple[int, int, int, int]
"""A file's size, times of its content and of its inode (ns), and inode. Nobody can set the second time."""


@dataclass(frozen=True)
class Tree:
    """What a folder holds.

    root: the folder.
    test: its part that measures, "test" or "val".
    files: by split ("train", "test"), paths relative to `root`, in the order of the arrays.
    digests: SHA-256 of each file's bytes.
    warnings: a line each on what is left aside.
    """

    root: Path
    test: str
    classes: tuple[str, ...]
    files: Mapping[str, tuple[str, ...]]
    digests: Mapping[str, str]
    warnings: tuple[str, ...] = ()

    def key(self, size: int) -> str:
        """Digest of names, files and size."""
        found = hashlib.sha256(f"{size}\0".encode())
        for split, paths in sorted(self.files.items()):
            found.update(f"{split}\0".encode())
            for path in paths:
                found.update(f"{path}\0{self.digests[path]}\0".encode(errors="surrogateescape"))
        return found.hexdigest()

    @property
    def names(self) -> dict[str, list[str]]:
        """What messages call the images."""
        return {split: [shown(path) for path in paths] for split, paths in self.files.items()}

    def targets(self, split: str) -> NDArray[np.int64]:
        number = {name: index for index, name in enumerate(self.classes)}
        return np.array([number[class_of(path.split("/")[1])] for path in self.files[split]], dtype=np.int64)


@dataclass
class SplitFolder:
    """A split's folder, looked through once.

    classes: by class, its pictures' paths and stamps.
    deeper: pictures in subfolders of class folders.
    outside: pictures in no class folder.
    others: files of class folders that are no pictures by their suffix, or no files at all.
    """

    classes: dict[str, dict[str, Stamp]] = field(default_factory=dict)
    deeper: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def look(self, root: Path, name: str) -> None:
        """DatasetMissing when there is no class folder, or one without a picture."""
        with os.scandir(root / name) as entries:
            found = sorted((e for e in entries if not e.name.startswith(".")), key=lambda entry: entry.name)
        folders = [entry for entry in found if entry.is_dir()]
        self.outside += [f"{name}/{entry.name}" for entry in found if is_picture(entry.name) and not entry.is_dir()]
        for folder in folders:
            self._look_into(root, f"{name}/{folder.name}")
        if not folders:
            raise DatasetMissing(f"{NAME}: no class folders in {root / name}")

    def _look_into(self, root: Path, folder: str) -> None:
        """One class folder."""
        pictures: dict[str, Stamp] = {}
        deeper: list[str] = []
        with os.scandir(root / folder) as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}"
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    deeper += pictures_below(root, path)
                elif is_picture(entry.name) and entry.is_file():
                    pictures[path] = stamp(entry.stat())
                elif os.path.splitext(entry.name)[1].lower() not in NOTES:
                    self.others.append(path)
        if not pictures:
            hint = f" itself, but {len(deeper)} in folders below it, as {shown(min(deeper))}" if deeper else ""
            raise DatasetMissing(f"{NAME}: no images in {root / folder}{hint}")
        self.deeper += deeper
        self.classes.setdefault(class_of(Path(folder).name), {}).update(sorted(pictures.items()))

    @property
    def warnings(self) -> Iterable[str]:
        """A line for each kind of what is left aside."""
        if self.deeper:
            yield f"{counted(self.deeper, 'picture')} in folders below class folders: not read"
        if self.outside:
            yield f"{counted(self.outside, 'picture')} in no class folder: not read"
        if self.others:
            kinds = Counter(os.path.splitext(path)[1].lower() or "no suffix" for path in self.others)
            suffixes = ", ".join(shown(kind) for kind, _ in kinds.most_common(5))
            yield f"{counted(self.others, 'file')} not read for what they are or are called: {suffixes}"


def class_of(folder: str) -> str:
    """A class's name: folders of one name in two Unicode forms are one class (macOS writes another than others)."""
    return unicodedata.normalize("NFC", folder)


def is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith(".")


def stamp(status: os.stat_result) -> Stamp:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def pictures_below(root: Path, folder: str) -> list[str]:
    """Paths of all pictures at any depth. Links to folders are not followed."""
    found = []
    for place, folders, files in os.walk(root / folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name).relative_to(root).as_posix() for name in files if is_picture(name)]
    return found


def shown(text: str) -> str:
    """What people and terminals can bear of a file's name."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def counted(paths: Iterable[str], noun: str) -> str:
    """ "3 pictures (a, b, ...)"."""
    names = sorted(paths)
    more = ", ..." if len(names) > 3 else ""
    return f"{len(names)} {noun}{'s' * (len(names) > 1)} ({', '.join(map(shown, names[:3]))}{more})"


# -- looking ----------------------------------------------------------------------------------------------------------


def find_root(data_root: Path, folder: str) -> Path:
    """The tree's folder: `folder` (relative to the data folder), or the data folder where it is a tree itself."""
    named = data_root / folder
    if named.is_dir():
        return named
    if measuring_folder(data_root) and (data_root / "train").is_dir():
        return data_root
    hint = "it should hold train/<class>/ and test/<class>/ (or val/<class>/); --data DIR says where"
    raise DatasetMissing(f"{NAME}: no folder {named}; {hint}")


def measuring_folder(root: Path, asked: str = "auto") -> str | None:
    """The folder that measures: "test", or "val" where there is no test, or the one that is asked for."""
    names = MEASURING if asked == "auto" else (asked,)
    return next((name for name in names if (root / name).is_dir()), None)


def scan(data_root: Path, folder: str, asked: str) -> Tree:
    """The tree in a folder, its files' digests from the index where they are unchanged.

    DatasetMissing when there is none or it is empty; ValueError when a class is only in the test split.
    """
    root = find_root(data_root, folder)
    test = measuring_folder(root, asked)
    if test is None or not (root / "train").is_dir():
        absent = "train" if test else "test (or val)" if asked == "auto" else asked
        raise DatasetMissing(f"{NAME}: {root} has no folder {absent}{_nested_hint(root)}")
    splits = {"train": SplitFolder(), "test": SplitFolder()}
    splits["train"].look(root, "train")
    try:
        splits["test"].look(root, test)
        _check_classes(splits, root / test)
    except (DatasetMissing, ValueError) as error:
        raise type(error)(f"{error}{_other_hint(root, test, splits['train'])}") from None
    stamps = {p: s for split in splits.values() for paths in split.classes.values() for p, s in paths.items()}
    files = {
        name: tuple(p for _, paths in sorted(split.classes.items()) for p in paths) for name, split in splits.items()
    }
    digests = file_digests(index_of(root, test), root, stamps)
    warnings = (*(line for split in splits.values() for line in split.warnings), *_unused(root, test))
    return Tree(root, test, tuple(sorted(splits["train"].classes)), files, digests, warnings)


def _check_classes(splits: Mapping[str, SplitFolder], test: Path) -> None:
    unknown = sorted(splits["test"].classes.keys() - splits["train"].classes.keys())
    if unknown:
        raise ValueError(f"{NAME}: in {test}, but not in train: class {', '.join(map(shown, unknown))}")


def _unused(root: Path, test: str) -> Iterable[str]:
    """A line for each further split that is there."""
    for name in SPLITS:
        if name != test and (root / name).is_dir() and (pictures := pictures_below(root, name)):
            usable = f"; --set {NAME}.test={name} measures there" if name in MEASURING else ""
            yield f"{counted(pictures, 'picture')} in {name}: not read{usable}"


def _nested_hint(root: Path) -> str:
    """Where the tree may be instead: one level deeper, as archives unpack."""
    deeper = [e.name for e in root.iterdir() if (e / "train").is_dir() and measuring_folder(e)] if root.is_dir() else []
    return f"; {shown(deeper[0])} in it has: --set {NAME}.folder={shown(str(root / deeper[0]))}" if deeper else ""


def _other_hint(root: Path, test: str, train: SplitFolder) -> str:
    """That another folder holds labelled pictures, where the one that measures holds none."""
    other = root / ("val" if test == "test" else "test")
    labelled = other.is_dir() and {class_of(e.name) for e in other.iterdir() if e.is_dir()} & train.classes.keys()
    return f"; {other.name} has class folders: --set {NAME}.test={other.name} measures there" if labelled else ""


# -- the index of digests ---------------------------------------------------------------------------------------------


def index_path(tree: Tree) -> Path:
    return index_of(tree.root, tree.test)


def index_of(root: Path, test: str) -> Path:
    place = hashlib.sha256(os.fsencode(f"{root.resolve()}\0{test}")).hexdigest()
    return cache_folder(NAME) / f"index-{place[:32]}.json"


def file_digests(index: Path, root: Path, stamps: Mapping[str, Stamp]) -> dict[str, str]:
    """SHA-256 by path. A file is read again only when its stamp is another than in the index."""
    known = _known(index)
    digests = {path: known[path][1] for path, of in stamps.items() if path in known and known[path][0] == of}
    changed = [path for path in stamps if path not in digests]
    with ThreadPoolExecutor(THREADS) as pool:
        digests.update(zip(changed, pool.map(lambda path: file_digest(root / path), changed), strict=True))
    if changed or len(known) != len(stamps):
        with atomic(index) as file:
            file.write(json.dumps({path: [*of, digests[path]] for path, of in stamps.items()}).encode())
    return digests


def _known(index: Path) -> dict[str, tuple[Stamp, str]]:
    """Stamps and digests of the last time; nothing where the file is damaged."""
    try:
        return {
            str(path): ((int(size), int(content), int(inode_time), int(inode)), str(digest))
            for path, (size, content, inode_time, inode, digest) in dict(json.loads(index.read_text())).items()
        }
    except (OSError, ValueError, TypeError, RecursionError):
        return {}


def file_digest(path: Path) -> str:
    """ValueError for a file that cannot be read."""
    return hashlib.sha256(read(path)).hexdigest()


def read(path: Path) -> bytes:
    """ValueError for a file that cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{NAME}: {shown(str(path))} cannot be read: {error.strerror}") from None
