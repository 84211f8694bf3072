"""TOML files as users give them, and as nobody should."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kdharness.errors import UserError
from kdharness.protocol.benchmark import load
from kdharness.protocol.toml import read_toml

FAULTS: dict[str, tuple[bytes, str]] = {
    "not TOML": (b"seeds = ", "not valid TOML: "),
    "not UTF-8": (b"a = '\xff'", "not a text file in UTF-8"),
    "deep list": (b"a = " + b"[" * 5000 + b"]" * 5000, "nested too deep"),
    "deep table": (b"a." * 100_000 + b"a = 1", "nested too deep"),
    "somewhat deep": (b"a = " + b"[" * 30 + b"]" * 30, "nested too deep (more than 20 levels)"),
    "huge number": (b"a = " + b"9" * 5000, "not valid TOML: "),
    "huge": (b"a = 1\n" * 200_000, "cannot be read: it is larger than 256 KiB"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, fault: str) -> None:
    content, told = FAULTS[fault]
    path = tmp_path / "own.toml"
    path.write_bytes(content)
    with pytest.raises(UserError) as refused:
        load(str(path))
    assert str(path) in str(refused.value)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_byte_order_mark_is_no_part_of_the_document(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_bytes("\ufeffname = 'ö'\r\n".encode())
    assert read_toml(path, "file") == {"name": "ö"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_a_pipe_and_a_device_are_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "own.toml"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(UserError, match="cannot be read: it is no plain file"):
            read_toml(path, "benchmark file")


@pytest.mark.parametrize("line", ["teacher_seed = -1", "teacher_seed = 9223372036854775808", "seeds = '0-1000000'"])
def test_seeds_have_bounds_wherever_they_are_said(tmp_path: Path, line: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(f"{line}\ndatasets = ['digits']\npairs = ['conv32:conv16']\n")
    with pytest.raises(UserError, match=f"{line.partition(' ')[0]} = "):
        load(str(path))
