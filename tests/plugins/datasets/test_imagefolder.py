"""The image folder: what is found, decoded, remembered and refused."""

from __future__ import annotations

import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
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


def request(root: Path, folder: str = "imagefolder", size: int = 8, test: str = "auto") -> DataRequest:
    return DataRequest(root, parameters={"folder": folder, "size": size, "test": test})


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
    neutral = {"test": "auto", "classes": (), "per_class": 0}
    assert {p.name: p.default for p in spec.parameters} == {"folder": "imagefolder", "size": 32, **neutral}
    assert {p.name: p.neutral.value for p in spec.parameters if p.neutral} == neutral


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


def test_a_file_that_was_written_over_is_read_again(tree: Path) -> None:
    """In place, of the same size and time of its content: the cached pixels are not served for it."""
    file = tree / "train" / "dog" / "1.png"
    before, status, other = imagefolder.describe(request(tree.parent)), file.stat(), tree / "other.png"
    paint(other, (0, 0, 254))
    file.write_bytes(other.read_bytes())
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    now = file.stat()
    assert (now.st_size, now.st_mtime_ns, now.st_ino) == (status.st_size, status.st_mtime_ns, status.st_ino)
    assert imagefolder.describe(request(tree.parent)).identity != before.identity
    assert imagefolder.load(request(tree.parent)).splits["train"].images[2, :, 0, 0].tolist() == [0, 0, 254]


def test_labels_that_were_exchanged_are_read_again(tree: Path) -> None:
    before = imagefolder.describe(request(tree.parent)).identity
    cat, dog = tree / "train" / "cat", tree / "train" / "dog"
    (dog / "1.png").rename(tree / "aside.png")
    (cat / "1.png").rename(dog / "1.png")
    (tree / "aside.png").rename(cat / "1.png")
    assert imagefolder.describe(request(tree.parent)).identity != before
    loaded = imagefolder.load(request(tree.parent)).splits["train"]
    assert loaded.images[:, :, 0, 0].tolist() == [[0, 0, 255], [0, 255, 0], [255, 0, 0]]


def test_a_pack_with_other_pixels_than_its_identity_is_made_again(tree: Path, cache: Path) -> None:
    right = imagefolder.load(request(tree.parent)).splits["train"].images
    (pack,) = cache.glob("*.npz")
    with np.load(pack) as found:
        arrays = dict(found)
    for wrong in (255 - right, right[:2], right.astype(np.int16)):
        np.savez(pack, **{**arrays, "train": wrong})
        assert np.array_equal(imagefolder.load(request(tree.parent)).splits["train"].images, right)


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


def test_damaged_cache_is_made_again(tree: Path, cache: Path) -> None:
    first = imagefolder.load(request(tree.parent)).splits["train"].images
    (pack,) = cache.glob("*.npz")
    content = bytearray(pack.read_bytes())
    content[200] ^= 0xFF  # in the first array
    for damage in (bytes(content), bytes(content[:300]), b""):
        pack.write_bytes(damage)
        assert np.array_equal(imagefolder.load(request(tree.parent)).splits["train"].images, first)
    (index,) = cache.glob("index-*.json")
    path = "train/cat/1.png"
    for damage in ("{", "[]", "7", '"text"', f'{{"{path}": 1}}', f'{{"{path}": [1]}}', "[" * 100_000):
        index.write_text(damage)
        assert imagefolder.describe(request(tree.parent)).train_size == 3
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


def test_a_file_that_changes_between_looking_and_reading_is_named(tree: Path) -> None:
    found = imagefolder.tree_of(request(tree.parent))
    paint(tree / "train" / "dog" / "1.png", (9, 9, 9))
    with pytest.raises(ValueError, match=r"dog/1\.png changed after it was indexed; run again"):
        imagefolder.decode_split(found, "train", 8)


def test_a_decompression_bomb_is_named(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = tree / "train" / "dog" / "big.png"
    Image.new("1", (200, 200)).save(bomb)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    with pytest.raises(ValueError, match="is far too large") as error:
        imagefolder.describe(request(tree.parent))
    assert str(bomb) in one_line(error)
    assert "40000 pixels" in one_line(error)


def test_a_file_that_holds_no_picture_is_named_without_addresses(tree: Path) -> None:
    (tree / "test" / "dog" / "2.jpg").write_text("<html>404</html>")
    with pytest.raises(ValueError, match=r"2\.jpg is not a readable image: no format that Pillow knows") as error:
        imagefolder.describe(request(tree.parent))
    assert "0x" not in one_line(error)


def test_numbers_without_a_range_are_named(tree: Path) -> None:
    Image.fromarray(np.zeros((8, 8), dtype=np.float32)).save(tree / "train" / "cat" / "3.tif")
    with pytest.raises(ValueError, match=r"cat/3\.tif is not a readable image: it holds 32-bit floats"):
        imagefolder.describe(request(tree.parent))


# -- warnings ---------------------------------------------------------------------------------------------------------


def warnings_of(tree: Path, **parameters: Any) -> list[str]:
    return list(imagefolder.describe(request(tree.parent, **parameters)).warnings)


def test_nothing_is_said_of_a_sound_tree(tree: Path) -> None:
    assert warnings_of(tree) == []


def test_what_was_left_out_of_files_is_told_by_name_and_number(tree: Path) -> None:
    for number in range(4):
        deep = np.full((8, 8), 3000 * number + 999, dtype=np.uint16)
        Image.fromarray(deep).save(tree / "train" / "cat" / f"deep{number}.png")
    Image.new("RGBA", (8, 8), (7, 8, 9, 100)).save(tree / "test" / "dog" / "2.png")
    expected = [
        "4 files (train/cat/deep0.png, train/cat/deep1.png, train/cat/deep2.png, ...) of 16-bit grey, scaled from its "
        "whole range to 0..255",
        "1 file (test/dog/2.png) with transparent parts, read as if they were opaque",
    ]
    assert warnings_of(tree) == expected
    assert warnings_of(tree) == expected, "from the cache too"


def test_pictures_that_are_not_read_are_told(tree: Path) -> None:
    paint(tree / "train" / "cat" / "more" / "deep" / "1.png", (1, 1, 1))
    paint(tree / "train" / "cat" / "more" / "2.png", (2, 2, 2))
    paint(tree / "test" / "stray.png", (3, 3, 3))
    for name in ("1.heic", "2.HEIC", "3.npy", "none"):
        (tree / "train" / "dog" / name).write_bytes(b"something")
    (tree / "test" / "cat" / "lost.png").symlink_to(tree / "nowhere.png")
    (tree / "test" / "cat" / "labels.csv").write_text("1,2")
    assert warnings_of(tree) == [
        "2 pictures (train/cat/more/2.png, train/cat/more/deep/1.png) in folders below class folders: not read",
        "4 files (train/dog/1.heic, train/dog/2.HEIC, train/dog/3.npy, ...) not read for what they are or are called: "
        ".heic, .npy, no suffix",
        "1 picture (test/stray.png) in no class folder: not read",
        "1 file (test/cat/lost.png) not read for what they are or are called: .png",
    ]


def test_equal_pixels_in_train_and_test_are_told(tree: Path) -> None:
    paint(tree / "test" / "cat" / "copy.png", (255, 0, 0))
    paint(tree / "test" / "cat" / "other_packing.bmp", (0, 255, 0))
    told = "2 of 4 test images are in train too: test/cat/copy.png = train/cat/1.png, "
    assert warnings_of(tree) == [told + "test/cat/other_packing.bmp = train/cat/2.png"]


def test_one_picture_under_two_classes_is_told(tree: Path) -> None:
    shutil.copy(tree / "train" / "cat" / "1.png", tree / "train" / "dog" / "x.png")
    told = "1 image is there under more than one class (2 times in all): train/cat/1.png = train/dog/x.png"
    assert warnings_of(tree) == [told]


def test_a_class_without_test_images_is_told(tree: Path) -> None:
    shutil.rmtree(tree / "test" / "dog")
    assert warnings_of(tree) == ["1 of 2 classes without a test image: dog"]


def test_odd_names_are_told_without_control_characters(tree: Path) -> None:
    (tree / "train" / "cat" / "red\x1b[31m\n.heic").write_bytes(b"")
    (line,) = warnings_of(tree)
    assert r"train/cat/red\x1b[31m\n.heic" in line
    assert line.isprintable()


def test_names_that_are_no_text_are_read_and_told(tree: Path) -> None:
    folder = os.fsdecode(b"\xff")
    for split, shade in (("train", 1), ("test", 2)):
        paint(tree / split / folder / "1.png", (shade, 0, 0))
        paint(tree / split / folder / "2.png", (9, 0, 0))
    assert imagefolder.load(request(tree.parent)).classes == ("cat", "dog", folder)
    assert warnings_of(tree) == [r"1 of 4 test images are in train too: test/\udcff/2.png = train/\udcff/2.png"]


# -- which folders ----------------------------------------------------------------------------------------------------


def test_class_folders_one_level_deeper_are_refused(tree: Path) -> None:
    deeper = tree / "train" / "animals"
    paint(deeper / "emu" / "1.png", (0, 0, 0))
    paint(deeper / "yak" / "1.png", (0, 0, 0))
    with pytest.raises(DatasetMissing) as error:
        imagefolder.describe(request(tree.parent))
    expected = f"imagefolder: no images in {deeper} itself, but 2 in folders below it, as train/animals/emu/1.png"
    assert one_line(error) == expected


def test_a_tree_one_level_deeper_is_pointed_at(tree: Path) -> None:
    (tree / "unpacked").mkdir()
    for split in ("train", "test"):
        (tree / split).rename(tree / "unpacked" / split)
    with pytest.raises(DatasetMissing) as error:
        imagefolder.describe(request(tree.parent))
    hint = f"--set imagefolder.folder={tree / 'unpacked'}"
    assert one_line(error).endswith(hint)
    assert imagefolder.describe(request(tree.parent, folder=hint.partition("=")[2])).train_size == 3


@pytest.mark.parametrize("unlabelled", ["1.png", "images/1.png"])
def test_val_can_be_chosen_where_test_has_no_labels(tree: Path, unlabelled: str) -> None:
    labelled = imagefolder.describe(request(tree.parent))
    (tree / "test").rename(tree / "val")
    paint(tree / "test" / unlabelled, (5, 5, 5))
    with pytest.raises((DatasetMissing, ValueError)) as error:
        imagefolder.describe(request(tree.parent))
    assert one_line(error).endswith("; val has class folders: --set imagefolder.test=val measures there")
    described = imagefolder.describe(request(tree.parent, test="val"))
    assert replace(described, warnings=labelled.warnings) == labelled
    assert described.warnings == (f"1 picture (test/{unlabelled}) in test: not read; {HINT}test measures there",)
    assert imagefolder.load(request(tree.parent, test="val")).splits["test"].images.shape == (2, 3, 8, 8)


def test_test_and_val_are_two_sets(tree: Path) -> None:
    paint(tree / "val" / "cat" / "1.png", (70, 80, 90))
    by_choice = {choice: imagefolder.load(request(tree.parent, test=choice)) for choice in ("auto", "test", "val")}
    assert {choice: len(data.splits["test"].targets) for choice, data in by_choice.items()} == {
        "auto": 2,
        "test": 2,
        "val": 1,
    }
    assert by_choice["val"].names == {
        "train": ["train/cat/1.png", "train/cat/2.png", "train/dog/1.png"],
        "test": ["val/cat/1.png"],
    }


HINT = "--set imagefolder.test="


def test_a_split_that_is_not_used_is_told(tree: Path) -> None:
    for number in (1, 2):
        paint(tree / "val" / "cat" / f"{number}.png", (70, 80, 90 + number))
    paint(tree / "validation" / "1.png", (7, 8, 9))
    unused = "1 picture (validation/1.png) in validation: not read"
    val = f"2 pictures (val/cat/1.png, val/cat/2.png) in val: not read; {HINT}val measures there"
    assert warnings_of(tree) == warnings_of(tree, test="test") == [val, unused]
    *_, test = (line for line in warnings_of(tree, test="val") if "not read" in line and line != unused)
    assert re.fullmatch(rf"2 pictures \(test/.*\) in test: not read; {HINT}test measures there", test)


def test_a_choice_that_is_not_there_is_refused(tree: Path) -> None:
    with pytest.raises(DatasetMissing, match="has no folder val"):
        imagefolder.describe(request(tree.parent, test="val"))


COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


def test_one_name_in_two_unicode_forms_is_one_class(tree: Path) -> None:
    paint(tree / "train" / COMPOSED / "1.png", (1, 0, 0))
    paint(tree / "train" / DECOMPOSED / "2.png", (2, 0, 0))
    paint(tree / "test" / DECOMPOSED / "1.png", (3, 0, 0))
    data = imagefolder.load(request(tree.parent))
    assert data.classes == (COMPOSED, "cat", "dog")
    assert data.splits["train"].targets.tolist() == [0, 0, 1, 1, 2]
    assert sorted(data.splits["train"].images[:2, 0, 0, 0].tolist()) == [1, 2]
    assert data.splits["test"].targets.tolist() == [0, 1, 2]
    assert warnings_of(tree) == []
