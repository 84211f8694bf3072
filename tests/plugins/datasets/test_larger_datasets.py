"""stl10, tiny_imagenet and imagenet: parsed from tiny files in their true form, or a reason why not."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from kdharness_plugins.datasets import imagenet, stl10, tiny_imagenet
from PIL import Image

from kdharness.api import Augmentation, DataRequest, DatasetMissing

WNIDS = ("n02", "n01", "n03")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDHARNESS_CACHE", str(tmp_path / "cache"))


# -- stl10 -------------------------------------------------------------------------------------------------------------


def write_stl10(root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Four training and two test images, and their checksums in place of the published ones."""
    generator = np.random.default_rng(0)
    images = {
        name: generator.integers(0, 256, (n, 3, 96, 96), dtype=np.uint8) for name, n in (("train", 4), ("test", 2))
    }
    labels = {"train": [1, 10, 3, 3], "test": [2, 9]}
    (root / "stl10_binary").mkdir()
    for name, each in images.items():
        (root / "stl10_binary" / f"{name}_X.bin").write_bytes(each.transpose(0, 1, 3, 2).tobytes())
        (root / "stl10_binary" / f"{name}_y.bin").write_bytes(bytes(labels[name]))
    digests = {file: hashlib.md5((root / "stl10_binary" / file).read_bytes()).hexdigest() for file in stl10.MD5}
    monkeypatch.setattr(stl10, "MD5", digests)
    return images


def test_stl10_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = write_stl10(tmp_path, monkeypatch)
    data = stl10.load(DataRequest(tmp_path))
    assert np.array_equal(data.splits["train"].images, images["train"])
    assert np.array_equal(data.splits["test"].images, images["test"])
    assert data.splits["train"].targets.tolist() == [0, 9, 2, 2]
    assert data.splits["test"].targets.tolist() == [1, 8]
    assert data.classes[2] == "car"
    assert data.mean == pytest.approx((images["train"] / 255).mean((0, 2, 3)), abs=1e-4)
    assert data.std == pytest.approx((images["train"] / 255).std((0, 2, 3)), abs=1e-4)
    assert data.augmentation == Augmentation(crop_padding=12, flip=True)
    info = stl10.describe(DataRequest(tmp_path))
    assert (info.num_classes, info.input_shape, info.train_size) == (10, (3, 96, 96), 5000)


def test_a_first_pixel_row_of_stl10_is_a_column_of_the_file() -> None:
    one = np.zeros((3, 96, 96), dtype=np.uint8)
    content = bytearray(one.tobytes())
    content[1] = 7  # the second byte: one pixel down
    assert stl10.images_of(bytes(content))[0, 0, 1, 0] == 7


@pytest.mark.parametrize(
    "call", [lambda: stl10.images_of(b"abc"), lambda: stl10.labels_of(bytes([0])), lambda: stl10.labels_of(bytes([11]))]
)
def test_other_bytes_are_no_stl10(call) -> None:
    with pytest.raises(ValueError, match=r"no whole images|outside 1 to 10"):
        call()


def test_a_corrupt_file_of_stl10_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_stl10(tmp_path, monkeypatch)
    (tmp_path / "stl10_binary" / "test_y.bin").write_bytes(bytes([1, 1]))
    with pytest.raises(ValueError, match=r"stl10: .*test_y\.bin is corrupt"):
        stl10.load(DataRequest(tmp_path))


# -- tiny_imagenet -----------------------------------------------------------------------------------------------------


def write_tiny(root: Path) -> None:
    """Three classes, two training images each, one of them grey, and two validation images."""
    tree = root / "tiny-imagenet-200"
    for number, wnid in enumerate(WNIDS):
        folder = tree / "train" / wnid / "images"
        folder.mkdir(parents=True)
        for k in range(2):
            grey = number == 0 and k == 1
            picture = Image.new("L" if grey else "RGB", (64, 64), 40 if grey else (60 * number, 0, 100 * k))
            picture.save(folder / f"{wnid}_{k}.JPEG", quality=95)
    (tree / "val" / "images").mkdir(parents=True)
    for k, wnid in enumerate(("n03", "n01")):
        Image.new("RGB", (64, 64), (0, 200, 50 * k)).save(tree / "val" / "images" / f"val_{k}.JPEG", quality=95)
        with (tree / "val" / "val_annotations.txt").open("a") as file:
            file.write(f"val_{k}.JPEG\t{wnid}\t0\t0\t62\t62\n")
    (tree / "wnids.txt").write_text("\n".join(WNIDS) + "\n")
    (tree / "words.txt").write_text("n01\tgoldfish, fish\nn02\tsalamander\nn99\tother\n")


@pytest.mark.parametrize("below", ["", "tiny-imagenet-200"])
def test_tiny_imagenet_is_read(tmp_path: Path, below: str) -> None:
    write_tiny(tmp_path)
    data = tiny_imagenet.load(DataRequest(tmp_path / below))
    assert data.classes == ("goldfish, fish", "salamander", "n03")
    assert data.splits["train"].targets.tolist() == [0, 0, 1, 1, 2, 2]
    assert data.splits["test"].targets.tolist() == [2, 0]
    # n01 is the second of WNIDS, so its red is 60; JPEG rounds.
    assert data.splits["train"].images[0, :, 5, 5].tolist() == pytest.approx([60, 0, 0], abs=4)
    assert data.splits["train"].images[3, :, 5, 5].tolist() == pytest.approx([40, 40, 40], abs=4)
    assert data.splits["test"].images.shape == (2, 3, 64, 64)
    assert data.augmentation == Augmentation(crop_padding=8, flip=True)
    info = tiny_imagenet.describe(DataRequest(tmp_path / below))
    assert (info.num_classes, info.input_shape, info.train_size) == (3, (3, 64, 64), 6)


def test_other_labels_are_another_identity(tmp_path: Path) -> None:
    write_tiny(tmp_path)
    before = tiny_imagenet.describe(DataRequest(tmp_path)).identity
    assert tiny_imagenet.describe(DataRequest(tmp_path)).identity == before
    path = tmp_path / "tiny-imagenet-200" / "val" / "val_annotations.txt"
    path.write_text(path.read_text().replace("n03", "n02"))
    assert tiny_imagenet.describe(DataRequest(tmp_path)).identity != before
    assert tiny_imagenet.load(DataRequest(tmp_path)).splits["test"].targets.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("n03", "n07"), "has the class n07, which wnids.txt has not"),
        (("val_1.JPEG", "val_8.JPEG"), r"val_8\.JPEG is not there or is empty"),
        (("val_0.JPEG\tn03", "val_0.JPEG n03"), "line 1: no class behind"),
    ],
)
def test_a_mistake_in_annotations_is_one_line(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    write_tiny(tmp_path)
    path = tmp_path / "tiny-imagenet-200" / "val" / "val_annotations.txt"
    path.write_text(path.read_text().split("\t0\t0")[0] + "\n" + path.read_text().splitlines()[1].split("\t0\t0")[0])
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(ValueError, match=message):
        tiny_imagenet.describe(DataRequest(tmp_path))


# -- where they are not --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (stl10, r"stl10: no train_X\.bin in .*; pass --download"),
        (tiny_imagenet, r"tiny_imagenet: no tiny-imagenet-200/wnids\.txt in .*; pass --download"),
        (imagenet, "imagenet: waits for images that are streamed"),
    ],
)
@pytest.mark.parametrize("call", ["describe", "load"])
def test_what_is_not_there_says_what_to_do(tmp_path: Path, plugin, message: str, call: str) -> None:
    (spec,) = plugin.kdharness_datasets()
    with pytest.raises(DatasetMissing, match=message):
        getattr(spec, call)(DataRequest(tmp_path))
