"""What is odd in a dataset's content, and parts of a dataset that do not fit each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kdharness.api import ImageDataset, Split, content_warnings


def split(*images: tuple[int, int]) -> Split:
    """Of grey level and class of each image."""
    levels = np.array([level for level, _ in images], dtype=np.uint8)
    pixels = np.broadcast_to(levels[:, None, None, None], (len(images), 1, 2, 2)).copy()
    return Split(pixels, np.array([label for _, label in images], dtype=np.int64))


def warned(train: Split, test: Split, classes: str = "abc", names: dict[str, list[str]] | None = None) -> list[str]:
    return list(content_warnings({"train": train, "test": test}, classes, names))


def test_nothing_is_said_of_repeated_images_of_one_class_and_split() -> None:
    assert warned(split((1, 0), (1, 0), (2, 1), (3, 2)), split((4, 0), (5, 1), (6, 2))) == []


def test_every_test_image_that_is_in_train_counts() -> None:
    train, test = split((1, 0), (2, 1), (3, 2), (1, 0)), split((2, 1), (1, 0), (1, 0), (9, 2))
    assert warned(train, test) == ["3 of 4 test images are in train too: test[1] = train[0], test[0] = train[1]"]


def test_a_single_other_pixel_is_another_image() -> None:
    test = split((1, 0), (5, 1), (6, 2))
    test.images[0, 0, 1, 1] += 1
    assert warned(split((1, 0), (2, 1), (3, 2)), test) == []


def test_images_under_several_classes_count_once_each() -> None:
    train = split((1, 0), (1, 1), (1, 2), (2, 1), (2, 2), (3, 0))
    assert warned(train, split((7, 0), (8, 1), (9, 2))) == [
        "2 images are there under more than one class (5 times in all): train[0] = train[1], train[3] = train[4]"
    ]


def test_an_image_may_be_both() -> None:
    assert warned(split((1, 0), (2, 1)), split((1, 1), (3, 0)), "ab", {"train": ["x", "y"], "test": ["v", "w"]}) == [
        "1 of 2 test images are in train too: v = x",
        "1 image is there under more than one class (2 times in all): x = v",
    ]


def test_three_are_named_and_all_are_counted() -> None:
    train = split(*((level, 0) for level in range(10)))
    assert warned(train, train, "a") == [
        "10 of 10 test images are in train too: test[0] = train[0], test[1] = train[1], test[2] = train[2], ..."
    ]


def test_classes_without_images_are_told() -> None:
    assert warned(split((1, 0), (2, 2)), split((3, 1), (4, 2)), "abcd") == [
        "2 of 4 classes without a train image: b, d",
        "2 of 4 classes without a test image: a, d",
    ]


# -- parts that do not fit --------------------------------------------------------------------------------------------

SOUND = split((1, 0), (2, 1))


def dataset(**changes: Any) -> ImageDataset:
    given = {"train": SOUND, "test": SOUND, "classes": ("a", "b"), "mean": (0.5,), "std": (0.5,), "names": None}
    given.update(changes)
    splits = {name: given.pop(name) for name in ("train", "test") if given[name] is not None}
    return ImageDataset(splits, **{name: value for name, value in given.items() if name not in ("train", "test")})


def test_a_sound_one_is_taken() -> None:
    assert dataset(names={"train": ["x", "y"], "test": ["v", "w"]}).classes == ("a", "b")


WRONG = {
    "lacks 'test'": {"test": None},
    "lacks 'train'": {"train": None},
    "1 labels of 'train' are outside 0..1, the first of them 2 of image 1": {"train": split((1, 0), (2, 2))},
    "2 labels of 'test' are outside 0..1, the first of them -1 of image 0": {"test": split((1, -1), (2, 7))},
    "images of 'test' are [1, 4, 1], those of 'train' [1, 2, 2]": {
        "test": Split(SOUND.images.reshape(2, 1, 4, 1), SOUND.targets)
    },
    "the split 'test' is empty: its images are [0, 1, 2, 2]": {"test": Split(SOUND.images[:0], SOUND.targets[:0])},
    "mean has 2 values for images of 1 channels": {"mean": (0.1, 0.2)},
    "std has 3 values for images of 1 channels": {"std": (0.1,) * 3},
    "std is [0.0], and is to be finite and positive": {"std": (0.0,)},
    "mean is [nan], and is to be finite": {"mean": (float("nan"),)},
    "1 names for the 2 images of 'train'": {"names": {"train": ["x"], "test": ["v", "w"]}},
}


@pytest.mark.parametrize("said", WRONG)
def test_what_does_not_fit_is_refused(said: str) -> None:
    with pytest.raises(ValueError) as error:
        dataset(**WRONG[said])
    assert said in str(error.value)
