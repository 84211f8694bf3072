"""torchvision's data sets, on tiny files in the true formats."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from kdharness_plugins.datasets import torchvision_datasets as plugin
from torchvision import datasets

from kdharness.api import DataRequest, DatasetMissing


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KDHARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "torchvision"


SOURCES = {source.name: source for source in plugin.SOURCES}
RANDOM = np.random.default_rng(0)


def small(name: str, train_size: int, test_size: int = 2) -> plugin.Source:
    return dataclasses.replace(SOURCES[name], train_size=train_size, test_size=test_size)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def random_images(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


# -- writers of the true formats --------------------------------------------------------------------------------------


def write_cifar(
    root: Path, kind: Any, labels: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> dict[str, np.ndarray]:
    """Batches as rows of 3072 bytes, red plane first; the class's checksum lists are made to fit. Rows by file."""
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    rows = {}
    lists: dict[str, list[list[str]]] = {"train_list": [], "test_list": []}
    for which, entries in lists.items():
        for file, _ in getattr(kind, which):
            rows[file] = random_images(count, 3072)
            content = {"data": rows[file], labels: [i % 10 for i in range(count)]}
            (folder / file).write_bytes(pickle.dumps(content, protocol=2))
            entries.append([file, md5(folder / file)])
        monkeypatch.setattr(kind, which, entries)
    names = [f"class{i}" for i in range(10)]
    meta = folder / kind.meta["filename"]
    meta.write_bytes(pickle.dumps({kind.meta["key"]: names}, protocol=2))
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": md5(meta)})
    return rows


def write_idx(path: Path, array: np.ndarray) -> None:
    """The format of MNIST: zero, zero, 8 for unsigned byte, number of dimensions, the dimensions, the bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.tobytes())


def write_mnist(root: Path, kind: str, train_size: int = 4) -> np.ndarray:
    folder = root / kind / "raw"
    images = random_images(train_size, 28, 28)
    write_idx(folder / "train-images-idx3-ubyte", images)
    write_idx(folder / "train-labels-idx1-ubyte", np.arange(train_size, dtype=np.uint8))
    write_idx(folder / "t10k-images-idx3-ubyte", random_images(2, 28, 28))
    write_idx(folder / "t10k-labels-idx1-ubyte", np.array([7, 8], dtype=np.uint8))
    return images


# -- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "labels"), [("cifar10", "labels"), ("cifar100", "fine_labels")])
def test_cifar(name: str, labels: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = getattr(datasets, SOURCES[name].kind)
    rows = write_cifar(tmp_path, kind, labels, 3, monkeypatch)
    train_files = [file for file, _ in kind.train_list]
    data = plugin.load(DataRequest(tmp_path), small(name, 3 * len(train_files), 3))
    expected = np.concatenate([rows[file] for file in train_files]).reshape(-1, 3, 32, 32)
    assert np.array_equal(data.splits["train"].images, expected)
    assert data.splits["train"].images.flags.c_contiguous
    assert data.splits["train"].targets.tolist() == [0, 1, 2] * len(train_files)
    assert data.splits["test"].images.shape == (3, 3, 32, 32)
    assert data.classes == tuple(f"class{i}" for i in range(10))
    assert (data.augmentation.crop_padding, data.augmentation.flip) == (4, True)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_mnist(name: str, tmp_path: Path) -> None:
    images = write_mnist(tmp_path, SOURCES[name].kind)
    data = plugin.load(DataRequest(tmp_path), small(name, 4))
    assert np.array_equal(data.splits["train"].images[:, 0], images)
    assert data.splits["train"].targets.tolist() == [0, 1, 2, 3]
    assert data.splits["test"].targets.tolist() == [7, 8]
    assert len(data.classes) == 10
    assert (data.augmentation.crop_padding, data.augmentation.flip) == (2, name == "fashion_mnist")


def test_svhn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = {split: random_images(32, 32, 3, 3) for split in ("train", "test")}
    lists = {}
    for split, array in images.items():
        path = tmp_path / f"{split}_32x32.mat"
        scipy.io.savemat(path, {"X": array, "y": np.array([[10], [1], [9]], dtype=np.uint8)})
        lists[split] = ["", path.name, md5(path)]
    monkeypatch.setattr(datasets.SVHN, "split_list", lists)
    data = plugin.load(DataRequest(tmp_path), small("svhn", 3, 3))
    assert np.array_equal(data.splits["train"].images, images["train"].transpose(3, 2, 0, 1))
    assert data.splits["train"].targets.tolist() == [0, 1, 9], "the digit 0 is stored as 10"
    assert data.classes == tuple("0123456789")
    assert (data.augmentation.crop_padding, data.augmentation.flip) == (4, False)


# -- identity ---------------------------------------------------------------------------------------------------------


def test_checksums_are_those_of_torchvision() -> None:
    for name, source in SOURCES.items():
        kind = getattr(datasets, source.kind)
        if name.startswith("cifar"):
            assert source.md5 == (kind.tgz_md5,)
            assert source.folder == kind.base_folder
            listed = [file for file, _ in kind.train_list + kind.test_list]
            assert sorted(source.files) == sorted([*listed, kind.meta["filename"]])
        elif name == "svhn":
            assert source.md5 == (kind.split_list["train"][2], kind.split_list["test"][2])
            assert source.files == (kind.split_list["train"][1], kind.split_list["test"][1])
        else:
            assert dict(zip(source.archives, source.md5, strict=True)) == dict(kind.resources)


@pytest.mark.parametrize("name", SOURCES)
def test_describe_looks_only_at_names(name: str, tmp_path: Path) -> None:
    source = SOURCES[name]
    for file in source.files:
        path = tmp_path / source.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    info = plugin.describe(DataRequest(tmp_path), source)
    assert info.identity == "md5:" + "+".join(source.md5)
    assert (info.num_classes, info.input_shape, info.train_size) == (
        source.num_classes,
        source.input_shape,
        source.train_size,
    )
    assert len(source.mean) == len(source.std) == source.input_shape[0]


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("call", [plugin.describe, plugin.load])
def test_missing_says_where_and_what_to_do(name: str, call: Any, tmp_path: Path) -> None:
    with pytest.raises(DatasetMissing) as error:
        call(DataRequest(tmp_path), SOURCES[name])
    message = str(error.value)
    assert message.startswith(f"{name}: ")
    assert str(tmp_path) in message
    assert "--download" in message
    assert "--data" in message
    assert "\n" not in message


def test_allowed_download_is_not_missing_when_planned(tmp_path: Path) -> None:
    assert plugin.describe(DataRequest(tmp_path, download=True), SOURCES["mnist"]).train_size == 60_000
    assert not list(tmp_path.iterdir())


def test_download_is_asked_for_only_when_files_are_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.MNIST, "download", lambda self: write_mnist(Path(self.root), "MNIST"))
    monkeypatch.setattr(datasets.FashionMNIST, "download", lambda self: pytest.fail("called"))
    plugin.load(DataRequest(tmp_path / "new", download=True), small("mnist", 4))
    write_mnist(tmp_path, "FashionMNIST")
    plugin.load(DataRequest(tmp_path, download=True), small("fashion_mnist", 4))


def test_failed_download_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(self: Any) -> None:
        print("Downloading")
        raise OSError("no route to host")

    monkeypatch.setattr(datasets.MNIST, "download", unreachable)
    with pytest.raises(DatasetMissing, match=r"mnist: the download into .* failed: no route to host"):
        plugin.load(DataRequest(tmp_path, download=True), SOURCES["mnist"])


def test_corrupt_cifar_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(tmp_path, datasets.CIFAR10, "labels", 1, monkeypatch)
    (tmp_path / "cifar-10-batches-py" / "data_batch_3").write_bytes(b"other")
    with pytest.raises(ValueError, match=r"cifar10: the files in .*cifar-10-batches-py are corrupt"):
        plugin.load(DataRequest(tmp_path), small("cifar10", 5))


def test_corrupt_mnist_is_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path, "MNIST")
    images = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"mnist: the files in .* are corrupt"):
        plugin.load(DataRequest(tmp_path), small("mnist", 4))


def test_mnist_archive_with_another_checksum_is_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path, "MNIST")
    archive = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"
    archive.write_bytes(gzip.compress(b"other"))
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte\.gz is corrupt"):
        plugin.load(DataRequest(tmp_path), small("mnist", 4))


def test_other_images_than_the_first_time_are_refused(tmp_path: Path, cache: Path) -> None:
    """MNIST's unpacked files have no published checksum."""
    images = write_mnist(tmp_path / "first", "MNIST")
    plugin.load(DataRequest(tmp_path / "first"), small("mnist", 4))
    plugin.load(DataRequest(tmp_path / "first"), small("mnist", 4))
    write_mnist(tmp_path / "second", "MNIST")
    with pytest.raises(
        ValueError, match=r"mnist: .*second.* holds other images or labels than when it was first loaded"
    ) as error:
        plugin.load(DataRequest(tmp_path / "second"), small("mnist", 4))
    assert "\n" not in str(error.value)
    (known,) = cache.glob("*")
    assert str(known) in str(error.value)
    known.unlink()
    loaded = plugin.load(DataRequest(tmp_path / "second"), small("mnist", 4))
    assert not np.array_equal(loaded.splits["train"].images[:, 0], images)


def test_images_under_other_labels_are_refused(tmp_path: Path) -> None:
    """Of the unpacked files nobody publishes a checksum."""
    write_mnist(tmp_path, "MNIST")
    plugin.load(DataRequest(tmp_path), small("mnist", 4))
    labels = tmp_path / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    write_idx(labels, np.arange(4, dtype=np.uint8)[::-1].copy())
    with pytest.raises(ValueError, match="holds other images or labels than when it was first loaded"):
        plugin.load(DataRequest(tmp_path), small("mnist", 4))


def test_wrong_number_of_images_is_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path, "MNIST")
    with pytest.raises(ValueError, match="mnist: 4 training images, expected 60000"):
        plugin.load(DataRequest(tmp_path), SOURCES["mnist"])
    with pytest.raises(ValueError, match="mnist: 2 test images, expected 3"):
        plugin.load(DataRequest(tmp_path), small("mnist", 4, 3))


def test_labels_that_are_no_class_are_refused(tmp_path: Path, cache: Path) -> None:
    write_mnist(tmp_path, "MNIST")
    write_idx(tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte", np.array([7, 200], dtype=np.uint8))
    with pytest.raises(ValueError, match=r"1 labels of 'test' are outside 0\.\.9, the first of them 200 of image 1"):
        plugin.load(DataRequest(tmp_path), small("mnist", 4))
    assert not list(cache.glob("*")), "nothing wrong is remembered as the first time"


def test_nothing_is_printed_to_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fetch(self: Any) -> None:
        print("Downloading")
        write_mnist(Path(self.root), "MNIST")

    monkeypatch.setattr(datasets.MNIST, "download", fetch)
    plugin.load(DataRequest(tmp_path, download=True), small("mnist", 4))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Downloading" in captured.err


# -- published constants ----------------------------------------------------------------------------------------------

# By channel, of the training split, in units of pixel value / 255; those of MNIST and Fashion-MNIST too.
STATISTICS = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    "mnist": ((0.1307,), (0.3081,)),
    "fashion_mnist": ((0.2860,), (0.3530,)),
    "svhn": ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
}
# Classes, shape of an image, training and test images, zeros on each side before a crop, whether images are mirrored.
FACTS = {
    "cifar10": (10, (3, 32, 32), 50_000, 10_000, 4, True),
    "cifar100": (100, (3, 32, 32), 50_000, 10_000, 4, True),
    "mnist": (10, (1, 28, 28), 60_000, 10_000, 2, False),
    "fashion_mnist": (10, (1, 28, 28), 60_000, 10_000, 2, True),
    "svhn": (10, (3, 32, 32), 73_257, 26_032, 4, False),
}


@pytest.mark.parametrize("name", SOURCES)
def test_constants_are_the_published_ones(name: str) -> None:
    source = SOURCES[name]
    augmentation = source.augmentation
    assert (source.mean, source.std) == STATISTICS[name]
    assert FACTS[name] == (
        source.num_classes, source.input_shape, source.train_size, source.test_size,
        augmentation.crop_padding, augmentation.flip,
    )  # fmt: skip


def test_constants_go_with_the_images(tmp_path: Path) -> None:
    write_mnist(tmp_path, "MNIST")
    data = plugin.load(DataRequest(tmp_path), small("mnist", 4))
    assert (data.mean, data.std, data.augmentation) == ((0.1307,), (0.3081,), SOURCES["mnist"].augmentation)
