"""The image folder: what is found, decoded, remembered and refused."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kdharness_plugins.datasets import imagefolder
from PIL import Image

from kdharness.api import Augmentation, DataRequest, DatasetMissing, content_identity


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KDHARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "imagefolder"


def paint(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (8, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two classes; three training and two test images of 8x8."""
    root = tmp_path / "data" / "imagefolder"
    paint(root / "train" / "cat" / "1.png", (255, 0, 0))
    paint(root / "train" / "cat" / "2.png", (0, 255, 0))
    paint(root / "train" / "dog" / "1.png", (0, 0, 255))
    paint(root / "test" / "cat" / "1.png", (10, 20, 30))
    paint(root / "test" / "dog" / "1.PNG", (40, 50, 60))
    (root / "train" / "cat" / "notes.txt").write_text("no image")
    (root / "train" / ".hidden").mkdir()
    return root


def request(root: Path, folder: str = "imagefolder", size: int = 8) -> DataRequest:
    return DataRequest(root, parameters={"folder": folder, "size": size})


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files whose bytes were read."""
    found: list[str] = []
    plain = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        found.append(path.name)
        return plain(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    return found


def test_load(tree: Path) -> None:
    data = imagefolder.load(request(tree.parent))
    assert data.classes == ("cat", "dog")
    train, test = data.splits["train"], data.splits["test"]
    assert train.targets.tolist() == [0, 0, 1]
    assert train.images.shape == (3, 3, 8, 8)
    assert train.images[:, :, 3, 3].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert test.images[:, :, 0, 0].tolist() == [[10, 20, 30], [40, 50, 60]]
    assert data.mean == (0.3333, 0.3333, 0.3333)
    assert data.std == (0.4714, 0.4714, 0.4714)
    assert data.augmentation == Augmentation(crop_padding=1, flip=True)


def test_describe(tree: Path) -> None:
    info = imagefolder.describe(request(tree.parent))
    assert (info.num_classes, info.input_shape, info.train_size) == (2, (3, 8, 8), 3)
    assert info.identity == content_identity(imagefolder.load(request(tree.parent)).splits)


def test_spec_says_that_the_folder_is_local() -> None:
    (spec,) = imagefolder.kdharness_datasets()
    assert spec.local_parameters == ("folder",)
    assert {p.name: p.default for p in spec.parameters} == {"folder": "imagefolder", "size": 32}


def test_identity_is_of_content_not_of_place(tree: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(tree, elsewhere)
    (elsewhere / "test").rename(elsewhere / "val")
    here = imagefolder.describe(request(tree.parent)).identity
    assert imagefolder.describe(request(tmp_path, folder=str(elsewhere))).identity == here
    assert imagefolder.describe(request(elsewhere)).identity == here, "the data folder is the tree itself"
    assert imagefolder.describe(request(tree.parent, size=4)).identity != here


def test_unchanged_files_are_not_read_again(tree: Path, reads: list[str]) -> None:
    first = imagefolder.describe(request(tree.parent))
    assert len(reads) == 10, "once for their digests, once for their pixels"
    reads.clear()
    assert imagefolder.describe(request(tree.parent)) == first
    assert reads == []
    imagefolder.load(request(tree.parent))
    assert reads == [], "the pixels are in the cache"


def test_a_file_that_was_exchanged_is_read_again(tree: Path) -> None:
    """Of the same size and time, but another inode."""
    before = imagefolder.describe(request(tree.parent)).identity
    file, other = tree / "train" / "dog" / "1.png", tree / "other.png"
    paint(other, (0, 0, 254))
    status = file.stat()
    assert other.stat().st_size == status.st_size, "choose a colour that packs as well"
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.rename(file)
    assert imagefolder.describe(request(tree.parent)).identity != before


def test_changed_content_changes_the_identity(tree: Path, reads: list[str]) -> None:
    before = imagefolder.describe(request(tree.parent)).identity
    reads.clear()
    changed = tree / "train" / "dog" / "1.png"
    paint(changed, (1, 2, 3))
    os.utime(changed, ns=(1, 1))  # the size is the same: the time alone tells
    after = imagefolder.describe(request(tree.parent)).identity
    assert after != before
    assert reads[0] == "1.png", "of the five, one has to be looked at"
    assert len(reads) == 1 + 5
    assert imagefolder.load(request(tree.parent)).splits["train"].images[2, :, 0, 0].tolist() == [1, 2, 3]


def test_what_changes_the_images_or_their_order_changes_the_identity(tree: Path) -> None:
    whole = imagefolder.describe(request(tree.parent)).identity
    (tree / "train" / "cat" / "2.png").rename(tree / "train" / "cat" / "3.png")
    assert imagefolder.describe(request(tree.parent)).identity == whole, "the same images in the same order"
    (tree / "train" / "cat" / "3.png").rename(tree / "train" / "cat" / "0.png")
    reordered = imagefolder.describe(request(tree.parent)).identity
    (tree / "train" / "cat" / "0.png").unlink()
    assert len({whole, reordered, imagefolder.describe(request(tree.parent)).identity}) == 3


def test_how_images_are_packed_is_not_in_the_identity(tree: Path) -> None:
    before = imagefolder.describe(request(tree.parent)).identity
    file = tree / "train" / "dog" / "1.png"
    file.unlink()
    paint(file.with_suffix(".bmp"), (0, 0, 255))
    assert imagefolder.describe(request(tree.parent)).identity == before


def test_shorter_side_is_resized_and_the_centre_cut(tmp_path: Path) -> None:
    pixels = np.zeros((8, 16, 3), dtype=np.uint8)
    pixels[:, 4:12] = 200  # the centre, which a square crop keeps
    path = tmp_path / "wide.png"
    Image.fromarray(pixels).save(path)
    found = imagefolder.decode(path.read_bytes(), 8)
    assert found.shape == (3, 8, 8)
    assert (found == 200).all()
    assert imagefolder.decode(path.read_bytes(), 4).shape == (3, 4, 4)
    assert imagefolder.decode(path.read_bytes(), 5).shape == (3, 5, 5)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1"])
def test_other_colour_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "image.png"
    Image.new("RGB", (8, 8), (255, 255, 255)).convert(mode).save(path)
    assert (imagefolder.decode(path.read_bytes(), 8) == 255).all()


def test_damaged_cache_is_made_again(tree: Path, cache: Path) -> None:
    first = imagefolder.load(request(tree.parent)).splits["train"].images
    (pack,) = cache.glob("*.npz")
    content = bytearray(pack.read_bytes())
    content[200] ^= 0xFF  # in the first array
    for damage in (bytes(content), bytes(content[:300]), b""):
        pack.write_bytes(damage)
        assert np.array_equal(imagefolder.load(request(tree.parent)).splits["train"].images, first)
    for index in cache.glob("index-*.json"):
        index.write_text("{")
    assert np.array_equal(imagefolder.load(request(tree.parent)).splits["train"].images, first)


def test_concurrent_loads_leave_one_file(tree: Path, cache: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        loads = list(pool.map(lambda _: imagefolder.load(request(tree.parent)), range(4)))
    assert all(np.array_equal(d.splits["test"].images, loads[0].splits["test"].images) for d in loads)
    assert len(list(cache.glob("*.npz"))) == 1
    assert not list(cache.glob("*.tmp"))


# -- errors -----------------------------------------------------------------------------------------------------------


def one_line(error: pytest.ExceptionInfo[Any]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("call", [imagefolder.describe, imagefolder.load])
def test_missing_folder(tmp_path: Path, call: Any) -> None:
    with pytest.raises(DatasetMissing) as error:
        call(request(tmp_path))
    assert f"no folder {tmp_path / 'imagefolder'}" in one_line(error)
    assert "--data" in one_line(error)


@pytest.mark.parametrize(("removed", "said"), [("train", "no folder train"), ("test", r"no folder test \(or val\)")])
def test_missing_split(tree: Path, removed: str, said: str) -> None:
    shutil.rmtree(tree / removed)
    with pytest.raises(DatasetMissing, match=said) as error:
        imagefolder.describe(request(tree.parent))
    assert str(tree) in one_line(error)


def test_empty_class_folder(tree: Path) -> None:
    (tree / "train" / "emu").mkdir()
    with pytest.raises(DatasetMissing) as error:
        imagefolder.describe(request(tree.parent))
    assert one_line(error) == f"imagefolder: no images in {tree / 'train' / 'emu'}"


def test_empty_split(tree: Path) -> None:
    shutil.rmtree(tree / "test")
    (tree / "test").mkdir()
    with pytest.raises(DatasetMissing) as error:
        imagefolder.describe(request(tree.parent))
    assert one_line(error) == f"imagefolder: no class folders in {tree / 'test'}"


def test_class_only_in_test(tree: Path) -> None:
    paint(tree / "test" / "emu" / "1.png", (0, 0, 0))
    with pytest.raises(ValueError, match="not in train: class emu") as error:
        imagefolder.describe(request(tree.parent))
    assert str(tree / "test") in one_line(error)


def test_size_must_be_positive(tree: Path) -> None:
    with pytest.raises(ValueError, match="size 0 is not a number of pixels"):
        imagefolder.describe(request(tree.parent, size=0))


@pytest.mark.parametrize("keep", [0, 10, 50])
def test_corrupt_image_is_named(tree: Path, cache: Path, keep: int) -> None:
    broken = tree / "train" / "dog" / "1.png"
    broken.write_bytes(broken.read_bytes()[:keep])
    for call in (imagefolder.describe, imagefolder.load):
        with pytest.raises(ValueError, match="is not a readable image") as error:
            call(request(tree.parent))
    assert str(broken) in one_line(error)
    assert not list(cache.glob("*.npz"))
    assert not list(cache.glob("*.tmp"))


def test_change_that_the_index_cannot_see_is_noticed(tree: Path, cache: Path) -> None:
    imagefolder.describe(request(tree.parent))
    for pack in cache.glob("*.npz"):
        pack.unlink()
    file = tree / "train" / "dog" / "1.png"
    status = file.stat()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(ValueError, match="changed after it was indexed; run again"):
        imagefolder.load(request(tree.parent))
    imagefolder.load(request(tree.parent))
