"""A dataset's identity by its content: how it is computed, and that what is loaded is held to it."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kdharness.api import Split, WorkerWarning, content_identity
from kdharness.errors import UserError
from kdharness.planning import make_plan
from kdharness.planning.selection import Selection
from kdharness.protocol.benchmark import load
from kdharness.results.record import Record, Status
from kdharness.testing import Lab

TRAIN = Split(np.arange(24, dtype=np.uint8).reshape(2, 3, 2, 2), np.array([1, 0]))
TEST = Split(np.full((1, 3, 2, 2), 7, dtype=np.uint8), np.array([258]))


def test_anybody_can_compute_it() -> None:
    by_hand = b"test 1 3 2 2\n" + bytes([7] * 12) + struct.pack("<q", 258)
    by_hand += b"train 2 3 2 2\n" + bytes(range(24)) + struct.pack("<2q", 1, 0)
    expected = "content:" + hashlib.sha256(by_hand).hexdigest()
    assert content_identity({"train": TRAIN, "test": TEST}) == expected
    assert content_identity({"test": TEST, "train": TRAIN}) == expected


def test_memory_layout_is_not_in_it() -> None:
    apart = np.ascontiguousarray(TRAIN.images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert not apart.flags.c_contiguous
    assert content_identity({"train": Split(apart, TRAIN.targets)}) == content_identity({"train": TRAIN})


def test_each_pixel_label_order_shape_and_name_is_in_it() -> None:
    other = TRAIN.images.copy()
    other[1, 2, 1, 1] += 1
    made = [
        {"train": TRAIN},
        {"train": Split(other, TRAIN.targets)},
        {"train": Split(TRAIN.images, np.array([0, 1]))},
        {"train": Split(TRAIN.images[::-1], TRAIN.targets[::-1])},
        {"train": Split(TRAIN.images.reshape(2, 3, 4, 1), TRAIN.targets)},
        {"test": TRAIN},
    ]
    assert len({content_identity(splits) for splits in made}) == len(made)


PLUGIN = """
import dataclasses
import json
import os
import numpy as np
from kdharness.api import (
    DatasetInfo, DatasetMissing, DatasetSpec, ImageDataset, Split, content_identity, hookimpl,
)

def splits(brightness):
    images = np.arange(40, dtype=np.uint8).repeat(64).reshape(40, 1, 8, 8) + np.uint8(brightness)
    split = Split(images, np.arange(40) % 2)
    return {"train": split, "test": split}

def describe(request):
    if os.environ["SHADES"] == "none":
        raise DatasetMissing("shades: there are none; paint some")
    found = DatasetInfo(os.environ.get("IDENTITY") or content_identity(splits(0)), 2, (1, 8, 8), 40)
    return dataclasses.replace(found, **json.loads(os.environ.get("OTHERWISE", "{}")))

def load(request):
    return ImageDataset(splits(int(os.environ["SHADES"])), ("even", "odd"), (0.5,), (0.5,))

@hookimpl
def kdharness_datasets():
    yield DatasetSpec("shades", describe, load, summary="shades of grey")
"""


@pytest.fixture
def train(
    make_lab: Callable[..., Lab], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Lab, list[Record]]]:
    """Trains one cell on shades, brighter than planned by so much."""
    (tmp_path / "shades.py").write_text(PLUGIN)

    def run(brighter: str, identity: str = "") -> tuple[Lab, list[Record]]:
        monkeypatch.setenv("SHADES", brighter)
        monkeypatch.setenv("IDENTITY", identity)
        lab = make_lab(f"lab {brighter} {identity}", plugin_files=(tmp_path / "shades.py",))
        plan = lab.plan(methods=("vanilla",), datasets=("shades",), scenarios=("clean",), epochs=1)
        return lab, list(lab.train_plan(plan).values())

    return run


def test_what_was_planned_trains(train: Callable[..., tuple[Lab, list[Record]]]) -> None:
    _, (record,) = train("0")
    assert record.status is Status.OK


def test_other_content_than_planned_stops_the_cell_with_one_line(
    train: Callable[..., tuple[Lab, list[Record]]],
) -> None:
    _, (record,) = train("1")
    assert (record.status, record.error_type) == (Status.FAILED, "DataChanged")
    assert record.error_message.startswith(
        "dataset 'shades' holds other pixels or labels: what was loaded has content:"
    )


@pytest.mark.parametrize(
    ("otherwise", "said"),
    [
        ({"num_classes": 3}, "loads 2 classes, 3 were described"),
        ({"train_size": 41}, "loads 40 training images, 41 were described"),
        ({"input_shape": [1, 8, 9]}, "loads images of [1, 8, 8], [1, 8, 9] were described"),
    ],
)
def test_other_facts_than_described_stop_the_cell_with_one_line(
    train: Callable[..., tuple[Lab, list[Record]]],
    monkeypatch: pytest.MonkeyPatch,
    otherwise: dict[str, object],
    said: str,
) -> None:
    monkeypatch.setenv("OTHERWISE", json.dumps(otherwise))
    _, (record,) = train("0")
    assert (record.status, record.error_type) == (Status.FAILED, "WrongDataset")
    assert record.error_message == f"dataset 'shades' {said}"


def test_another_identity_than_planned_stops_the_cell(
    make_lab: Callable[..., Lab], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an author's own making, too."""
    monkeypatch.setenv("SHADES", "0")
    monkeypatch.setenv("IDENTITY", "md5:one")
    (tmp_path / "shades.py").write_text(PLUGIN)
    lab = make_lab(plugin_files=(tmp_path / "shades.py",))
    plan = lab.plan(methods=("vanilla",), datasets=("shades",), scenarios=("clean",), epochs=1)
    monkeypatch.setenv("IDENTITY", "md5:two")
    (record,) = lab.train_plan(plan).values()
    assert (record.status, record.error_type) == (Status.FAILED, "DataChanged")
    assert "its identity is md5:two..., the plan was made with md5:one..." in record.error_message


def test_what_is_odd_is_told_once_by_a_worker(train: Callable[..., tuple[Lab, list[Record]]]) -> None:
    """Shades have one split twice."""
    lab, _ = train("0")
    told = [event.message for event in lab.events if isinstance(event, WorkerWarning)]
    (line,) = told
    assert line.startswith("dataset 'shades': 40 of 40 test images are in train too: test[0] = train[0], ")


def test_an_authors_own_identity_is_taken_as_it_is(train: Callable[..., tuple[Lab, list[Record]]]) -> None:
    _, (record,) = train("1", "sha256:of-something-else")
    assert record.status is Status.OK


def test_missing_data_is_told_with_its_name_once(
    make_lab: Callable[..., Lab], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHADES", "none")
    (tmp_path / "shades.py").write_text(PLUGIN)
    lab = make_lab(plugin_files=(tmp_path / "shades.py",))
    with pytest.raises(UserError) as error:
        make_plan(load("digits"), Selection(datasets=("shades",)), lab.registry)
    assert str(error.value) == "dataset 'shades': there are none; paint some"
