"""A file is there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from kdharness.errors import UserError
from kdharness.results import files
from kdharness.results.files import write_atomic


def test_text_bytes_and_what_a_function_writes(tmp_path: Path) -> None:
    path = tmp_path / "made" / "file"
    write_atomic(path, "pâté \ud800")
    assert path.read_bytes() == "pâté \\ud800".encode()
    write_atomic(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    write_atomic(path, lambda file: np.savez_compressed(file, a=np.arange(3)))
    with np.load(path) as saved:
        assert saved["a"].tolist() == [0, 1, 2]
    assert list(path.parent.iterdir()) == [path]


def test_a_function_that_raises_leaves_the_former_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"former")

    def half(file: IO[bytes]) -> None:
        file.write(b"half")
        raise ValueError("a plugin's array")

    with pytest.raises(ValueError, match="a plugin's array"):
        write_atomic(path, half)
    assert path.read_bytes() == b"former"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_while_a_function_writes_is_one_line(tmp_path: Path) -> None:
    def full(file: IO[bytes]) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"could not write .*model: No space left on device"):
        write_atomic(tmp_path / "model", full)
    assert list(tmp_path.iterdir()) == []


def test_temporary_names_are_unique(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []

    def replace(source: Path, target: Path) -> None:
        seen.append(Path(source))
        os.rename(source, target)

    monkeypatch.setattr(files.os, "replace", replace)
    for _ in range(2):
        write_atomic(tmp_path / "a.json", "{}")
    assert len(set(seen)) == 2
    assert {p.parent for p in seen} == {tmp_path}
    assert all(p.name.startswith(".") and p.suffix == ".tmp" for p in seen)
