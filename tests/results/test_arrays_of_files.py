"""Files of arrays that somebody damaged: each gives one reason, and none brings its reader down."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kdharness.results import arrays as module
from kdharness.results.arrays import UnreadableArrays, read_arrays
from kdharness.results.audits import read_audit
from kdharness.results.checks.outputs import read_outputs
from kdharness.results.predictions import read_predictions

LOGITS = np.arange(12, dtype=np.float32).reshape(4, 3)
TARGETS = np.array([0, 1, 2, 0])


def written(path: Path) -> Path:
    np.savez_compressed(path, logits=LOGITS, targets=TARGETS)
    return path


def absent(path: Path) -> None:
    path.unlink()


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def text(path: Path) -> None:
    path.write_text("logits\n1,2,3\n")


def one_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, LOGITS)


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"logits": [1.0]}))


def objects(path: Path) -> None:
    np.savez(path, logits=np.array([{"a": 1}], dtype=object), targets=TARGETS)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def other_bytes_within(path: Path) -> None:
    """The archive is whole; what one of its members was packed into is not."""
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("logits.npy").header_offset + 30 + len("logits.npy") + 20
    data[start : start + 8] = b"\xff" * 8
    path.write_bytes(bytes(data))


def other_packing(path: Path) -> None:
    """A method of packing that nobody knows."""
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        place = archive.start_dir
    path.write_bytes(data[: place + 10] + b"\x63\x00" + data[place + 12 :])


DAMAGES = (
    *(absent, a_folder, a_pipe, text, one_array, pickled, objects, cut_short, other_bytes_within, other_packing),
)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_file_gives_one_reason(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path = written(tmp_path / "some.npz")
    assert {name: array.tolist() for name, array in read_arrays(path).items()} == {
        "logits": LOGITS.tolist(),
        "targets": TARGETS.tolist(),
    }
    damage(path)
    with pytest.raises(UnreadableArrays) as error:
        read_arrays(path)
    assert str(error.value)
    assert "\n" not in str(error.value)
    assert [read_predictions(path), read_outputs(path), read_audit(path)] == [None, None, None]


def test_what_would_fill_the_memory_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "some.npz")
    monkeypatch.setattr(module, "MOST_BYTES", 100)
    with pytest.raises(UnreadableArrays, match="it unpacks to more than 0 GiB"):
        read_arrays(path)
