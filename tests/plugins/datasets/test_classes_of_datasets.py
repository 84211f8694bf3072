"""Some of a dataset's classes and images: what is kept, in which order, and what identity says of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kdharness_plugins.datasets import cifar100_npz, imagefolder, torchvision_datasets
from kdharness_plugins.datasets._class_names import CIFAR10, CIFAR100
from kdharness_plugins.datasets._classes import PARAMETERS, Chosen
from PIL import Image

from kdharness.api import DataRequest, DatasetInfo, ImageDataset, Split, content_identity
from kdharness.errors import UserError
from kdharness.planning.neutral import key_part
from kdharness.planning.plan import Plan
from kdharness.testing import Lab

NAMES = ("ant", "bee", "cat", "dog")


def whole() -> ImageDataset:
    """Eight training images, two of each class in turn, and four test images; image n has the value n."""
    train = Split(np.arange(8, dtype=np.uint8).reshape(8, 1, 1, 1), np.arange(8) % 4)
    test = Split(np.arange(10, 14, dtype=np.uint8).reshape(4, 1, 1, 1), np.arange(4))
    return ImageDataset({"train": train, "test": test}, NAMES, (0.5,), (0.25,))


def kept(data: ImageDataset, split: str) -> list[tuple[int, int]]:
    """Value and label of each image."""
    found = data.splits[split]
    return list(zip(found.images.ravel().tolist(), found.targets.tolist(), strict=True))


def chosen(**parameters: Any) -> Chosen:
    return Chosen.of("toys", parameters, NAMES)


def test_classes_are_numbered_as_they_are_named() -> None:
    data = chosen(classes=("dog", "1")).cut(whole())
    assert data.classes == ("dog", "bee")
    assert kept(data, "train") == [(1, 1), (3, 0), (5, 1), (7, 0)]
    assert kept(data, "test") == [(11, 1), (13, 0)]
    assert (data.mean, data.std) == ((0.5,), (0.25,))


def test_the_first_training_images_of_each_class_are_kept_and_all_that_measure() -> None:
    data = chosen(per_class=1).cut(whole())
    assert kept(data, "train") == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert len(kept(data, "test")) == 4
    assert kept(chosen(classes=("cat", "ant"), per_class=1).cut(whole()), "train") == [(0, 1), (2, 0)]


def test_all_of_it_is_the_dataset_itself() -> None:
    data, info = whole(), DatasetInfo("content:1", 4, (1, 1, 1), 8)
    assert chosen().cut(data) is data
    assert chosen(classes=(), per_class=0).described(info) is info


def test_identity_says_which_classes_in_which_order() -> None:
    info = DatasetInfo("content:1", 4, (1, 1, 1), 8)
    found = chosen(classes=("dog", "bee")).described(info)
    assert (found.num_classes, found.train_size) == (2, 4)
    assert found.identity == "part:classes=3,1 per_class=all of content:1"
    assert chosen(classes=("3", "bee")).described(info).identity == found.identity
    assert chosen(classes=("bee", "dog")).described(info).identity != found.identity
    fewer = chosen(classes=("dog", "bee"), per_class=1).described(info)
    assert (fewer.identity, fewer.train_size) == ("part:classes=3,1 per_class=1 of content:1", 2)
    assert chosen(per_class=9).described(info).train_size == 8


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("dgo", "cat"), "toys: no class 'dgo'; did you mean 'dog'?"),
        (("4", "cat"), "toys: no class '4'; it has 4, numbered from 0: ant, bee, cat, dog"),
        (("cat", "2"), "toys: classes name 'cat' twice"),
        (("cat",), "toys: classes name 'cat' alone, and there is nothing to tell it from"),
    ],
)
def test_what_cannot_be_chosen(classes: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError) as error:
        chosen(classes=classes)
    assert str(error.value) == message


def test_of_many_classes_the_message_shows_some() -> None:
    with pytest.raises(ValueError, match=r"it has 100, numbered from 0: apple, .*, beaver, \.\.\.$"):
        Chosen.of("cifar100", {"classes": ("xyzzy", "apple")}, CIFAR100)


def test_parameters_are_read_from_text_and_numbers_and_neutral_when_not_given() -> None:
    classes, per_class = PARAMETERS
    assert classes.coerce("apple, bear,3") == ("apple", "bear", "3")
    assert classes.coerce([1, "bear"]) == ("1", "bear")
    assert per_class.coerce("50") == 50
    neutral = {p.name: p.canonical(p.coerce(text)) for p, text in ((classes, "[]"), (per_class, "0"))}
    assert key_part(neutral, PARAMETERS) == {}


def test_names_of_cifar() -> None:
    assert (len(CIFAR10), len(CIFAR100)) == (10, 100)
    assert list(CIFAR100) == sorted(CIFAR100)


# -- in the datasets --------------------------------------------------------------------------------------------------


@pytest.fixture
def npz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny cifar100.npz: of each class two training images and a test image."""
    generator = np.random.default_rng(0)
    arrays = {
        "classes": np.array(CIFAR100),
        "train_x": generator.integers(0, 256, (200, 32, 32, 3), dtype=np.uint8),
        "train_y": np.repeat(np.arange(100), 2),
        "test_x": generator.integers(0, 256, (100, 32, 32, 3), dtype=np.uint8),
        "test_y": np.arange(100),
    }
    np.savez(tmp_path / "cifar100.npz", **arrays)  # type: ignore[arg-type]
    splits = {s: Split(arrays[f"{s}_x"].transpose(0, 3, 1, 2), arrays[f"{s}_y"]) for s in ("train", "test")}
    monkeypatch.setattr(cifar100_npz, "IDENTITY", content_identity(splits))
    return tmp_path


def test_cifar100_npz(npz: Path) -> None:
    every = cifar100_npz.load(DataRequest(npz))
    request = DataRequest(npz, parameters={"classes": ("bear", "apple"), "per_class": 1})
    data = cifar100_npz.load(request)
    assert data.classes == ("bear", "apple")
    assert data.splits["train"].targets.tolist() == [1, 0]
    assert np.array_equal(data.splits["train"].images, every.splits["train"].images[[0, 6]])
    assert np.array_equal(data.splits["test"].images, every.splits["test"].images[[0, 3]])
    info = cifar100_npz.describe(request)
    assert (info.num_classes, info.train_size) == (2, 2)
    assert info.identity == f"part:classes=3,0 per_class=1 of {cifar100_npz.IDENTITY}"


def test_a_part_of_another_npz_is_refused(npz: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar100_npz, "IDENTITY", "content:0")
    with pytest.raises(ValueError, match=r"cifar100\.npz holds other images than CIFAR-100 sorted by class"):
        cifar100_npz.load(DataRequest(npz, parameters={"per_class": 1}))


def test_torchvision_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDHARNESS_CACHE", str(tmp_path / "cache"))
    (cifar10,) = [source for source in torchvision_datasets.SOURCES if source.name == "cifar10"]
    parts = {True: whole().splits["train"], False: whole().splits["test"]}
    monkeypatch.setattr(torchvision_datasets, "is_present", lambda source, root: True)
    monkeypatch.setattr(torchvision_datasets, "read", lambda source, root, train: (parts[train], CIFAR10))
    source = dataclasses.replace(cifar10, train_size=8, test_size=4, mean=(0.5,), std=(0.5,))
    data = torchvision_datasets.load(DataRequest(tmp_path, parameters={"classes": ("cat", "bird")}), source)
    assert data.classes == ("cat", "bird")
    assert kept(data, "train") == [(2, 1), (3, 0), (6, 1), (7, 0)]
    info = torchvision_datasets.describe(DataRequest(tmp_path, parameters={"classes": ("cat", "bird")}), cifar10)
    assert (info.num_classes, info.train_size) == (2, 10_000)
    assert info.identity == f"part:classes=3,2 per_class=all of md5:{cifar10.md5[0]}"


def test_only_datasets_of_equal_classes_have_the_parameters() -> None:
    having = {spec.name for spec in torchvision_datasets.kdharness_datasets() if spec.parameters}
    assert having == {"cifar10", "cifar100"}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three classes of three training images and a test image."""
    monkeypatch.setenv("KDHARNESS_CACHE", str(tmp_path / "cache"))
    for number, name in enumerate(("ant", "bee", "cat")):
        for count in range(4):
            split = "train" if count < 3 else "test"
            path = tmp_path / "data" / "imagefolder" / split / name / f"{count}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4), (10 * number, count, 0)).save(path)
    return tmp_path / "data"


def folder(root: Path, **parameters: Any) -> DataRequest:
    return DataRequest(root, parameters={"folder": "imagefolder", "size": 4, "test": "auto", **parameters})


def test_imagefolder_is_as_if_nothing_else_were_there(tree: Path) -> None:
    request = folder(tree, classes=("cat", "ant"), per_class=2)
    info, data = imagefolder.describe(request), imagefolder.load(request)
    assert (info.num_classes, info.train_size, data.classes) == (2, 4, ("cat", "ant"))
    assert info.identity == content_identity(data.splits) != imagefolder.describe(folder(tree)).identity
    assert data.splits["train"].images[:, :2, 0, 0].tolist() == [[20, 0], [20, 1], [0, 0], [0, 1]]
    assert data.splits["train"].targets.tolist() == [0, 0, 1, 1]
    assert data.splits["test"].targets.tolist() == [0, 1]
    other = imagefolder.describe(folder(tree, classes=("ant", "cat"), per_class=2))
    assert other.identity != info.identity


def test_a_part_of_a_folder_that_measures_nothing(tree: Path) -> None:
    for name in ("ant", "bee"):
        (tree / "imagefolder" / "test" / name / "3.png").unlink()
        (tree / "imagefolder" / "test" / name).rmdir()
    with pytest.raises(ValueError, match=r"test holds no image of the classes that are asked for"):
        imagefolder.describe(folder(tree, classes=("ant", "bee")))


def test_in_a_plan(npz: Path, lab: Lab) -> None:
    def plan(*settings: str) -> Plan:
        selection = {"datasets": ("cifar100_npz",), "scenarios": ("clean",), "methods": ("vanilla",), "data_root": npz}
        return lab.plan(**selection, settings=settings)

    (plain,), (none,) = (plan(*settings).cells for settings in ((), ("cifar100_npz.classes=[]",)))
    assert plain.cell.key == none.cell.key
    assert plain.cell.document["dataset"]["parameters"] == {}
    found = plan("cifar100_npz.classes=bear, apple", "cifar100_npz.per_class=1")
    (cell,) = found.cells
    assert cell.cell.document["dataset"]["parameters"] == {"classes": ["bear", "apple"], "per_class": 1}
    with pytest.raises(UserError, match=r"^dataset 'cifar100_npz': no class 'aple'; did you mean 'apple'\?$"):
        plan("cifar100_npz.classes=aple,bear")
